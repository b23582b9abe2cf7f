"""Compacting: small files of one partition become one. It is a seal like any other, but for where its rows come from.

Seal n of this kind has no journal objects. Its plan names the files that are merged, and the new file. It is executed
in this order, by any number of processes, each of which may die or freeze anywhere:

    1. mark     each of the files with n, whose rows stay as they are: no seal before n can add to it from now on
    2. write    the new file with the rows of all of them, without those of erased videos
    3. record   the new file, the files that are merged, and how many rows of erased videos were left out
    4. delete   the files that are merged

Between 2 and 4 a plain glob meets the rows twice. Whoever goes by the records does not, as our own readers do
(`pipelines.results.merging`): until the seal is recorded the new file is none of the sealed ones, and from then on the
merged files are none. A killed process leaves that to the
next one: any seal, erasure or compacting completes it first.

Why a sleeper brings no row back stands in `pipelines.commit.seal`: files that are deleted are marked before, so that no
version is left that a seal before n might replace, and a name is reserved before it is written to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.file_writer import Brought, FileWriter
from framegate.pipelines.commit.growth import merge_sorted
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealRecord
from framegate.pipelines.commit.seal_plan import FileName, SealPlan
from framegate.pipelines.commit.sealed_answers import SealedAnswers
from framegate.pipelines.commit.sealed_columns import SCHEMAS, Inputs, align, common_schema, is_of_this_version
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.tombstones import without_erased
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import one_of_ours, read_parquet

MAX_MERGED_BYTES: Final = 128 * 2**20
"""Files that are merged have no more than this together, whatever the size at which one is full: memory holds them."""


def choose_merge(output: Output, files: Iterable[SealedFile], *, file_bytes: int, seal: int) -> SealPlan | None:
    """The plan that merges small files of one partition, as many as fit into one file; None where no two fit.

    Raises StorageError where a file cannot be read.
    """
    small: dict[tuple[str, str], list[SealedFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.uri):
        if file.size_bytes < file_bytes:
            small[file.table, file.partition].append(file)
    for (table, partition), of_partition in sorted(small.items()):
        chosen = _fill(output, of_partition, min(file_bytes, MAX_MERGED_BYTES)) if len(of_partition) > 1 else []
        if len(chosen) > 1:
            return SealPlan(
                seal=seal,
                objects=(),
                outputs=(FileName(table=table, partition=partition, number=seal),),
                partition_by=(),
                file_bytes=file_bytes,
                merges=tuple(FileName(table=table, partition=partition, number=file.number) for file in chosen),
            )
    return None


def merge_files(files: FileWriter, plan: SealPlan, tombstones: frozenset[str], inputs: Inputs) -> SealRecord:
    """Steps 1 and 2 of a plan that merges. Returns the record to create. Raises SealedMeanwhile, StorageError."""
    [target] = plan.outputs
    marked = [_mark(files, plan, source) for source in plan.merges]
    tables = [_rows(brought) for brought in marked]
    schema = common_schema(target.table, [table.schema for table in tables], inputs)
    aligned = [align(table, schema) for table in tables]
    kept = [without_erased(table, tombstones) for table in aligned]
    brought = files.bring(plan, target, schema, lambda _: list(merge_sorted(target.table, kept)))
    removed = _left_out(aligned, kept, "run_id")
    which = {"results": "answers"}.get(target.table, target.table)
    by_run = {run_id: {which: number} for run_id, number in sorted(removed.items())}
    if target.table == "results":
        for run_id, number in _left_out(aligned, kept, "deepened_run_id").items():
            by_run.setdefault(run_id, {})["deepened"] = number
    return SealRecord(
        seal=plan.seal,
        files=(brought.file,),
        runs={},
        num_units=0,
        num_duplicates=0,
        num_erased=sum(removed.values()),
        merged=tuple(brought.file for brought in marked),
        removed=by_run,
        answers=SealedAnswers(),
    )


def _fill(output: Output, files: Sequence[SealedFile], max_bytes: int) -> list[SealedFile]:
    """The first files that fit together and that this version can read."""
    chosen: list[SealedFile] = []
    for file in files:
        has_room = sum(other.size_bytes for other in chosen) + file.size_bytes <= max_bytes
        if has_room and _is_of_this_version(output, file):
            chosen.append(file)
    return chosen


def _is_of_this_version(output: Output, file: SealedFile) -> bool:
    there = read_parquet(output.store, join(output.root, file.uri), lambda found: found.schema_arrow)
    return is_of_this_version(file.table, there)


def _mark(files: FileWriter, plan: SealPlan, source: FileName) -> Brought:
    return files.bring(plan, source, SCHEMAS[source.table], lambda _: [], brings_up=False)


def _rows(brought: Brought) -> pa.Table:
    with one_of_ours(brought.file.uri, cure="bring it back from a copy"):
        return pq.ParquetFile(pa.BufferReader(brought.data), page_checksum_verification=True).read()


def _left_out(all_rows: Iterable[pa.Table], kept: Iterable[pa.Table], column: str) -> dict[str, int]:
    """By the run_ids in a column how many rows were left out, of those that lost any."""
    removed = _count(all_rows, column)
    removed.subtract(_count(kept, column))
    return {run_id: number for run_id, number in removed.items() if number and run_id is not None}


def _count(tables: Iterable[pa.Table], column: str) -> Counter[str | None]:
    return sum((Counter(rows.column(column).to_pylist()) for rows in tables), Counter())
