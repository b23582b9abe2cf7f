"""The log of seals: the plan of each (which journal objects) and its record (what became of them).

Both are created once and never changed. The same content gives the same bytes. `pipelines.commit.seal` says
in which order a sealer creates them. Of seals that are complete, the records are in one object in the end, the history
(`pipelines.commit.seal_history`), and the plans are gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_history import fold, read_documents
from framegate.pipelines.commit.sealed_answers import SealedAnswers
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store.parquet import NOT_OURS, encode_parquet, parse_parquet
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.errors import ObjectNotFound, StorageError

_PLAN_KEY: Final = b"framegate"
_PLAN: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class JournalObject:
    """One object of a plan. `name` is relative to the journal of its config_id: `<video_id>/<unit>.arrow.zst`."""

    name: str
    size_bytes: int
    sha256: str

    @property
    def video_id(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class FileName:
    """A sealed file of one config_id. `number` is that of the seal which began it."""

    table: str
    partition: str
    number: int


@dataclass(frozen=True, kw_only=True)
class SealPlan:
    """What seal number `seal` is made of, and which files it writes, whoever executes it.

    objects        in order of their names
    outputs        the file that each (table, partition) goes to, counted before any row is left out: one that an
                   earlier seal began, or a new one. It is marked even where no row is left for it
    partition_by   as the output's layout has it
    file_bytes     the size at which a file is full
    merges         instead of journal objects: files whose rows go into `outputs`, and that are deleted then
    completes      where the objects are of deepened rows: the files that have the rows which they complete
    """

    seal: int
    objects: tuple[JournalObject, ...]
    outputs: tuple[FileName, ...]
    partition_by: tuple[str, ...]
    file_bytes: int
    merges: tuple[FileName, ...] = ()
    completes: tuple[FileName, ...] | None = None

    @property
    def folder(self) -> str:
        """Where its objects lie."""
        return "journal" if self.completes is None else "deepened"

    def to_bytes(self) -> bytes:
        """Parquet: one row per object, the rest in the schema's metadata."""
        about = {
            "outputs": _documents(self.outputs),
            "partition_by": list(self.partition_by),
            "file_bytes": self.file_bytes,
            "merges": _documents(self.merges),
            "completes": None if self.completes is None else _documents(self.completes),
        }
        columns = {
            "name": [item.name for item in self.objects],
            "size_bytes": [item.size_bytes for item in self.objects],
            "sha256": [item.sha256 for item in self.objects],
        }
        metadata = {_PLAN_KEY: json.dumps(about, sort_keys=True).encode()}
        table = pa.table(columns, schema=_PLAN.with_metadata(metadata))
        return encode_parquet(table, use_dictionary=False, write_page_index=False)

    @staticmethod
    def from_bytes(uri: str, data: bytes, seal: int) -> SealPlan:
        """Raises StorageError where it is no plan."""
        table = parse_parquet(uri, data)
        try:
            about = json.loads((table.schema.metadata or {})[_PLAN_KEY])
            columns = (table.column(name).to_pylist() for name in _PLAN.names)
            objects = (JournalObject(name=n, size_bytes=b, sha256=s) for n, b, s in zip(*columns, strict=True))
            return SealPlan(
                seal=seal,
                objects=tuple(objects),
                outputs=_file_names(about["outputs"], seal),
                partition_by=tuple(about["partition_by"]),
                file_bytes=about.get("file_bytes", 0),
                merges=_file_names(about.get("merges", ()), seal),
                completes=None if (names := about.get("completes")) is None else _file_names(names, seal),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{uri} is no plan of a seal ({error!r}); {NOT_OURS}") from error


def _documents(files: Iterable[FileName]) -> list[list[Any]]:
    return [[file.table, file.partition, file.number] for file in files]


def _file_names(documents: Iterable[Sequence[Any]], seal: int) -> tuple[FileName, ...]:
    """Older versions name a table and a partition alone: each seal began files of its own."""
    return tuple(
        FileName(table=table, partition=partition, number=number[0] if number else seal)
        for table, partition, *number in documents
    )


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
        """Raises StorageError where it is no record."""
        try:
            document = json.loads(data)
        except ValueError as error:
            raise StorageError(f"{uri} is no record of a seal ({error!r}); {NOT_OURS}") from error
        return SealRecord.from_document(uri, document)

    @staticmethod
    def from_document(uri: str, document: Mapping[str, Any]) -> SealRecord:
        """`uri` is of the object that holds it. Raises StorageError where it is no record."""
        try:
            return SealRecord(
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
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{uri} holds no record of a seal ({error!r}); {NOT_OURS}") from error


class SealLog:
    """Plans and records of one config_id. A listing only says where to begin; what is there is looked up by name.

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
        for info in self._store.list(self._layout.folder("seals", self._config_id)):
            number, _, ending = info.uri.rpartition("/")[2].partition(".")
            if number.isdigit() and ending in ("json", "plan.parquet"):
                yield int(number), ending == "json"

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
        numbers = [number for number, is_record in self.numbers() if is_record]
        return self._read_first(max(numbers, default=-1) + 1)

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

    def _read_first(self, num_seals: int) -> list[SealRecord]:
        """Those of the first seals, and all that are in the history."""
        while True:
            records = self.read_history()
            numbers = range(len(records), num_seals)
            uris = [self._layout.seal_record(self._config_id, number) for number in numbers]
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
