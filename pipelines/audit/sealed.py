"""Sealed files against the records of their seals (`audit.seals`), and against the erasures that replaced them since.

`check_sealed` reads every file below results/, failures/ and clips/, and
takes in its rows.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.file_history import Histories, read_histories
from framegate.pipelines.audit.found_file import (
    ChangedMeanwhile,
    FoundFile,
    first_line,
    look_at,
    number_of,
    was_replaced,
)
from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.keys import CLIP, FAILURE, RESULT
from framegate.pipelines.audit.moments import find_future
from framegate.pipelines.audit.report import AuditReport, Check
from framegate.pipelines.audit.seals import Seals
from framegate.pipelines.audit.unknown_objects import SEALED_NAME, OutputNames
from framegate.pipelines.commit.growth import Mark
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.erase.records import Replacement
from framegate.pipelines.store import ObjectInfo, Store
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.counts import Counts
from framegate.schemas.errors import CredentialsError, FramegateError
from framegate.schemas.tables import CLIPS, CONFIG_ID, FAILURES, INPUT_PREFIX, NEWER_COLUMNS, RESULTS

SEALED_TABLES: Final = {"results": (RESULT, RESULTS), "failures": (FAILURE, FAILURES), "clips": (CLIP, CLIPS)}
_BATCH_ROWS: Final = 100_000
_CHUNK_BYTES: Final = 8 * 2**20
_AS_NUMBERS: Final = ["video_id", "question_hash", "clip_policy", "run_id", "video_uri"]  # few words, many rows


def check_sealed(
    report: AuditReport,
    output: Output,
    seals: Seals,
    replacements: Sequence[Replacement],
    intake: Intake,
    *,
    is_quick: bool,
) -> None:
    """Reads every file and adds what it holds to `seals`; with `is_quick` those alone that are not as recorded."""
    names, check, expected = OutputNames.of(output), report["sealed_files"], seals.files
    listed = [info for table in SEALED_TABLES for info in output.list(table) if info.uri.endswith(".parquet")]
    histories = Histories(replacements)
    for config_id, records in seals.records.items():
        _check_links(check, config_id, records, seals, histories)
    seen: set[str] = set()
    for info in listed:
        name = names.name(info.uri)
        seen.add(name)
        check.num_checked += 1
        known = expected.get(name)
        if known is not None and (late := find_future(known[1].last.file.bounds.get("written_at", (None, None))[1])):
            check.find(f"{name} has rows whose written_at {late}: compare it with a copy")
        if known is None:
            if sentence := _why_not_counted(output, seals, name, info):
                check.note(sentence)
                continue
            if not _is_pending(output, seals, name):
                check.find(
                    f"{name} is in no seal, so that nobody knows where its rows come from: move it out of the output"
                )
        try:
            if is_quick:
                found = look_at(check, output.store, info, name, known[1] if known else None)
            else:
                found = _read(report, output.store, info, name, intake)
        except ChangedMeanwhile:
            if known is not None:
                seals.ahead.add(known[0])
            continue
        if known is None:
            continue
        config_id, history = known
        steps = None
        if found is not None:
            if found.sha256 is not None:
                seals.digests[name] = found.sha256
            if found.mark.seal > history.last.seal and _is_planned(output, seals, config_id, found.mark.seal):
                seals.ahead.add(config_id)
                continue
            steps = histories.since(history.last.file, found.size_bytes, found.num_rows, found.sha256)
            if steps is None:
                check.find(_difference(history.last.file, found))
        if found is None or steps is None:
            seals.unsure.add(config_id)
            continue
        seals.num_rows[config_id, name.partition("/")[0]] += found.num_rows
        for run, counts in found.counts.items():
            key = (config_id, intake.runs.names[run])
            seals.found[key] = seals.found[key].plus(counts)
        for step in steps:
            seals.remove(config_id, step.removed)
    for name in sorted(set(expected) - seen):
        config_id, history = expected[name]
        if _was_merged_since(output, seals, config_id, name):
            seals.ahead.add(config_id)
            continue
        check.num_checked += 1
        check.find(f"{name} is missing, and its {history.last.file.num_rows:,} rows with it: bring it back from a copy")
        seals.unsure.add(config_id)


def _check_links(
    check: Check, config_id: str, records: Sequence[SealRecord], seals: Seals, histories: Histories
) -> None:
    """Between two seals that wrote to a file, erasures alone may have replaced it: what they removed is summed up."""
    for uri, history in read_histories(records, with_merged=True).items():
        for before, after in history.links:
            steps = histories.between(uri, before, after)
            if steps is None:
                check.find(
                    f"{uri} was sealed with sha256 {before}, and a later seal added to one with {after}; no erasure"
                    " replaced it: compare it with a copy"
                )
                seals.unsure.add(config_id)
            for step in steps or ():
                seals.remove(config_id, step.removed)
    for record in records:
        seals.remove(config_id, record.removed)


def _is_pending(output: Output, seals: Seals, name: str) -> bool:
    """Whether the file is of a seal that had no record when the records were read."""
    match = SEALED_NAME.fullmatch(name)
    return match is not None and _is_planned(output, seals, match.group(2), int(match.group(3)))


def _is_planned(output: Output, seals: Seals, config_id: str, seal: int) -> bool:
    """Whether a seal had a plan, and no record when the records were read."""
    if (config_id, seal) in seals.pending or config_id in seals.unknown:
        return True
    if any(record.seal == seal for record in seals.records.get(config_id, ())):
        return False
    log = SealLog(output, config_id)
    return log.read_plan(seal) is not None or log.read_folded(seal) is not None


def _why_not_counted(output: Output, seals: Seals, name: str, info: ObjectInfo) -> str | None:
    """A sentence about a file that no seal names, where its rows stand elsewhere as well, or it has none."""
    match = SEALED_NAME.fullmatch(name)
    if match is None:
        return None
    config_id, number = match.group(2), int(match.group(3))
    if name in seals.merged:
        return f"{name} was merged with others and waits to be deleted: 'framegate compact' does so"
    plan = SealLog(output, config_id).read_plan(number) if _is_planned(output, seals, config_id, number) else None
    if plan is not None and plan.merges:
        seals.ahead.add(config_id)
        return f"{name} is being merged from others: 'framegate compact' completes it"
    return None


def _was_merged_since(output: Output, seals: Seals, config_id: str, name: str) -> bool:
    """Whether a seal that had no record when the records were read has merged a file that is missing."""
    last = seals.records[config_id][-1].seal if seals.records[config_id] else -1
    log = SealLog(output, config_id)
    while (record := log.read_record(last + 1)) is not None:
        if name in {file.uri for file in record.merged}:
            return True
        last += 1
    return False


def _read(report: AuditReport, store: Store, info: ObjectInfo, name: str, intake: Intake) -> FoundFile | None:
    """What one file holds, with its rows counted by run; None, and a finding, where it cannot be read.

    Raises ChangedMeanwhile where another version took the place of the one that was begun with.
    """
    table, schema = SEALED_TABLES[name.partition("/")[0]]
    config_id = name.partition("config_id=")[2].partition("/")[0]
    counts: dict[int, Counts] = defaultdict(Counts)
    num_erased = 0
    try:
        with store.open_read(info.uri) as source:
            wrong = _check_schema(report, name, pq.ParquetFile(source).schema_arrow, schema)
            report["schema"].num_checked += 1
            if wrong & {*intake.columns(table), *_AS_NUMBERS}:
                return None
            file = pq.ParquetFile(source, read_dictionary=[name for name in _AS_NUMBERS if name in schema.names])
            of_old = [name for name in (CONFIG_ID.name,) if name in file.schema_arrow.names]
            for batch in file.iter_batches(_BATCH_ROWS, columns=[*intake.columns(table), *of_old]):
                rows = pa.Table.from_batches([batch])
                if of_old:
                    _check_config(report, name, rows, config_id)
                num_erased += intake.num_erased(rows)
                for run, more in intake.take(rows, table=table, config_id=config_id, file=name).items():
                    counts[run] = counts[run].plus(more)
            num_rows = file.metadata.num_rows
            mark = Mark.of(file.metadata, number=number_of(name))
            size_bytes = source.seek(0, io.SEEK_END)
            sha256 = _sha256_of(source)
    except CredentialsError:
        raise
    except (*PARQUET_ERRORS, ValueError, FramegateError) as error:
        if was_replaced(error):
            raise ChangedMeanwhile from error
        report["sealed_files"].find(f"{name} cannot be read ({first_line(error)}): bring it back from a copy")
        return None
    report["erased"].num_checked += num_rows if intake.tombstones else 0
    if num_erased:
        report["erased"].find(
            f"{name} holds {num_erased:,} rows of erased videos: run 'framegate erase' for them again"
        )
    return FoundFile(mark, num_rows, size_bytes, sha256, counts)


def _check_schema(report: AuditReport, name: str, there: pa.Schema, wanted: pa.Schema) -> set[str]:
    """The columns that are missing or have another type."""
    types = {column.name: column.type for column in there}
    expected = [column for column in wanted if column.name in types or column.name not in NEWER_COLUMNS]
    wrong = {column.name for column in expected if types.get(column.name) != column.type}
    for column in sorted(wrong):
        report["schema"].find(f"{name} has {types.get(column, 'nothing')} as {column}, not {wanted.field(column).type}")
    if CONFIG_ID.name in types:
        report["schema"].note(
            f"{name} has config_id as a column, which stands in its path as well: an earlier version wrote it, and"
            " 'framegate migrate' brings it up to date"
        )
    for column in types:
        if column not in (*wanted.names, CONFIG_ID.name) and not column.startswith(INPUT_PREFIX):
            report["schema"].find(
                f"{name} has a column {column} that is neither ours nor of a manifest ({INPUT_PREFIX}*)"
            )
    return wrong


def _check_config(report: AuditReport, name: str, rows: pa.Table, config_id: str) -> None:
    for other in rows.column(CONFIG_ID.name).cast(pa.string()).unique().to_pylist():
        if other != config_id:
            report["schema"].find(f"{name} holds rows of config_id {other}, which is not what its path says")


def _difference(file: SealedFile, found: FoundFile) -> str:
    """One sentence about a file that nothing explains."""
    what = f"{found.num_rows:,} rows and {found.size_bytes:,} bytes"
    was = f"{file.num_rows:,} rows and {file.size_bytes:,} bytes"
    if found.sha256 is not None:
        what, was = f"{what} with sha256 {found.sha256}", f"{was} with {file.sha256}"
    return f"{file.uri} has {what}, and was sealed with {was}; no erasure replaced it: bring it back from a copy"


def _sha256_of(source: BinaryIO) -> str:
    """Of an open file, of which some MiB are in memory at a time. Raises StorageError, OSError."""
    source.seek(0)
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
