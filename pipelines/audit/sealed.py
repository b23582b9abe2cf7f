"""Sealed files against the records of their seals, and against the erasures that replaced them since.

`read_seals` says what is sealed. `check_sealed` reads every file below results/ and failures/ and takes in its rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.keys import FAILURE, RESULT
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.audit.unknown_objects import SEALED_NAME, OutputNames
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealedFile, SealLog, SealRecord
from framegate.pipelines.erase.records import Replacement
from framegate.pipelines.store import ObjectInfo, Store
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.counts import Counts
from framegate.schemas.errors import CredentialsError, FramegateError, StorageError
from framegate.schemas.tables import FAILURES, INPUT_PREFIX, RESULTS

SEALED_TABLES: Final = {"results": (RESULT, RESULTS), "failures": (FAILURE, FAILURES)}
_BATCH_ROWS: Final = 100_000
_CHUNK_BYTES: Final = 8 * 2**20
_AS_NUMBERS: Final = ["config_id", "video_id", "question_hash", "run_id", "video_uri"]  # few words, many rows


@dataclass
class Seals:
    """What was sealed at one moment.

    records    by config_id, in order of the seals
    pending    (config_id, seal) that had a plan and no record
    unsure     config_ids of which a file is missing or cannot be read, so that nothing can be counted
    found      by (config_id, seal, run_id): the SUMMED counts of the rows in the seal's files
    removed    by the same: the answers and failures that erasures removed from them
    """

    records: dict[str, list[SealRecord]] = field(default_factory=lambda: defaultdict(list))
    pending: set[tuple[str, int]] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    found: dict[tuple[str, int, str], Counts] = field(default_factory=lambda: defaultdict(Counts))
    removed: dict[tuple[str, int, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def files(self) -> dict[str, tuple[str, int, SealedFile]]:
        """config_id, seal and file, by its name below the output."""
        return {f.uri: (id, r.seal, f) for id, records in self.records.items() for r in records for f in r.files}


def read_seals(report: AuditReport, output: Output) -> Seals:
    """The records of all seals."""
    seals, check = Seals(), report["sealed_files"]
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    for config_id in sorted(folder.removeprefix("config_id=") for folder in folders):
        log = SealLog(output, config_id)
        names = list(log.numbers())
        recorded = sorted(number for number, is_record in names if is_record)
        for number in range(recorded[-1] + 1 if recorded else 0):
            try:
                record = log.read_record(number)
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
    replacements: Sequence[Replacement],
    intake: Intake,
    *,
    is_quick: bool,
) -> None:
    """Reads every file and adds what it holds to `seals`."""
    names, check, expected = OutputNames.of(output), report["sealed_files"], seals.files
    listed = [info for table in SEALED_TABLES for info in output.list(table) if info.uri.endswith(".parquet")]
    seen: set[str] = set()
    for info in listed:
        name = names.name(info.uri)
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
            digest = None if is_quick else _sha256_of(output.store, info.uri)
            steps = _explain(file, info, found.num_rows, digest, replacements)
            if steps is None:
                check.find(_difference(file, info, found.num_rows, digest))
        if found is None or steps is None:
            seals.unsure.add(config_id)
            continue
        for run, counts in found.counts.items():
            key = (config_id, seal, intake.runs.names[run])
            seals.found[key] = seals.found[key].plus(counts)
        for step in steps:
            for run_id, removed in step.removed.items():
                seals.removed[config_id, seal, run_id].update(removed)
    for name in sorted(set(expected) - seen):
        config_id, _, file = expected[name]
        check.num_checked += 1
        check.find(f"{name} is missing, and its {file.num_rows:,} rows with it: bring it back from a copy")
        seals.unsure.add(config_id)


@dataclass
class _Found:
    num_rows: int
    counts: dict[int, Counts]


def _is_pending(output: Output, seals: Seals, name: str) -> bool:
    """Whether the file is of a seal that had no record when the records were read."""
    match = SEALED_NAME.fullmatch(name)
    if match is None:
        return False
    config_id, number = match.group(2), int(match.group(3))
    if (config_id, number) in seals.pending:
        return True
    is_recorded = any(record.seal == number for record in seals.records.get(config_id, ()))
    return not is_recorded and SealLog(output, config_id).read_plan(number) is not None


def _read(report: AuditReport, store: Store, info: ObjectInfo, name: str, intake: Intake) -> _Found | None:
    """The number of rows of one file, and their counts by run; None, and a finding, where it cannot be read."""
    table, schema = SEALED_TABLES[name.partition("/")[0]]
    config_id = name.partition("config_id=")[2].partition("/")[0]
    counts: dict[int, Counts] = defaultdict(Counts)
    num_erased = 0
    try:
        with store.open_read(info.uri) as source:
            wrong = _check_schema(report, name, pq.ParquetFile(source).schema_arrow, schema)
            report["schema"].num_checked += 1
            if wrong & {*intake.columns(table), "config_id", *_AS_NUMBERS}:
                return None
            file = pq.ParquetFile(source, read_dictionary=_AS_NUMBERS)
            for batch in file.iter_batches(_BATCH_ROWS, columns=[*intake.columns(table), "config_id"]):
                rows = pa.Table.from_batches([batch])
                _check_config(report, name, rows, config_id)
                num_erased += intake.num_erased(rows)
                for run, more in intake.take(rows, table=table, config_id=config_id, file=name).items():
                    counts[run] = counts[run].plus(more)
            num_rows = file.metadata.num_rows
    except CredentialsError:
        raise
    except (*PARQUET_ERRORS, FramegateError) as error:
        report["sealed_files"].find(f"{name} cannot be read ({_first_line(error)}): bring it back from a copy")
        return None
    report["erased"].num_checked += num_rows if intake.tombstones else 0
    if num_erased:
        report["erased"].find(
            f"{name} holds {num_erased:,} rows of erased videos: run 'framegate erase' for them again"
        )
    return _Found(num_rows, counts)


def _check_schema(report: AuditReport, name: str, there: pa.Schema, wanted: pa.Schema) -> set[str]:
    """The columns that are missing or have another type."""
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


def _check_config(report: AuditReport, name: str, rows: pa.Table, config_id: str) -> None:
    for other in rows.column("config_id").cast(pa.string()).unique().to_pylist():
        if other != config_id:
            report["schema"].find(f"{name} holds rows of config_id {other}, which is not what its path says")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _explain(
    file: SealedFile, info: ObjectInfo, num_rows: int, digest: str | None, replacements: Sequence[Replacement]
) -> list[Replacement] | None:
    """The replacements by erasures that lead from the sealed file to the one that is there, in order.

    Empty where the file is as it was sealed, None where nothing explains it. Without `digest`, only rows and size are
    compared, and an erasure is recognised by the number of rows that it left.
    """
    if num_rows == file.num_rows and info.size_bytes == file.size_bytes and digest in (None, file.sha256):
        return []
    of_file = [each for each in replacements if each.file == file.uri]
    waiting: list[tuple[str | None, list[Replacement]]] = [(file.sha256, [])]
    seen: set[str | None] = set()
    while waiting:
        here, steps = waiting.pop(0)
        if steps and steps[-1].rows_after == num_rows and digest in (None, here):
            return steps
        if here not in seen:
            seen.add(here)
            waiting += [(each.sha256_after, [*steps, each]) for each in of_file if each.sha256_before == here]
    return None


def _difference(file: SealedFile, info: ObjectInfo, num_rows: int, digest: str | None) -> str:
    """One sentence about a file that nothing explains."""
    what = f"{num_rows:,} rows and {info.size_bytes:,} bytes" + (f" with sha256 {digest}" if digest else "")
    was = f"{file.num_rows:,} rows and {file.size_bytes:,} bytes" + (f" with {file.sha256}" if digest else "")
    return f"{file.uri} has {what}, and was sealed with {was}; no erasure replaced it: bring it back from a copy"


def _sha256_of(store: Store, uri: str) -> str:
    """Of an object, of which some MiB are in memory at a time. Raises StorageError, OSError."""
    digest = hashlib.sha256()
    with store.open_read(uri) as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
