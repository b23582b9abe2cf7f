"""Seal: the journal becomes right-sized Parquet in results/ and failures/, then the sealed journal objects go.

Seals of a config_id are numbered. Seal n goes through these steps, each of which any number of sealers may do at
once, die in, or wake up in much later:

    1. propose   put_once of the plan: exactly which journal objects, and which files. The first writer wins, and a
                 loser executes the winner's plan. Only once seal n - 1 is recorded and its objects are deleted.
    2. execute   read the plan's objects; leave out erased videos, then keys that an earlier seal or an earlier object
                 of this one holds; put_once of each file that the plan names.
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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

from framegate.pipelines.commit.journal_reader import JournalReader
from framegate.pipelines.commit.lots import Gathered, count_outputs, gather
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import (
    JournalObject,
    SealPlan,
    SealRecord,
    fix_layout,
    plan_bytes,
    read_plan,
    read_seal_record,
    read_seal_records,
    seal_names,
)
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.commit.write_seal import SealWriter, read_planned
from framegate.pipelines.failpoints import reach
from framegate.schemas.errors import ObjectNotFound, StorageError

__all__ = ["Sealed", "finish_seals", "fix_layout", "read_seal_records", "seal"]

DEFAULT_FILE_BYTES: Final = 128 * 2**20


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
    output: Output,
    config_id: str,
    *,
    file_bytes: int = DEFAULT_FILE_BYTES,
    partition_by: Sequence[str] = (),
) -> Sealed:
    """Seals everything in the journal of one config_id. On an empty journal it only finishes what was begun.

    `file_bytes` is what a sealed Parquet file comes to, about; it holds at least one video. Any number of processes may
    do this at once. Raises ConfigError where the tables are partitioned by something else, StorageError.
    """
    sealer = _Sealer(output, config_id)
    sealed = sealer.finish()
    while not sealer.is_empty():
        fix_layout(output, partition_by)
        for record in sealer.seal_lots(file_bytes, tuple(partition_by)):
            sealed = sealed.plus(record)
        if sealer.is_through:
            break
    return sealed


def finish_seals(output: Output, config_id: str) -> Sealed:
    """Completes the last seal there is a plan for: its files, its record, the deletion of its objects. No new seal."""
    return _Sealer(output, config_id).finish()


class _Sealer:
    """One process's part in the seals of a config_id. `num_seals`: seals 0..num_seals-1 are recorded and deleted."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._config_id = config_id
        self._journal = JournalReader(output.store, output.layout.folder("journal", config_id))
        self._writer = SealWriter(output, config_id)
        self.num_seals = 0
        self.is_through = False

    def finish(self) -> Sealed:
        """Completes the last plan, and every one that turns up behind it."""
        sealed = Sealed()
        numbers = [number for number, _ in seal_names(self._output, self._config_id)]
        self.num_seals = max(numbers, default=0)  # where there is a plan, all before it are complete
        while plan := read_plan(self._output, self._config_id, self.num_seals):
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
            put = self._output.store.put_once(
                self._output.layout.seal_plan(self._config_id, plan.seal), plan_bytes(plan)
            )
            reach("seal.planned")
            if not put.is_ours:
                theirs = read_plan(self._output, self._config_id, plan.seal)
                if theirs is None:
                    raise StorageError(f"the plan of seal {plan.seal} of {self._config_id} is there and cannot be read")
                del lot
                yield self._complete(theirs, None)
                return
            record = self._complete(plan, lot)
            del lot, plan  # half a GiB, before the next is gathered
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
        self._writer.remember(record)
        return record

    def _execute(self, plan: SealPlan, lot: Gathered | None) -> tuple[SealRecord, bool]:
        """The record that stands in the end, and whether it was created here."""
        tombstones = read_tombstones(self._output)  # after the plan: see above
        skipped: tuple[str, ...] = ()
        if lot is None:
            rows, skipped = read_planned(self._journal, plan)
            if skipped and (record := self._read_record(plan.seal)) is not None:
                return record, False
        else:
            rows = lot.rows
        record = self._writer.write(plan, rows, skipped, tombstones)
        put = self._output.store.put_once(
            self._output.layout.seal_record(self._config_id, plan.seal), record.to_bytes()
        )
        reach("seal.recorded")
        stands = record if put.is_ours else self._read_record(plan.seal)
        if stands is None:
            raise StorageError(f"the record of seal {plan.seal} of {self._config_id} is there and cannot be read")
        return stands, put.created

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
            self._output.store.delete(self._deleting(some))

    def _deleting(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield self._journal.uri(name)
            reach("seal.deleted")

    def _is_there(self, name: str) -> bool:
        try:
            self._output.store.stat(self._journal.uri(name))
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
        return read_seal_record(self._output, self._config_id, seal)
