"""The log of seals: the plan of each (which journal objects) and its record (what became of them).

Both are created once and never changed. The same content gives the same bytes. `pipelines.commit.seal` says
in which order a sealer creates them. Of seals that are complete, the records are in one object in the end, the history
(`pipelines.commit.seal_history`), and the plans are gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from framegate.pipelines.commit.layout import OBJECT_NUMBER
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_history import fold, read_documents
from framegate.pipelines.commit.seal_plan import SealPlan
from framegate.pipelines.commit.sealed_answers import SealedAnswers
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.errors import ObjectNotFound, StorageError
from framegate.schemas.json_object import load_json

_NAME: Final = re.compile(rf"({OBJECT_NUMBER})\.(json|plan\.parquet)")
_FOLDER: Final = re.compile(r"(?:^|/)seals/config_id=([^/]+)/[^/]+$")
_TALLIES: Final = ("seal", "num_units", "num_duplicates", "num_erased")


@dataclass(frozen=True, kw_only=True)
class SealRecord:
    """What became of a plan. Once it exists, the seal is complete but for the deletion of its journal objects.

    files            those that the seal wrote or added to
    runs             by run_id, the SEALED_COUNTS of the rows that the seal holds of it
    num_units        journal objects whose rows are in the files, or were left out for one of the two reasons below
    num_duplicates   rows left out because their key is in an earlier seal, or in an earlier object of this one
    num_erased       rows left out because their video was erased
    skipped          names of objects of the plan that were missing or had other bytes: an erasure had taken them
    merged           the files whose rows this seal put into others, as they were then
    removed          by run_id: how many answers and failures of erased videos it left out when it merged
    answers          what of answers is new with it; None in records of older versions
    """

    seal: int
    files: tuple[SealedFile, ...]
    runs: dict[str, Counts]
    num_units: int
    num_duplicates: int
    num_erased: int
    skipped: tuple[str, ...] = ()
    merged: tuple[SealedFile, ...] = ()
    removed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    answers: SealedAnswers | None = None

    def to_bytes(self) -> bytes:
        """JSON with keys in order, and files in order of their names."""
        return (json.dumps(self.to_document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    def to_document(self) -> dict[str, Any]:
        return {
            "seal": self.seal,
            "files": [file.to_document() for file in sorted(self.files, key=lambda file: file.uri)],
            "runs": {
                run_id: {name: getattr(counts, name) for name in SEALED_COUNTS} for run_id, counts in self.runs.items()
            },
            "num_units": self.num_units,
            "num_duplicates": self.num_duplicates,
            "num_erased": self.num_erased,
            "skipped": self.skipped,
            "merged": [file.to_document() for file in sorted(self.merged, key=lambda file: file.uri)],
            "removed": self.removed,
            "answers": None if self.answers is None else self.answers.to_document(),
        }

    @staticmethod
    def from_bytes(uri: str, data: bytes) -> SealRecord:
        """Raises StorageError where it is no record, or that of another seal than its name says."""
        try:
            document = load_json(data)
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{uri} is no record of a seal ({error!r}); {NOT_OURS}") from error
        record = SealRecord.from_document(uri, document)
        name = _NAME.fullmatch(uri.rpartition("/")[2])
        if name is not None and int(name[1]) != record.seal:
            raise StorageError(f"{uri} holds the record of seal {record.seal}; {NOT_OURS}")
        return record

    @staticmethod
    def from_document(uri: str, document: Mapping[str, Any]) -> SealRecord:
        """`uri` is of the object that holds it. Raises StorageError where it is no record."""
        try:
            record = SealRecord(
                seal=document["seal"],
                files=tuple(SealedFile.from_document(file) for file in document["files"]),
                # A record of an older version has no num_unparsed, which then is unknown, and not zero.
                runs={
                    run_id: Counts(**{"num_unparsed": None, **counts}) for run_id, counts in document["runs"].items()
                },
                num_units=document["num_units"],
                num_duplicates=document["num_duplicates"],
                num_erased=document["num_erased"],
                skipped=tuple(document["skipped"]),
                merged=tuple(SealedFile.from_document(file) for file in document.get("merged", ())),
                removed=document.get("removed", {}),
                answers=SealedAnswers.from_document(document.get("answers")),
            )
            record._check(document, folder[1] if (folder := _FOLDER.search(uri)) else None)
            return record
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{uri} holds no record of a seal ({error!r}); {NOT_OURS}") from error

    def _check(self, document: Mapping[str, Any], config_id: str | None) -> None:
        """Raises ValueError where a number is none, or a file is not one of `config_id`: a sealer writes to these."""
        for name in _TALLIES:
            if type(document[name]) is not int or document[name] < 0:
                raise ValueError(f"{name} is {document[name]!r}")
        for counts in self.runs.values():
            for name in SEALED_COUNTS:
                if type(getattr(counts, name)) not in (int, type(None)):
                    raise ValueError(f"{name} is {getattr(counts, name)!r}")
        for file in (*self.files, *self.merged):
            file.check(config_id)


class SealLog:
    """Plans and records of one config_id. A listing only says where to begin; what is there is looked up by name.
    Numbers follow each other: what is listed beyond the first one that is missing is refused, and never walked to.

    num_folded   so many of the first seals were in the history when it was last read
    """

    def __init__(self, output: Output, config_id: str) -> None:
        self._store = output.store
        self._layout = output.layout
        self._config_id = config_id
        self._history_uri = output.layout.seal_history(config_id)
        self._first_records: list[SealRecord] = []
        self.num_folded = 0

    def numbers(self) -> Iterator[tuple[int, bool]]:
        """(number, whether it is a record) of every plan and record that is an object, in order. As fresh as the
        store's listings."""
        folder = self._layout.folder("seals", self._config_id)
        for info in self._store.list(folder):
            match = _NAME.fullmatch(info.uri.rpartition("/")[2])
            if match is not None and info.uri.endswith(f"config_id={self._config_id}/{match[0]}"):
                yield int(match[1]), match[2] == "json"

    def find_last(self) -> tuple[int, bool]:
        """(the last seal that was begun, or the number of the first one; whether seals in the history have objects).

        Of a seal that was begun all earlier ones are complete. Raises StorageError where one of these is missing, which
        a number that is not ours looks like.
        """
        numbers = [*self.numbers()]
        num_folded = len(self.read_history())
        self._num_recorded(numbers)
        found = [number for number, _ in numbers]
        return max([*found, num_folded]), min(found, default=num_folded) < num_folded

    def _num_recorded(self, numbers: Sequence[tuple[int, bool]]) -> int:
        """How many seals are complete, as a listing shows it that was made before the history was read."""
        listed = {number for number, is_record in numbers if is_record}
        last = max((number for number, _ in numbers), default=-1)
        while True:
            num_folded = num_recorded = self.num_folded
            while num_recorded in listed or (num_recorded < last and self._has_record(num_recorded)):
                num_recorded += 1
            if last <= num_recorded:
                return num_recorded
            if len(self.read_history()) == num_folded:
                raise StorageError(
                    f"seals of config_id {self._config_id} are out of order:"
                    f" {self._layout.folder('seals', self._config_id)} has an object of seal {last}, and no record of"
                    f" seal {num_recorded}; bring that one back from a copy, or where seal {last} is none of ours, move"
                    " its objects elsewhere"
                )

    def _has_record(self, seal: int) -> bool:
        """Looked up by name: a listing of a disk may have missed an object that was created meanwhile."""
        try:
            self._store.stat(self._layout.seal_record(self._config_id, seal))
        except ObjectNotFound:
            return False
        return True

    def propose(self, plan: SealPlan) -> SealPlan:
        """Creates the plan of a seal. Returns the first that was created; `read_folded` then says whether it counts."""
        put = self._store.put_once(self._layout.seal_plan(self._config_id, plan.seal), plan.to_bytes())
        reach("seal.planned" if plan.completes is None else "deepen.agreed")
        if put.is_ours:
            return plan
        agreed = self.read_plan(plan.seal)
        if agreed is None and self.read_folded(plan.seal) is None:
            raise StorageError(f"the plan of seal {plan.seal} of {self._config_id} is there and cannot be read")
        return agreed or plan

    def add_record(self, record: SealRecord, *, place: str = "seal.recorded") -> tuple[SealRecord, bool]:
        """Creates the record of a seal. Returns the first that was created, and whether this call created it."""
        put = self._store.put_once(self._layout.seal_record(self._config_id, record.seal), record.to_bytes())
        reach(place)
        if (folded := self.read_folded(record.seal)) is not None:  # its name was free again
            self.delete_folded(record.seal)
            return folded, False
        first = record if put.is_ours else self.read_record(record.seal)
        if first is None:
            raise StorageError(f"the record of seal {record.seal} of {self._config_id} is there and cannot be read")
        return self._remember(first), put.created

    def read_plan(self, seal: int) -> SealPlan | None:
        """The plan that was agreed on for a seal, or None."""
        uri = self._layout.seal_plan(self._config_id, seal)
        try:
            data = self._store.read(uri)
        except ObjectNotFound:
            return None
        return SealPlan.from_bytes(uri, data, seal)

    def read_record(self, seal: int) -> SealRecord | None:
        """The record of one seal, or None where the seal is not complete."""
        uri = self._layout.seal_record(self._config_id, seal)
        try:
            data = self._store.read(uri)
        except ObjectNotFound:
            return self.read_folded(seal)
        return self._remember(SealRecord.from_bytes(uri, data))

    def read_folded(self, seal: int) -> SealRecord | None:
        """The record of a seal that is in the history by now, or None. A plan that was read or created before counts
        for nothing where there is one: the seal is complete, and its name was free."""
        records = self.read_history()
        return records[seal] if seal < len(records) else None

    def read_history(self) -> list[SealRecord]:
        """The records that are folded: those of the first seals. Fresh from storage. Raises StorageError."""
        documents = read_documents(self._store, self._history_uri)
        self.num_folded = len(documents)
        return [SealRecord.from_document(self._history_uri, document) for document in documents]

    def read_records(self) -> list[SealRecord]:
        """The records of all complete seals, in order. Raises StorageError where one before the last is missing."""
        numbers = [*self.numbers()]
        records = self.read_history()
        return self._read_first(self._num_recorded(numbers), records)

    def records_before(self, seal: int) -> list[SealRecord]:
        """The records of the seals before one, each of which must be there. They are kept from call to call."""
        if len(self._first_records) < seal:
            self._first_records = self._read_first(seal)
        return self._first_records[:seal]

    def fold(self, num_seals: int) -> None:
        """Brings the records of the first seals, all of which are complete, into the history; deletes their objects."""

        def read(first: int, end: int) -> list[dict[str, Any]]:
            return [record.to_document() for record in self.records_before(end)[first:]]

        self.num_folded = fold(self._store, self._history_uri, num_seals, read)
        self.delete_folded(*{number for number, _ in self.numbers() if number < self.num_folded})

    def delete_folded(self, *seals: int) -> None:
        """The plans and records of seals that are in the history, where they are objects still, or again."""
        self._store.delete(
            uri
            for seal in sorted(seals)
            for uri in (self._layout.seal_plan(self._config_id, seal), self._layout.seal_record(self._config_id, seal))
        )

    def _read_first(self, num_seals: int, history: list[SealRecord] | None = None) -> list[SealRecord]:
        """Those of the first seals, and all that are in the history, where that was not read before. Stops at the first
        one that is missing."""
        while True:
            records, history = self.read_history() if history is None else history, None
            numbers = range(len(records), num_seals)
            uris = (self._layout.seal_record(self._config_id, number) for number in numbers)
            try:
                return [*records, *(SealRecord.from_bytes(uri, data) for uri, data in self._store.read_many(uris))]
            except ObjectNotFound as error:
                if len(self.read_history()) > len(records):
                    continue  # folded since
                raise StorageError(
                    f"one of the {num_seals} seal records of config_id {self._config_id} is missing ({error}), so that"
                    " what is sealed cannot be told; bring the file back from a copy of the bucket"
                ) from error

    def _remember(self, record: SealRecord) -> SealRecord:
        if len(self._first_records) == record.seal:
            self._first_records.append(record)
        return record


def files_of(records: Iterable[SealRecord]) -> dict[str, SealedFile]:
    """The sealed files there are after some seals, as the last of them to write a file has recorded it, by URI."""
    files: dict[str, SealedFile] = {}
    for record in records:
        files.update((file.uri, file) for file in record.files)
        for file in record.merged:
            files.pop(file.uri, None)
    return files
