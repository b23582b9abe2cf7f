"""Writing the files of a seal: erased rows and keys that are sealed already are left out, the others sorted.

This is step 2 of the protocol in `pipelines.commit.seal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.batches import OBJECTS_AT_ONCE
from framegate.pipelines.commit.completion import COMPLETED_TABLE, TOUCHED_BY, Changes, Completions, sum_changes
from framegate.pipelines.commit.file_writer import FileWriter
from framegate.pipelines.commit.journal_reader import JournalReader, compact, seal_rows
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import partitions
from framegate.pipelines.commit.seal_log import SealRecord
from framegate.pipelines.commit.seal_plan import FileName, JournalObject, SealPlan
from framegate.pipelines.commit.sealed_answers import TOLD_OF, SealedAnswers
from framegate.pipelines.commit.sealed_columns import Inputs, fit_inputs
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.sealed_keys import KeyIndex, SealedKeys, key_columns
from framegate.pipelines.commit.sealed_parquet import count_runs, row_positions, sort_order
from framegate.pipelines.commit.tombstones import without_erased
from framegate.pipelines.commit.video_facts import learn_facts
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import read_parquet
from framegate.schemas.counts import add_counts
from framegate.schemas.tables import JOURNAL

WRITTEN_IN_ORDER: Final = ("failures", "clips", "results")
"""Answers are written last, so that a reader never sees those of a video without its failures and clips."""

_ORDERED_BY: Final = ("video_id", "clip_index", "question_id", "question_hash", "attempts", "clip_policy")


class SealWriter:
    """Writes the files of seals of one config_id. Sealed keys that were read for one seal are known to the next."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._sealed_keys = SealedKeys(output)
        self.files = FileWriter(output, config_id)

    def write(
        self,
        plan: SealPlan,
        rows: pa.Table,
        *,
        skipped: tuple[str, ...],
        tombstones: frozenset[str],
        sealed: Iterable[SealedFile],
        inputs: Inputs,
    ) -> SealRecord:
        """Adds the rows to the files of a plan, unless another sealer has. Returns what was added to them.

        `rows` are those of the plan's objects in order, without the skipped ones; `sealed` are all files as they were
        before this seal, and `inputs` the output's columns of manifests. Raises SealedMeanwhile where the whole seal
        was, StorageError.
        """
        num_read = rows.num_rows
        rows = without_erased(rows, tombstones).combine_chunks()
        names, numbers = partitions(rows, plan.partition_by)
        sealed = [file for file in sealed if file.num_rows]
        files: list[SealedFile] = []
        counted: list[tuple[str, pa.Table]] = []
        answers = SealedAnswers()
        for table in WRITTEN_IN_ORDER:
            of_table = [file for file in sealed if file.table == table]
            kept, brings = self._new_rows(plan.seal, table, rows, of_table)
            answers = brings if table == "results" else answers
            for target in _targets(plan, table, [names[n] for n in np.unique(numbers[kept])]):
                is_here = target.partition in names
                here = kept[numbers[kept] == names.index(target.partition)] if is_here else kept[:0]
                file, to_count = self.files.add(plan, target, rows, _in_order(table, rows, here), inputs)
                files.append(file)
                if table != "clips":
                    counted.append((table, to_count))
        changes = self._complete(plan, rows, inputs, files)
        learn_facts(self._output, rows)
        return SealRecord(
            seal=plan.seal,
            files=tuple(sorted(files, key=lambda file: file.uri)),
            runs=add_counts(count_runs(counted), changes.counts()),
            num_units=len(plan.objects) - len(skipped),
            num_duplicates=_num_duplicates(rows, files, changes),
            num_erased=num_read - rows.num_rows,
            skipped=skipped,
            answers=answers,
        )

    def _complete(self, plan: SealPlan, rows: pa.Table, inputs: Inputs, files: list[SealedFile]) -> Changes:
        """Completes rows in the files that the plan names, which are added to `files`."""
        if plan.completes is None:
            return Changes()
        completions, each = Completions(rows), []
        for target in plan.completes:
            file, changes = self.files.complete(plan, target, completions, inputs)
            files.append(file)
            each.append(changes)
        return sum_changes(each)

    def choose_files(self, seal: int, rows: pa.Table, sealed: Iterable[SealedFile]) -> tuple[FileName, ...]:
        """The files that have rows which deepened `rows` complete. Raises ObjectNotFound where a file has been merged
        into another one since, StorageError."""
        completions = Completions(rows)
        of_table = (file for file in sealed if file.table == COMPLETED_TABLE)
        chosen = (file for file in of_table if self._has_rows_of(completions, file, seal))
        return tuple(
            sorted(FileName(table=file.table, partition=file.partition, number=file.number) for file in chosen)
        )

    def _has_rows_of(self, completions: Completions, file: SealedFile, seal: int) -> bool:
        """Most files are ruled out by their videos."""
        if not self._sealed_keys.among(completions.keys, file.table, [file], before=seal).any():
            return False
        uri = join(self._output.root, file.uri)
        touched = partial(_touches, completions)
        return read_parquet(self._output.store, uri, touched)

    def _new_rows(
        self, seal: int, table: str, rows: pa.Table, sealed: Sequence[SealedFile]
    ) -> tuple[np.ndarray, SealedAnswers]:
        """The positions of one table's rows whose keys no sealed file and no earlier object has, and what they bring if
        they are answers."""
        of_table = row_positions(table, rows)
        if not len(of_table):
            return of_table, SealedAnswers()
        mine = rows.select(list(dict.fromkeys((*_ORDERED_BY, *TOLD_OF)))).take(pa.array(of_table))
        keys = KeyIndex(key_columns(table, mine))
        found = self._sealed_keys.find(keys, table, sealed, before=seal)
        first = keys.first_rows()[~found[-1]]
        answers = SealedAnswers.of(mine, keys, first, found) if table == "results" else SealedAnswers()
        return of_table[first], answers


