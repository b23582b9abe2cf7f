"""The records of seals as an audit reads them: all that is listed, in order, and what is missing between them.

Only numbers that are listed are walked to. A foreign `99999999.json` is one finding, and not a walk of an hour.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from framegate.pipelines.audit.file_history import FileHistory, read_histories, read_history
from framegate.pipelines.audit.report import AuditReport, Check
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.seal_plan import FileName, SealPlan
from framegate.schemas.counts import Counts
from framegate.schemas.errors import CredentialsError, StorageError


@dataclass
class Seals:
    """What was sealed at one moment.

    records    by config_id, in order of the seals
    pending    (config_id, seal) that had a plan and no record
    unsure     config_ids of which a file is missing or cannot be read, so that nothing can be counted
    unknown    of those: whose records cannot be read at all
    ahead      config_ids of which a seal without a record has written to a file
    found      by (config_id, run_id): the SUMMED counts of the rows in sealed files
    removed    by the same: the answers, failures and deepened rows that erasures removed from them
    num_rows   by (config_id, table): rows in sealed files
    plans      that are there, of whatever config_id
    digests    by name: sha256 of each sealed file that was read; none in a quick audit
    """

    records: dict[str, list[SealRecord]] = field(default_factory=lambda: defaultdict(list))
    pending: set[tuple[str, int]] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    ahead: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], Counts] = field(default_factory=lambda: defaultdict(Counts))
    removed: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    num_rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    plans: list[SealPlan] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, tuple[str, FileHistory]]:
        """config_id and history of each file that should be there, by its name below the output."""
        return {
            uri: (config_id, history)
            for config_id, records in self.records.items()
            for uri, history in read_histories(records).items()
        }

    @property
    def merged(self) -> set[str]:
        """The names of files whose rows are in others, and that should be gone."""
        return {file.uri for records in self.records.values() for record in records for file in record.merged}

    @property
    def ever(self) -> set[str]:
        """The names of all files that a seal has written to."""
        return {file.uri for records in self.records.values() for record in records for file in record.files}

    def remove(self, config_id: str, removed: Mapping[str, Mapping[str, int]]) -> None:
        for run_id, numbers in removed.items():
            self.removed[config_id, run_id].update(numbers)


def read_seals(report: AuditReport, output: Output) -> Seals:
    """The records of all seals."""
    seals = Seals()
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    for folder in sorted(folders):
        if folder.startswith("config_id="):  # any other is a stray
            _read_config(report["sealed_files"], output, folder.removeprefix("config_id="), seals)
    return seals


def _read_config(check: Check, output: Output, config_id: str, seals: Seals) -> None:
    log = SealLog(output, config_id)
    names = list(log.numbers())
    if (folded := read_history(check, log, config_id)) is None:
        seals.unsure.add(config_id)
        seals.unknown.add(config_id)
        return
    seals.records[config_id] += folded
    recorded = sorted({number for number, is_record in names if is_record and number >= len(folded)})
    planned = sorted({number for number, is_record in names if not is_record and number >= len(folded)})
    records: dict[int, SealRecord] = {}
    next_seal = len(folded)
    for number in recorded:
        # A listing of a disk may have missed what was created meanwhile: the first one that is missing is looked up.
        while next_seal < number and (record := _read(check, log, config_id, next_seal, seals)) is not None:
            records[next_seal] = record
            next_seal += 1
        if next_seal < number:
            check.find(_missing(output, config_id, next_seal, number))
            seals.unsure.add(config_id)
        if (record := _read(check, log, config_id, number, seals)) is not None:
            records[number] = record
        next_seal = number + 1
    seals.records[config_id] += [records[number] for number in sorted(records)]
    for number in planned:
        name = f"seals/config_id={config_id}/{number:08d}.plan.parquet"
        if number > next_seal:
            check.find(f"{name} is out of order: seal {next_seal} comes next; move it elsewhere")
        elif (plan := _read_plan(check, log, number)) is None:
            continue
        else:
            seals.plans.append(plan)
            if number in records and (problem := _difference(plan, records[number])):
                check.find(f"{name} {problem}: compare both with a copy")
        if number == next_seal:
            seals.pending.add((config_id, number))
            check.note(
                f"seal {number} of config_id {config_id} is under way, or broke off: 'framegate seal' completes it"
            )
    for number in sorted(set(recorded) - set(planned)):
        if log.read_folded(number) is None:
            check.find(f"the plan of seal {number} of config_id {config_id} is missing: bring it back from a copy")


def _read(check: Check, log: SealLog, config_id: str, seal: int, seals: Seals) -> SealRecord | None:
    """None where it is not there, and with a finding where it cannot be read."""
    try:
        return log.read_record(seal)
    except CredentialsError:
        raise
    except StorageError as error:
        check.find(str(error))
        seals.unsure.add(config_id)
        return None


def _read_plan(check: Check, log: SealLog, seal: int) -> SealPlan | None:
    """None where it is folded meanwhile, and with a finding where it cannot be read."""
    try:
        return log.read_plan(seal)
    except CredentialsError:
        raise
    except StorageError as error:
        check.find(f"{error}; bring it back from a copy: 'framegate seal' needs it")
        return None


def _missing(output: Output, config_id: str, first: int, end: int) -> str:
    """`end` is the seal that has a record, and `first` the first before it that has none."""
    last = output.layout.seal_record(config_id, end)
    if end - first == 1:
        what, where = f"the record of seal {first} of config_id {config_id} is", output.layout.seal_record
        cure = f"bring {where(config_id, first)} back from a copy"
    else:
        what, cure = (
            f"the records of seals {first} to {end - 1} of config_id {config_id} are",
            "bring them back from a copy",
        )
    return f"{what} missing, though there is one of seal {end}: {cure}, or where {last} is none of ours, move that away"


def _difference(plan: SealPlan, record: SealRecord) -> str:
    """What a plan and the record of the same seal cannot both say; empty where nothing."""
    num_skipped = len(record.skipped)
    if not plan.merges and len(plan.objects) != record.num_units + num_skipped:
        return (
            f"names {len(plan.objects):,} objects, and its record has {record.num_units:,} units and {num_skipped:,}"
            " that were skipped"
        )
    names = {FileName(table=file.table, partition=file.partition, number=file.number) for file in record.files}
    planned = {*plan.outputs, *(plan.completes or ())}
    # Where objects were skipped, a row's partition may come out otherwise than planned: it goes to a file of the seal.
    others = sorted(name for name in names - planned if name.number != record.seal)
    return f"does not name {others[0]}, to which its record wrote" if others else ""
