"""Sealed files against the records of their seals, and against the erasures that replaced them since.

`look_at_seals` says what is sealed; `check_sealed` reads every file below results/ and failures/ and hands its rows on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.content import difference, replacements, sha256_of
from framegate.pipelines.audit.intake import SUMS, Intake
from framegate.pipelines.audit.keys import FAILURE, RESULT
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.audit.strays import SEALED_NAME, Below
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealedFile, SealRecord, read_plan, read_seal_record, seal_names
from framegate.pipelines.erase.records import Note
from framegate.pipelines.store import ObjectInfo, Store
from framegate.schemas.errors import CredentialsError, FramegateError, StorageError
from framegate.schemas.tables import FAILURES, INPUT_PREFIX, RESULTS

TABLES: Final = {"results": (RESULT, RESULTS), "failures": (FAILURE, FAILURES)}
_BATCH_ROWS: Final = 100_000
_AS_NUMBERS: Final = ["config_id", "video_id", "question_hash", "run_id", "video_uri"]  # few words, many rows


def _no_sums() -> np.ndarray:
    return np.zeros(len(SUMS), np.int64)


@dataclass
class Seals:
    """What was sealed at one moment.

    records    by config_id, in order of the seals
    pending    (config_id, seal) with a plan and, then, no record
    unsure     config_ids of which a file is missing or cannot be read, so that nothing can be summed up
    found      by (config_id, seal, run_id): SUMS of the rows that stand in the seal's files
    removed    by the same: the answers and failures that erasures took out of them
    """

    records: dict[str, list[SealRecord]] = field(default_factory=lambda: defaultdict(list))
    pending: set[tuple[str, int]] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    found: dict[tuple[str, int, str], np.ndarray] = field(default_factory=lambda: defaultdict(_no_sums))
    removed: dict[tuple[str, int, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def files(self) -> dict[str, tuple[str, int, SealedFile]]:
        """config_id, seal and file, by its name below the output."""
        return {f.uri: (id, r.seal, f) for id, records in self.records.items() for r in records for f in r.files}


def look_at_seals(report: AuditReport, output: Output) -> Seals:
    """Every record, as of now."""
    seals, check = Seals(), report["sealed_files"]
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    for config_id in sorted(folder.removeprefix("config_id=") for folder in folders):
        names = list(seal_names(output, config_id))
        recorded = sorted(number for number, is_record in names if is_record)
        for number in range(recorded[-1] + 1 if recorded else 0):
            try:
                record = read_seal_record(output, config_id, number)
            except CredentialsError:
                raise
            except StorageError as error:
                check.find(str(error))
                seals.unsure.add(config_id)
                continue
            if record is None:
                check.find(
                    f"the record of seal {number} of config_id {config_id} is missing, though there is one of seal"
                    f" {recorded[-1]}: bring {output.layout.seal_record(config_id, number)} back from a copy"
                )
                seals.unsure.add(config_id)
            else:
                seals.records[config_id].append(record)
        for number in {n for n, is_record in names if not is_record} - set(recorded):
            seals.pending.add((config_id, number))
            check.note(
                f"seal {number} of config_id {config_id} is under way, or broke off: 'framegate seal' completes it"
            )
    return seals


def check_sealed(
    report: AuditReport,
    output: Output,
    seals: Seals,
    notes: Sequence[Note],
    intake: Intake,
    *,
    is_quick: bool,
) -> None:
    """Looks at every file and adds what it finds to `seals`."""
    below, check, expected = Below.of(output), report["sealed_files"], seals.files
    listed = [info for kind in TABLES for info in output.list(kind) if info.uri.endswith(".parquet")]
    seen: set[str] = set()
    for info in listed:
        name = below.name(info.uri)
        seen.add(name)
        check.num_checked += 1
        known = expected.get(name)
        if known is None and not _is_pending(output, seals, name):
            check.find(
                f"{name} is in no seal, so that nobody knows where its rows come from: move it out of the output"
            )
        found = _read(report, output.store, info, name, intake)
        if known is None:
            continue
        config_id, seal, file = known
        steps = None
        if found is not None:
            digest = None if is_quick else sha256_of(output.store, info.uri)
            steps = replacements(file, info, found.num_rows, digest, notes)
            if steps is None:
                check.find(difference(file, info, found.num_rows, digest))
        if found is None or steps is None:
            seals.unsure.add(config_id)
            continue
        for run, values in found.sums.items():
            seals.found[config_id, seal, intake.runs.names[run]] += values
        for note in steps:
            for run_id, counts in note.removed.items():
                seals.removed[config_id, seal, run_id].update(counts)
    for name in sorted(set(expected) - seen):
        config_id, _, file = expected[name]
        check.num_checked += 1
        check.find(f"{name} is missing, and its {file.num_rows:,} rows with it: bring it back from a copy")
        seals.unsure.add(config_id)


@dataclass
class _Found:
    num_rows: int
    sums: dict[int, np.ndarray]


def _is_pending(output: Output, seals: Seals, name: str) -> bool:
    """Whether the file is of a seal that was not recorded when we looked; by now it may be."""
    match = SEALED_NAME.fullmatch(name)
    if match is None:
        return False
    config_id, number = match.group(2), int(match.group(3))
    if (config_id, number) in seals.pending:
        return True
    is_recorded = any(record.seal == number for record in seals.records.get(config_id, ()))
    return not is_recorded and read_plan(output, config_id, number) is not None


def _read(report: AuditReport, store: Store, info: ObjectInfo, name: str, intake: Intake) -> _Found | None:
    """Rows and sums of one file; None, and a finding, where it cannot be read."""
    kind, schema = TABLES[name.partition("/")[0]]
    config_id = name.partition("config_id=")[2].partition("/")[0]
    sums: dict[int, np.ndarray] = defaultdict(_no_sums)
    num_erased = 0
    try:
        with store.open_read(info.uri) as source:
            wrong = _check_schema(report, name, pq.ParquetFile(source).schema_arrow, schema)
            report["schema"].num_checked += 1
            if wrong & {*intake.columns(kind), "config_id", *_AS_NUMBERS}:
                return None
            file = pq.ParquetFile(source, read_dictionary=_AS_NUMBERS)
            for batch in file.iter_batches(_BATCH_ROWS, columns=[*intake.columns(kind), "config_id"]):
                table = pa.Table.from_batches([batch])
                _check_config(report, name, table, config_id)
                num_erased += intake.num_erased(table)
                for run, values in intake.take(table, kind=kind, config_id=config_id, file=name).items():
                    sums[run] += values
            num_rows = file.metadata.num_rows
    except CredentialsError:
        raise
    except (pa.ArrowException, OSError, FramegateError) as error:
        report["sealed_files"].find(f"{name} cannot be read ({_first_line(error)}): bring it back from a copy")
        return None
    report["erased"].num_checked += num_rows if intake.tombstones else 0
    if num_erased:
        report["erased"].find(
            f"{name} holds {num_erased:,} rows of erased videos: run 'framegate erase' for them again"
        )
    return _Found(num_rows, sums)


def _check_schema(report: AuditReport, name: str, there: pa.Schema, wanted: pa.Schema) -> set[str]:
    """Columns that are missing or of another type."""
    types = {column.name: column.type for column in there}
    wrong = {column.name for column in wanted if types.get(column.name) != column.type}
    for column in sorted(wrong):
        report["schema"].find(f"{name} has {types.get(column, 'nothing')} as {column}, not {wanted.field(column).type}")
    for column in types:
        if column not in wanted.names and not column.startswith(INPUT_PREFIX):
            report["schema"].find(
                f"{name} has a column {column} that is neither ours nor of a manifest ({INPUT_PREFIX}*)"
            )
    return wrong


def _check_config(report: AuditReport, name: str, table: pa.Table, config_id: str) -> None:
    for other in table.column("config_id").cast(pa.string()).unique().to_pylist():
        if other != config_id:
            report["schema"].find(f"{name} holds rows of config_id {other}, which is not what its path says")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