def _num_duplicates(rows: pa.Table, files: Iterable[SealedFile], changes: Changes) -> int:
    """Rows that no file got, and that completed none. Clips do not count: one that is asked again comes again, and is
    kept once."""
    num_rows = rows.num_rows - len(row_positions("clips", rows))
    return max(0, num_rows - sum(file.num_new_rows for file in files if file.table != "clips") - changes.num_rows)


def _touches(completions: Completions, file: pq.ParquetFile) -> bool:
    there = [name for name in TOUCHED_BY if name in file.schema_arrow.names]
    return completions.touch(file.read(columns=there))


def _in_order(table: str, rows: pa.Table, positions: np.ndarray) -> np.ndarray:
    """The positions, all of one file, in sealed order."""
    mine = rows.select(list(_ORDERED_BY)).take(pa.array(positions))
    return positions[sort_order(table, mine)]


def _targets(plan: SealPlan, table: str, found: Sequence[str]) -> list[FileName]:
    """The plan's files of one table. Where objects are skipped, the types of a manifest's column, and with them the
    name of a folder, may come out otherwise than planned: it gets a file of this seal's own."""
    planned = {file.partition: file for file in plan.outputs if file.table == table}
    for partition in found:
        planned.setdefault(partition, FileName(table=table, partition=partition, number=plan.seal))
    return [planned[partition] for partition in sorted(planned)]


def read_planned(journal: JournalReader, plan: SealPlan, inputs: Inputs) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of a plan's objects, and the names of those that are missing or have other bytes than planned."""
    found: set[JournalObject] = set()
    planned = set(plan.objects)
    tables: list[pa.Table] = []
    for some in _groups(plan.objects):
        here = [(item, rows) for item, rows in journal.read([item.name for item in some]) if item in planned]
        found.update(item for item, _ in here)
        tables += compact([rows for _, rows in here])
    skipped = tuple(item.name for item in plan.objects if item not in found)
    return (fit_inputs(seal_rows(tables), inputs) if tables else JOURNAL.empty_table()), skipped


def _groups(objects: Sequence[JournalObject]) -> list[Sequence[JournalObject]]:
    return [objects[n : n + OBJECTS_AT_ONCE] for n in range(0, len(objects), OBJECTS_AT_ONCE)]
