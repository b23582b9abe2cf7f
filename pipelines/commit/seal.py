"""Seal: the journal becomes right-sized Parquet in results/ and failures/, then the sealed journal objects are deleted.

The seals of a config_id are numbered. Seal n goes through four steps. Any number of sealers may do a step at once, die
in it, or wake up in it much later:

    1. propose   put_once of the plan: which journal objects, and which file each partition's rows go to: its last one,
                 where that is not full, or a new one. The first plan counts: every other sealer executes it. It is
                 proposed only after seal n - 1 is recorded and its objects are deleted.
    2. execute   read the plan's objects; leave out erased videos, and keys that an earlier seal or an earlier object of
                 this one holds; bring each file that the plan names to its next version, marked n.
    3. record    put_once of what was added to the files, and what they are now.
    4. delete    the plan's journal objects.
    5. fold      the records of complete seals go into the history, and their plans and records as objects
                 (`pipelines.commit.seal_history`).

To complete a seal is to do what is left of steps 2 to 4. Seals of two other kinds are numbered with these, and go the
same way: one merges files (`pipelines.commit.compact`), and one completes rows of results with what `framegate deepen`
found out (`pipelines.commit.completion`).

How a file comes to its next version. It is read whole, with the version of its bytes. If it is marked n, another sealer
was first, and its rows stand. If it is marked with a later number, seal n is recorded, and the sealer stops. Else the
rows are added at its end (`pipelines.commit.growth`), and the object is replaced by If-Match: where it has changed
meanwhile, it is read again. A new file begins as a reservation: put_once of an empty file with a random nonce, which is
then replaced like any other.

Why no key is ever there twice. Nothing but a replacement of a version marked before n puts rows of seal n into a file,
and what it puts there is marked n: each file gets the rows of seal n once. An executor leaves out the keys that seals 0
to n-1 hold. All of those are recorded, and their rows leave a file only by an erasure, or for another file by a merge.
So two executors add the same rows to the same files. Files are deleted by a merge alone (`pipelines.commit.compact`),
when every seal before it is recorded and the file is marked with the merge. A sleeper then finds its version gone for
ever: a replacement of it fails. If it was about to reserve the name, it does so, and stops at the record of its seal,
which it looks for between reading a reservation and replacing it. A reservation that was read before the record was
created has been replaced since, and one that is created after it, with a nonce of its own, is never written to.

Why no row is lost. An object is deleted only after the record, and the record is created after all files are marked.
What is committed meanwhile is in no plan yet, and is sealed later. A committer that was frozen may create another
object under the name of a sealed one. It is left to a later seal, whose anti-join knows its keys. One case is not
covered: if that happens between another sealer's check and its delete, the object is deleted unsealed. It can then hold
an answer of a question that had failed before; the failure stays, and the question is asked again.

Why an erased row does not come back. Tombstones are read after the plan exists. An executor that saw no tombstone
executes a plan older than the tombstone. The erasure completes that plan before it replaces files, so that all its
files are marked (a file is marked even where no row is left for it), and an erasure keeps the mark. For the same
reason an object that an executor finds missing or changed is either sealed, and then the record exists and the executor
stops, or of an erased video: it is skipped, and the record says so. Dead bytes of a file hold no row that its living
ones do not: rows leave a file only by an erasure, which writes it anew as a whole.

Why folding does no harm. A sealer that slept may create a plan or a record anew whose name was free again. It reads the
history after that, and before it writes, deletes or counts anything: a seal that is in there is complete.

Why the record says the same whoever makes it. The rows that a seal added are the last ones of a file, in row groups of
their own, and the mark says how many they are. A sealer that goes on where another one died reads them there, and looks
for the keys of earlier seals in the row groups before them.

Why the same journal gives the same bytes. There is no clock, and no random number outlives a reservation; rows are
sorted, and a plan depends on the journal from its first object on and on the files of earlier seals alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property, partial
from typing import Final

from framegate.pipelines.commit.batches import Batch, read_batches
from framegate.pipelines.commit.compact import choose_merge, merge_files
from framegate.pipelines.commit.file_writer import SealedMeanwhile
from framegate.pipelines.commit.fixed import read_fixed
from framegate.pipelines.commit.journal_reader import JournalReader
from framegate.pipelines.commit.migrate import choose_lacking, choose_outdated
from framegate.pipelines.commit.open_files import OpenFiles
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import fix_partitioning
from framegate.pipelines.commit.seal_log import SealLog, SealRecord, files_of
from framegate.pipelines.commit.seal_outcome import Sealed
from framegate.pipelines.commit.seal_plan import SealPlan
from framegate.pipelines.commit.seal_remover import SealRemover
from framegate.pipelines.commit.seal_writer import SealWriter, read_planned
from framegate.pipelines.commit.sealed_columns import Inputs
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.schemas.errors import ObjectNotFound, StorageError
from framegate.schemas.tables import JOURNAL

DEFAULT_FILE_BYTES: Final = 128 * 2**20
SEALED_FOLDERS: Final = ("journal", "deepened")
"""In this order, so that a row is sealed before it is completed (`pipelines.commit.completion`)."""

FOLD_FROM: Final = 4
"""So many complete seals with objects of their own are folded: readers ask for fewer than that, and for the history."""


def seal(
    output: Output, config_id: str, *, file_bytes: int = DEFAULT_FILE_BYTES, partition_by: Sequence[str] = ()
) -> Sealed:
    """Seals everything in the journal of one config_id, and what is deepened. Where nothing is there it only completes
    what was begun.

    `file_bytes` is the size at which a sealed file is full: a partition's last file is filled up before another one
    is begun. Small files that lack a column of the output get it, too (`pipelines.commit.migrate`). Any number of
    processes may do this at once. Raises ConfigError where the tables are partitioned by
    something else, StorageError.
    """
    sealer = _Sealer(output, config_id)
    sealed = sealer.finish()
    for folder in SEALED_FOLDERS:
        while not sealer.is_empty(folder):
            zoned = fix_partitioning(output, partition_by)
            for record in sealer.seal_batches(folder, file_bytes, zoned):
                sealed = sealed.plus(record)
            if sealer.is_through:
                break
    if sealed.num_units and (record := sealer.bring_up(file_bytes)) is not None:
        sealed = sealed.plus(record)
    sealer.fold()
    return sealed


def finish_seals(output: Output, config_id: str) -> Sealed:
    """Completes the last seal that has a plan: its files, its record, the deletion of its objects. No new seal."""
    return _Sealer(output, config_id).finish()


def compact(output: Output, config_id: str, *, file_bytes: int = DEFAULT_FILE_BYTES) -> Sealed:
    """Merges the small files of each partition, until no two of them fit into a file of `file_bytes` together.

    Completes first what was begun. Any number of processes may do this at once, beside runs, seals and erasures.
    Raises StorageError.
    """
    sealer = _Sealer(output, config_id)
    sealed = sealer.finish()
    while (record := sealer.compact_once(file_bytes)) is not None:
        sealed = sealed.plus(record)
    return sealed


def migrate(output: Output, config_id: str, *, file_bytes: int = DEFAULT_FILE_BYTES) -> Sealed:
    """Brings sealed files up to date (`pipelines.commit.migrate`), as far as this version can.

    Completes first what was begun. Any number of processes may do this at once, beside runs, seals and erasures.
    Raises StorageError.
    """
    sealer = _Sealer(output, config_id)
    sealed, tried = sealer.finish(), set[str]()
    while (record := sealer.migrate_once(file_bytes, tried)) is not None:
        tried.update(file.uri for file in record.files)
        sealed = sealed.plus(record)
    sealer.fold()
    return sealed


class _Sealer:
    """One process's part in the seals of a config_id. `num_seals`: seals 0..num_seals-1 are recorded and deleted."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._config_id = config_id
        self._log = SealLog(output, config_id)
        self._journals = {
            folder: JournalReader(output.store, output.layout.folder(folder, config_id)) for folder in SEALED_FOLDERS
        }
        self._writer = SealWriter(output, config_id)
        self._remover = SealRemover(output.store, self._journals, self._writer.files)
        self.num_seals = 0
        self.is_through = False
        self._has_leftovers = False

    @cached_property
    def _inputs(self) -> Inputs:
        fixed = read_fixed(self._output)
        return {} if fixed is None else fixed.inputs

    def finish(self) -> Sealed:
        """Completes the last plan, and each one that is created after it."""
        sealed = Sealed()
        # Where there is a plan, all seals before it are complete, and so are those in the history.
        self.num_seals, self._has_leftovers = self._log.find_last()  # leftovers: of a sealer that died as it folded
        while plan := self._log.read_plan(self.num_seals):
            was_recorded = self._log.read_record(plan.seal) is not None
            record = self._complete(plan, None)
            sealed = sealed if was_recorded else sealed.plus(record)
        return sealed

    def fold(self) -> None:
        """Brings the records of all complete seals into the history, where that spares readers some requests."""
        if self._has_leftovers or self.num_seals - self._log.num_folded >= FOLD_FROM:
            self._log.fold(self.num_seals)

    def is_empty(self, folder: str) -> bool:
        return next(self._journals[folder].list(), None) is None

    def seal_batches(self, folder: str, file_bytes: int, partition_by: tuple[str, ...]) -> Iterator[SealRecord]:
        """Goes through the journal, or what is deepened, once, or until another sealer's plan shows that the listing is
        old."""
        self.is_through = False
        batches = read_batches(
            self._journals[folder],
            self._journals[folder].list(),
            file_bytes=file_bytes,
            partition_by=partition_by,
            open_bytes=lambda: self._open_files(file_bytes).sizes,
            inputs=self._inputs,
        )
        for batch in batches:
            try:
                plan, is_ours = self._propose(folder, batch, file_bytes, partition_by)
            except ObjectNotFound:  # a later seal has merged a file
                yield self._complete_what_came()
                return
            if not is_ours:
                del batch
                yield self._complete(plan, None)
                return
            record = self._complete(plan, batch)
            is_old = plan.seal < self._log.num_folded  # others have sealed this number since the journal was listed
            del batch, plan  # some hundred MiB, before the next batch is read
            yield record
            if record.skipped or is_old:
                return
        self.is_through = True

    def compact_once(self, file_bytes: int) -> SealRecord | None:
        """Merges some files, or completes the seal that another process proposed; None where nothing can be merged."""
        return self._seal_files(partial(choose_merge, file_bytes=file_bytes))

    def migrate_once(self, file_bytes: int, tried: Collection[str]) -> SealRecord | None:
        """The same of files that are brought up to date, but those that were `tried`."""
        return self._seal_files(partial(choose_outdated, file_bytes=file_bytes, inputs=self._inputs, tried=tried))

    def bring_up(self, file_bytes: int) -> SealRecord | None:
        """The same of files that lack columns, as far as that is done by the way."""
        return self._seal_files(
            lambda _, files, seal: choose_lacking(files, file_bytes=file_bytes, seal=seal, inputs=self._inputs)
        )

    def _seal_files(self, choose: Callable[..., SealPlan | None]) -> SealRecord | None:
        files = self._files_before(self.num_seals)
        try:
            ours = choose(self._output, files, seal=self.num_seals)
        except ObjectNotFound:  # a later seal has merged the file
            return self._complete_what_came()
        return None if ours is None else self._complete(self._log.propose(ours), None)

    def _complete_what_came(self) -> SealRecord:
        """The seal that comes next, called where a file is gone: it has a plan by now, or is complete. Raises
        ObjectNotFound where it is not."""
        if (plan := self._log.read_plan(self.num_seals)) is not None:
            return self._complete(plan, None)
        if (record := self._log.read_folded(self.num_seals)) is None:
            raise ObjectNotFound(
                f"a sealed file of config_id {self._config_id} is gone, and no seal has merged it: bring it back from a"
                " copy"
            )
        self.num_seals = max(self.num_seals, self._log.num_folded)
        return record

    def _propose(
        self, folder: str, batch: Batch, file_bytes: int, partition_by: tuple[str, ...]
    ) -> tuple[SealPlan, bool]:
        """Step 1. Returns the first plan that was created, and whether it is ours."""
        completes = None
        if folder == "deepened":
            completes = self._writer.choose_files(self.num_seals, batch.rows, self._files_before(self.num_seals))
        ours = SealPlan(
            seal=self.num_seals,
            objects=batch.objects,
            outputs=self._open_files(file_bytes).choose(batch.rows, partition_by, seal=self.num_seals),
            partition_by=partition_by,
            file_bytes=file_bytes,
            completes=completes,
        )
        plan = self._log.propose(ours)
        return plan, plan is ours

    def _open_files(self, file_bytes: int) -> OpenFiles:
        return OpenFiles(self._output, self._files_before(self.num_seals), file_bytes=file_bytes, inputs=self._inputs)

    def _files_before(self, seal: int) -> list[SealedFile]:
        return list(files_of(self._log.records_before(seal)).values())

    def _complete(self, plan: SealPlan, batch: Batch | None) -> SealRecord:
        """Steps 2 to 4, of which others may have done some. `batch` has the rows of the plan, if it is ours."""
        if (record := self._log.read_folded(plan.seal)) is not None:  # the plan may be one of a name that was free
            self._log.delete_folded(plan.seal)
            self.num_seals = max(self.num_seals, self._log.num_folded)
            return record
        record = self._log.read_record(plan.seal)
        is_ours = False
        if record is None:
            record, is_ours = self._execute(plan, batch)
            if is_ours:
                place = "seal.recorded" if plan.completes is None else "deepen.recorded"
                record, is_ours = self._log.add_record(record, place=place)  # step 3
        self._remover.remove(plan, record, is_ours=is_ours)
        self.num_seals = plan.seal + 1
        return record

    def _execute(self, plan: SealPlan, batch: Batch | None) -> tuple[SealRecord, bool]:
        """Step 2. Returns the record to create and True, or another sealer's record that exists by now and False."""
        tombstones = read_tombstones(self._output)  # after the plan: see above
        skipped: tuple[str, ...] = ()
        if batch is None and not plan.merges:
            rows, skipped = read_planned(self._journals[plan.folder], plan, self._inputs)
            if skipped and (record := self._log.read_record(plan.seal)) is not None:
                return record, False
        else:
            rows = JOURNAL.empty_table() if batch is None else batch.rows
        sealed = self._files_before(plan.seal)
        try:
            if plan.merges:
                return merge_files(self._writer.files, plan, tombstones, self._inputs), True
            record = self._writer.write(
                plan, rows, skipped=skipped, tombstones=tombstones, sealed=sealed, inputs=self._inputs
            )
            return record, True
        except SealedMeanwhile:
            record = self._log.read_record(plan.seal)
            if record is None:
                raise StorageError(
                    f"files of seal {plan.seal} are marked with a later one, and its record is missing: bring it back"
                    " from a copy"
                ) from None
            return record, False
