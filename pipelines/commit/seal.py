"""Seal: the journal becomes right-sized Parquet in results/ and failures/, then the sealed journal objects go.

Seals of a config_id are numbered. Seal n goes through these steps, each of which any number of sealers may do at
once, die in, or wake up in much later:

    1. propose   put_once of the plan: exactly which journal objects, and which files. The first writer wins, and a
                 loser executes the winner's plan. Only once seal n - 1 is recorded and its objects are deleted.
    2. execute   read the plan's objects; leave out erased videos, then keys that an earlier seal or an earlier object of
                 this one holds; put_once of each file that the plan names.
    3. record    put_once of what the files came to.
    4. delete    the plan's journal objects.

Why no key is ever there twice: the files of seal n have names that the plan fixes, a key is in one object of a plan at
most, and whoever executes n leaves out what seals 0..n-1 hold, which are all recorded and hold no more than they did.
So two executors write the same rows to the same names, and the second one meets the first one's files.

Why none is lost: objects go after the record alone, which comes after all files. What is committed meanwhile is in no
plan and is sealed later. Another object under a sealed one's name (a committer that was frozen) is left to a later
seal, where the anti-join knows its keys; only where this happens between another sealer's look and its delete, an
answer of a unit that had failed before is lost, its failure stands, and the question is asked again.

Why an erased row does not come back: tombstones are read after the plan exists. An executor that saw no tombstone knew
a plan that was there before it, and erasing finishes that plan, so that all its names are taken (a file is written
even where nothing of it stays), before it replaces files and deletes from the journal. For the same reason an object
that an executor finds missing, or with other bytes, is either sealed (then the record is there, and it stops) or of an
erased video: it is skipped, and the record says so.

Why the same journal gives the same bytes: no clock, no random number, rows sorted, and each plan depends on the
journal from its first object on alone. Listings may be stale: plans and records are looked up by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commit.antijoin import KeyIndex, SealedKeys, key_columns
from pipelines.commit.gather import Gathered, JournalReader, compact, count_outputs, gather, seal_rows
from pipelines.commit.journal import read_columns
from pipelines.commit.layout import Layout
from pipelines.commit.partition import partitions
from pipelines.commit.sealed_files import (
    ROW_KINDS,
    count_runs,
    counted_columns,
    encode_sealed,
    sealed_schema,
    sort_order,
    take_sealed,
)
from pipelines.commit.seals import (
    JournalObject,
    SealedFile,
    SealPlan,
    SealRecord,
    fix_layout,
    plan_bytes,
    read_plan,
    read_seal_record,
    read_seal_records,
    seal_names,
)
from pipelines.commit.tombstones import read_tombstones, without_erased
from pipelines.failpoints import reach
from pipelines.store import Store, join
from schemas.errors import ObjectNotFound, StorageError
from schemas.tables import JOURNAL

__all__ = ["Sealed", "finish_seals", "fix_layout", "read_seal_records", "seal"]

DEFAULT_FILE_BYTES: Final = 128 * 2**20
_OBJECTS_AT_ONCE: Final = 1024
KINDS: Final = ("failures", "results")  # whoever sees a video's answers then sees what is missing from them, too


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What the seals came to that one call completed. Other sealers may have done a part of each, or all of it."""

    num_seals: int = 0
    num_units: int = 0
    num_files: int = 0
    num_answers: int = 0
    num_failures: int = 0
    num_duplicates: int = 0
    num_erased: int = 0
    num_skipped: int = 0
    size_bytes: int = 0

    def plus(self, record: SealRecord) -> Sealed:
        more = {
            "num_seals": 1,
            "num_units": record.num_units,
            "num_files": len(record.files),
            "num_answers": sum(file.num_rows for file in record.files if file.kind == "results"),
            "num_failures": sum(file.num_rows for file in record.files if file.kind == "failures"),
            "num_duplicates": record.num_duplicates,
            "num_erased": record.num_erased,
            "num_skipped": len(record.skipped),
            "size_bytes": sum(file.size_bytes for file in record.files),
        }
        return Sealed(**{field.name: getattr(self, field.name) + more[field.name] for field in fields(self)})


def seal(
    store: Store,
    layout: Layout,
    config_id: str,
    *,
    file_bytes: int = DEFAULT_FILE_BYTES,
    partition_by: Sequence[str] = (),
) -> Sealed:
    """Seals everything in the journal of one config_id. On an empty journal it only finishes what was begun.

    `file_bytes` is what a sealed Parquet file comes to, about; it holds at least one video. Any number of processes may
    do this at once. Raises ConfigError where the tables are partitioned by something else, StorageError.
    """
    sealer = _Sealer(store, layout, config_id)
    sealed = sealer.finish()
    while not sealer.is_empty():
        fix_layout(store, layout, partition_by)
        for record in sealer.seal_lots(file_bytes, tuple(partition_by)):
            sealed = sealed.plus(record)
        if sealer.is_through:
            break
    return sealed


