"""Erase: a video's rows, journal, attempts, plans and names go, and it stays out for ever.

(1) What is to be forgotten is noted in digests, and tombstones are set: from here on no plan takes the video up and no
seal lets its rows through. (2) Seals that are under way are finished, so that the names of their files are taken and a
sealer that was frozen in the middle cannot bring rows back. (3) Journal and attempts are deleted, and every file that
holds the video is replaced by one without it, never deleted: noted first, and only if it is still the version that was
read. (4) Again, until a whole look finds nothing: a sealer beside us may have added a file. (5) The receipt.

Every step can be done twice and by two at once, so that dying anywhere is mended by beginning again. Knows nothing of
how the videos were chosen.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from framegate.pipelines.commit.journal import from_parquet
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import finish_seals
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.erase.records import (
    Begun,
    ErasureReceipt,
    Note,
    Notebook,
    leads_to,
    put_begun,
    put_receipt,
    read_begun,
    read_notes,
    read_receipt,
    unfinished,
)
from framegate.pipelines.erase.rewrite import Rewritten, removed_by_run, without_names, without_rows
from framegate.pipelines.erase.search import HeldObject, Holdings, find_holdings
from framegate.pipelines.erase.targets import Wanted
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import ObjectInfo, join
from framegate.schemas.errors import FramegateError, ObjectNotFound, StorageError, VersionChanged

MAX_PASSES = 50  # a run beside us adds to at most a few; more of them mean that something writes without end

NOT_REACHED = (
    "the videos themselves, where they lie",
    "older versions of the objects that were replaced or deleted, where the bucket keeps versions or the file system"
    " snapshots: delete those, too",
    "hidden temporary files that a killed process left on a local disk: the audit counts them, delete them",
    "copies of this output elsewhere: replicas, backups, exports, what an engine has cached",
    "results of queries, logs and what stood on a terminal",
    "the input of jobs: lists and manifests that name the videos",
    "messages in failures of other videos, should one name an erased video",
    "ids and digests: plans of seals keep a video's id, receipts and tombstones its digest; no URI can be read from"
    " them, but who knows a URI can tell that it was here",
)
SHARD_NOT_REACHED = (
    "the tar shards: the next run that names such a shard indexes it again, and the index names all of its members"
)


def erase(output: Output, uris: Iterable[str], *, erasure_id: str | None = None) -> ErasureReceipt:
    """Forgets the videos at `uris`, in every version, under every config_id, whether or not they were ever seen.

    Without an id, erasures that broke off are completed first; where one of them was of all these videos, its receipt
    is given back. With the id of one that broke off, that one is completed. Raises StorageError where storage fails,
    FramegateError where there is no URI or the id is that of an erasure of other videos.
    """
    wanted = Wanted.of(uris)
    if not wanted.digests:
        raise FramegateError("an erasure needs at least one URI, got none")
    if erasure_id is None:
        for receipt in complete_erasures(output):
            if wanted.digests <= frozenset(receipt.videos):
                return receipt
        erasure_id = make_erasure_id()
    begun = Begun(erasure_id=erasure_id, begun_at=_now(), videos=tuple(sorted(wanted.digests)))
    return _complete(output, put_begun(output, begun), wanted)


def complete_erasures(output: Output) -> list[ErasureReceipt]:
    """Completes all erasures that have begun and have no receipt. Raises StorageError."""
    receipts = []
    for erasure_id in unfinished(output):
        begun = read_begun(output, erasure_id)
        receipts.append(_complete(output, begun, Wanted(frozenset(begun.videos))))
    return receipts


def make_erasure_id() -> str:
    """A new id; ids are in order of time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _complete(output: Output, begun: Begun, wanted: Wanted) -> ErasureReceipt:
    receipt = read_receipt(output, begun.erasure_id)
    if receipt is not None:
        return receipt
    set_tombstones(output, begun.videos, begun.erasure_id)
    for config_id in _config_ids_with_seals(output):
        finish_seals(output, config_id)
    removal = _Removal(output, wanted, Notebook(output, begun.erasure_id))
    for _ in range(MAX_PASSES):
        holdings = find_holdings(output, wanted)
        if holdings.is_empty:
            break
        removal.remove(holdings)
    else:
        raise StorageError(
            f"rows of erased videos came back to {output.root} {MAX_PASSES} times while they were taken out; look for"
            " a process that writes there other than by this program, and erase again"
        )
    receipt = put_receipt(output, removal.receipt(begun))
    reach("erase.receipt")
    return receipt


