"""Step 4 of the protocol in `pipelines.commit.seal`: what a seal has taken is deleted, once it is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from framegate.pipelines.commit.file_writer import FileWriter
from framegate.pipelines.commit.journal_reader import JournalReader
from framegate.pipelines.commit.seal_log import SealRecord
from framegate.pipelines.commit.seal_plan import JournalObject, SealPlan
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import Store
from framegate.schemas.errors import ObjectNotFound


class SealRemover:
    """Deletes the objects of plans of one config_id. `journals`: the reader of each folder that plans take from."""

    def __init__(self, store: Store, journals: Mapping[str, JournalReader], files: FileWriter) -> None:
        self._store = store
        self._journals = journals
        self._files = files

    def remove(self, plan: SealPlan, record: SealRecord, *, is_ours: bool) -> None:
        """The last object by name is deleted last: where it is missing, all of them are deleted. Raises StorageError.

        `is_ours`: the record is this process's, so that nobody has begun to delete.
        """
        if plan.merges:
            self._remove_merged(plan, is_ours)
            return
        journal, skipped = self._journals[plan.folder], set(record.skipped)
        objects = [item for item in plan.objects if item.name not in skipped]
        if not is_ours and objects:
            if not self._is_there(journal.uri(objects[-1].name)):
                return
            objects = _unchanged(journal, objects)
        uris = [journal.uri(item.name) for item in objects]
        place = "seal.deleted" if plan.completes is None else "deepen.deleted"
        for some in (uris[:-1], uris[-1:]):
            self._store.delete(_reaching(place, some))

    def _remove_merged(self, plan: SealPlan, is_ours: bool) -> None:
        """Nobody writes to a merged file any more, so that it is deleted whatever it holds; the last one last."""
        uris = [self._files.uri(name) for name in plan.merges]
        if is_ours or self._is_there(uris[-1]):
            for some in (uris[:-1], uris[-1:]):
                self._store.delete(some)

    def _is_there(self, uri: str) -> bool:
        try:
            self._store.stat(uri)
        except ObjectNotFound:
            return False
        return True


def _reaching(place: str, uris: Iterable[str]) -> Iterator[str]:
    for uri in uris:
        yield uri
        reach(place)


def _unchanged(journal: JournalReader, objects: Sequence[JournalObject]) -> list[JournalObject]:
    """Those with the planned bytes: an object that was created since under a planned name is not sealed yet."""
    planned = set(objects)
    listed = {name for name, _ in journal.list()}
    names = [item.name for item in objects if item.name in listed]
    return [item for item, _ in journal.read(names) if item in planned]