def finish_seals(store: Store, layout: Layout, config_id: str) -> Sealed:
    """Completes the last seal there is a plan for: its files, its record, the deletion of its objects. No new seal."""
    return _Sealer(store, layout, config_id).finish()


class _Sealer:
    """One process's part in the seals of a config_id. `num_seals`: seals 0..num_seals-1 are recorded and deleted."""

    def __init__(self, store: Store, layout: Layout, config_id: str) -> None:
        self._store = store
        self._layout = layout
        self._config_id = config_id
        self._journal = JournalReader(store, layout.folder("journal", config_id))
        self._sealed_keys = SealedKeys(store)
        self._sealed_uris: dict[str, list[str]] | None = None
        self.num_seals = 0
        self.is_through = False

    def finish(self) -> Sealed:
        """Completes the last plan, and every one that turns up behind it."""
        sealed = Sealed()
        numbers = [number for number, _ in seal_names(self._store, self._layout, self._config_id)]
        self.num_seals = max(numbers, default=0)  # where there is a plan, all before it are complete
        while plan := read_plan(self._store, self._layout, self._config_id, self.num_seals):
            was_recorded = self._read_record(plan.seal) is not None
            record = self._complete(plan, None)
            sealed = sealed if was_recorded else sealed.plus(record)
        return sealed

    def is_empty(self) -> bool:
        return next(self._journal.list(), None) is None

    def seal_lots(self, file_bytes: int, partition_by: tuple[str, ...]) -> Iterator[SealRecord]:
        """Goes through the journal once, or to where another sealer's plan made the listing old."""
        for lot in gather(self._journal, self._journal.list(), file_bytes=file_bytes, partition_by=partition_by):
            outputs = tuple(sorted(count_outputs(lot.rows, partition_by)))
            plan = SealPlan(seal=self.num_seals, objects=lot.objects, outputs=outputs, partition_by=partition_by)
            put = self._store.put_once(self._layout.seal_plan(self._config_id, plan.seal), plan_bytes(plan))
            reach("seal.planned")
            if not put.same:
                theirs = read_plan(self._store, self._layout, self._config_id, plan.seal)
                if theirs is None:
                    raise StorageError(f"the plan of seal {plan.seal} of {self._config_id} is there and cannot be read")
                del lot
                yield self._complete(theirs, None)
                return
            record = self._complete(plan, lot)
            yield record
            if record.skipped:
                return
        self.is_through = True

    def _complete(self, plan: SealPlan, lot: Gathered | None) -> SealRecord:
        """Executes, records and deletes; whatever of it is done already is left as it is."""
        record = self._read_record(plan.seal)
        is_ours = False
        if record is None:
            record, is_ours = self._execute(plan, lot)
        self._delete(plan, record, is_ours)
        self.num_seals = plan.seal + 1
        if self._sealed_uris is not None:
            self._remember(record)
        return record

    def _execute(self, plan: SealPlan, lot: Gathered | None) -> tuple[SealRecord, bool]:
        """The record that stands in the end, and whether it was created here."""
        tombstones = read_tombstones(self._store, self._layout)  # after the plan: see above
        skipped: tuple[str, ...] = ()
        if lot is None:
            rows, skipped = self._read_planned(plan)
            if skipped and (record := self._read_record(plan.seal)) is not None:
                return record, False
        else:
            rows = lot.rows
        num_read = rows.num_rows
        rows = without_erased(rows, tombstones).combine_chunks()
        num_erased = num_read - rows.num_rows
        names, places = partitions(rows, plan.partition_by)
        files: list[SealedFile] = []
        counted: list[tuple[str, pa.Table]] = []
        num_kept = 0
        for kind in KINDS:
            kept = self._new_rows(kind, rows, plan.seal)
            num_kept += len(kept)
            schema = sealed_schema(kind, rows.schema)
            planned = {partition for planned_kind, partition in plan.outputs if planned_kind == kind}
            for partition in sorted(planned | {names[n] for n in np.unique(places[kept])}):
                here = kept[places[kept] == names.index(partition)] if partition in names else kept[:0]
                data = encode_sealed(take_sealed(rows, here, schema, self._config_id), schema)
                file, table = self._put_file(
                    kind, partition, plan.seal, data, rows.take(pa.array(here)).select(counted_columns(kind))
                )
                files.append(file)
                counted.append((kind, table))
        record = SealRecord(
            seal=plan.seal,
            files=tuple(sorted(files, key=lambda file: file.uri)),
            runs=count_runs(counted),
            num_units=len(plan.objects) - len(skipped),
            num_duplicates=rows.num_rows - num_kept,
            num_erased=num_erased,
            skipped=skipped,
        )
        put = self._store.put_once(self._layout.seal_record(self._config_id, plan.seal), record.to_bytes())
        reach("seal.recorded")
        stands = record if put.same else self._read_record(plan.seal)
        if stands is None:
            raise StorageError(f"the record of seal {plan.seal} of {self._config_id} is there and cannot be read")
        return stands, put.created

    def _read_planned(self, plan: SealPlan) -> tuple[pa.Table, tuple[str, ...]]:
        """The rows of a plan's objects, and the names of those that are gone or are not what was planned."""
        found: set[JournalObject] = set()
        planned = set(plan.objects)
        tables: list[pa.Table] = []
        for first in range(0, len(plan.objects), _OBJECTS_AT_ONCE):
            names = [item.name for item in plan.objects[first : first + _OBJECTS_AT_ONCE]]
            some = [(item, rows) for item, rows in self._journal.read(names) if item in planned]
            found.update(item for item, _ in some)
            tables += compact([rows for _, rows in some])
        skipped = tuple(item.name for item in plan.objects if item not in found)
        return (seal_rows(tables) if tables else JOURNAL.empty_table()), skipped

    def _new_rows(self, kind: str, rows: pa.Table, seal: int) -> np.ndarray:
        """The places of rows of one kind that no earlier seal and no earlier object holds, in sealed order."""
        of_kind = np.flatnonzero(pc.equal(rows.column("row_kind"), ROW_KINDS[kind]).to_numpy())
        if not len(of_kind):
            return of_kind
        mine = rows.select(["video_id", "clip_index", "question_id", "question_hash", "attempts"]).take(
            pa.array(of_kind)
        )
        keys = KeyIndex(key_columns(kind, mine))
        is_sealed = self._sealed_keys.among(keys, kind, self._earlier_files(kind, seal))
        first = keys.first_rows()[~is_sealed]
        return of_kind[first[sort_order(kind, mine.take(pa.array(first)))]]

    def _earlier_files(self, kind: str, seal: int) -> list[str]:
        if self._sealed_uris is None:
            self._sealed_uris = {name: [] for name in KINDS}
            for record in read_seal_records(self._store, self._layout, self._config_id, num_seals=seal):
                self._remember(record)
        return self._sealed_uris[kind]

    def _remember(self, record: SealRecord) -> None:
        assert self._sealed_uris is not None
        for file in record.files:
            if file.num_rows:
                self._sealed_uris[file.kind].append(join(self._layout.root, file.uri))

    def _put_file(
        self, kind: str, partition: str, seal: int, data: bytes, counted: pa.Table
    ) -> tuple[SealedFile, pa.Table]:
        """Creates a file, or takes the one that is there for what it is."""
        uri = self._layout.sealed(kind, self._config_id, partition, seal)
        put = self._store.put_once(uri, data)
        reach("seal.file")
        if not put.same:  # another sealer saw other tombstones, or an erasure was here since
            data = self._store.read(uri)
            counted = read_columns(self._store, uri, counted_columns(kind))
        file = SealedFile(
            uri=uri.removeprefix(join(self._layout.root, "")),
            kind=kind,
            num_rows=counted.num_rows,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        return file, counted

    def _delete(self, plan: SealPlan, record: SealRecord, is_ours: bool) -> None:
        """Deletes a recorded seal's objects, the last by name at last: where it is gone, all of them are."""
        skipped = set(record.skipped)
        objects = [item for item in plan.objects if item.name not in skipped]
        if not is_ours and objects:
            if not self._is_there(objects[-1].name):
                return
            objects = self._still_there(objects)
        names = [item.name for item in objects]
        for some in (names[:-1], names[-1:]):
            self._store.delete(self._deleting(some))

    def _deleting(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield self._journal.uri(name)
            reach("seal.deleted")

    def _is_there(self, name: str) -> bool:
        try:
            self._store.stat(self._journal.uri(name))
        except ObjectNotFound:
            return False
        return True

    def _still_there(self, objects: Sequence[JournalObject]) -> list[JournalObject]:
        """Those with the planned bytes: another object that came since under a name is not sealed, and stays."""
        planned = set(objects)
        listed = {name for name, _ in self._journal.list()}
        names = [item.name for item in objects if item.name in listed]
        return [item for item, _ in self._journal.read(names) if item in planned]

    def _read_record(self, seal: int) -> SealRecord | None:
        return read_seal_record(self._store, self._layout, self._config_id, seal)