def _config_ids_with_seals(output: Output) -> list[str]:
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    return sorted(folder.removeprefix("config_id=") for folder in folders)


class _Removal:
    """Takes out what was found, and keeps the books."""

    def __init__(self, output: Output, wanted: Wanted, notebook: Notebook) -> None:
        self._output = output
        self._wanted = wanted
        self._notebook = notebook
        self._done: list[Note] = []
        self._attempts: set[str] = set()
        self._indexes: set[str] = set()

    def remove(self, holdings: Holdings) -> None:
        """Plans go last: they say which ids a video goes by, should we not come that far."""
        self._sweep(holdings)
        for record in holdings.records:
            self._replace(record, "runs", without_names)
        for file in sorted(holdings.files, key=lambda file: file.table == "plans"):
            self._replace(file.info, file.table, without_rows)

    def receipt(self, begun: Begun) -> ErasureReceipt:
        notes = [note for note in self._notebook.notes if note in self._done or self._was_done(note)]
        rows: dict[str, dict[str, int]] = {}
        for note in notes:
            if note.rows_before:
                tables = rows.setdefault(note.config_id or "", {})
                tables[note.table] = tables.get(note.table, 0) + note.rows_before - note.rows_after
        return ErasureReceipt(
            erasure_id=begun.erasure_id,
            begun_at=begun.begun_at,
            finished_at=_now(),
            videos=begun.videos,
            rows=rows,
            objects=tuple(
                {"file": note.file, "rows_before": note.rows_before, "rows_after": note.rows_after} for note in notes
            ),
            num_attempts=len(self._attempts),
            num_indexes=len(self._indexes),
            not_reached=(*NOT_REACHED, SHARD_NOT_REACHED) if self._indexes else NOT_REACHED,
        )

    def _sweep(self, holdings: Holdings) -> None:
        for note in self._journal_notes(holdings.journal):
            self._notebook.put(note)
            self._done.append(note)
            reach("erase.noted")
        self._output.store.delete(held.info.uri for held in (*holdings.journal, *holdings.attempts))
        self._output.store.delete(info.uri for info in holdings.indexes)
        self._attempts |= {held.info.uri for held in holdings.attempts}
        self._indexes |= {info.uri for info in holdings.indexes}
        reach("erase.swept")

    def _journal_notes(self, journal: Iterable[HeldObject]) -> Iterator[Note]:
        infos = {held.info.uri: held.info for held in journal}
        for uri, data in self._output.store.read_present(infos):
            if data is not None:  # else sealed meanwhile, and found in a table when we look again
                rows = from_parquet(uri, data, ["row_kind", "run_id"])
                yield Note(
                    file=_below(uri, "journal"),
                    version=infos[uri].version,
                    sha256_before=_sha256(data),
                    sha256_after=None,
                    rows_before=rows.num_rows,
                    rows_after=0,
                    removed=removed_by_run(uri, rows),
                )

    def _replace(
        self, info: ObjectInfo, folder: str, rewrite: Callable[[str, bytes, Wanted], Rewritten | None]
    ) -> None:
        """Leaves it where another process has changed the object since it was listed: we look again anyway."""
        data = self._output.store.read(info.uri)
        if self._output.store.stat(info.uri).version != info.version:
            return
        rewritten = rewrite(info.uri, data, self._wanted)
        if rewritten is None:
            return
        note = Note(
            file=_below(info.uri, folder),
            version=info.version,
            sha256_before=_sha256(data),
            sha256_after=_sha256(rewritten.data),
            rows_before=rewritten.rows_before,
            rows_after=rewritten.rows_after,
            removed=rewritten.removed,
        )
        self._notebook.put(note)
        reach("erase.noted")
        try:
            self._output.store.replace(info.uri, rewritten.data, if_match=info.version)
        except VersionChanged:
            return
        self._done.append(note)
        reach("erase.replaced")

    def _was_done(self, note: Note) -> bool:
        """Of a note that an attempt before this one left: whether what stands there now came of it."""
        uri = join(self._output.root, note.file)
        try:
            now = _sha256(self._output.store.read(uri))
        except ObjectNotFound:
            return note.sha256_after is None
        everybodys = (noted for _, noted in read_notes(self._output))
        return leads_to(everybodys, note.file, note.sha256_after, now)


def _below(uri: str, folder: str) -> str:
    """The object's name below the output, which begins with `folder`; no folder below that has the same name."""
    return f"{folder}/{uri.rpartition(f'/{folder}/')[2]}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
