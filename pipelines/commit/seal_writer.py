"""Writing the files of a seal: erased rows and keys that are sealed already are left out, the others sorted.

This is step 2 of the protocol in `pipelines.commit.seal`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal_reader import JournalReader, compact, seal_rows
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import partitions
from framegate.pipelines.commit.seal_log import JournalObject, SealedFile, SealPlan, SealRecord
from framegate.pipelines.commit.sealed_keys import KeyIndex, SealedKeys, key_columns
from framegate.pipelines.commit.sealed_parquet import (
    count_runs,
    counted_columns,
    encode_sealed,
    row_positions,
    sealed_schema,
    sort_order,
    take_sealed,
)
from framegate.pipelines.commit.tombstones import without_erased
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import read_columns
from framegate.schemas.tables import JOURNAL

WRITTEN_IN_ORDER: Final = ("failures", "results")
"""Failures are written first, so that a reader never sees a video's answers without its failures."""

_ORDERED_BY: Final = ("video_id", "clip_index", "question_id", "question_hash", "attempts")
_OBJECTS_AT_ONCE: Final = 1024


class SealWriter:
    """Writes the files of seals of one config_id. Sealed keys that were read for one seal are known to the next."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._config_id = config_id
        self._sealed_keys = SealedKeys(output.store)

    def write(
        self,
        plan: SealPlan,
        rows: pa.Table,
        *,
        skipped: tuple[str, ...],
        tombstones: frozenset[str],
        earlier: Sequence[SealRecord],
    ) -> SealRecord:
        """Creates each file of a plan, or takes the one that is there. Returns what the files hold.

        `rows` are those of the plan's objects in order, without the skipped ones; `earlier` are the records of all
        seals before this one. Raises StorageError.
        """
        num_read = rows.num_rows
        rows = without_erased(rows, tombstones).combine_chunks()
        names, numbers = partitions(rows, plan.partition_by)
        sealed = [file for record in earlier for file in record.files if file.num_rows]
        files: list[SealedFile] = []
        counted: list[tuple[str, pa.Table]] = []
        num_kept = 0
        for table in WRITTEN_IN_ORDER:
            kept = self._new_rows(table, rows, [file for file in sealed if file.table == table])
            num_kept += len(kept)
            schema = sealed_schema(table, rows.schema)
            planned = {partition for planned_table, partition in plan.outputs if planned_table == table}
            for partition in sorted(planned | {names[n] for n in np.unique(numbers[kept])}):
                here = kept[numbers[kept] == names.index(partition)] if partition in names else kept[:0]
                data = encode_sealed(take_sealed(rows, here, schema, self._config_id), schema)
                to_count = rows.select(counted_columns(table)).take(pa.array(here))
                file, to_count = self._put_file(table, partition, plan.seal, data, to_count)
                files.append(file)
                counted.append((table, to_count))
        return SealRecord(
            seal=plan.seal,
            files=tuple(sorted(files, key=lambda file: file.uri)),
            runs=count_runs(counted),
            num_units=len(plan.objects) - len(skipped),
            num_duplicates=rows.num_rows - num_kept,
            num_erased=num_read - rows.num_rows,
            skipped=skipped,
        )

    def _new_rows(self, table: str, rows: pa.Table, sealed: Sequence[SealedFile]) -> np.ndarray:
        """The positions of one table's rows whose keys no sealed file and no earlier object has, in sealed order."""
        of_table = row_positions(table, rows)
        if not len(of_table):
            return of_table
        mine = rows.select(list(_ORDERED_BY)).take(pa.array(of_table))
        keys = KeyIndex(key_columns(table, mine))
        uris = [join(self._output.root, file.uri) for file in sealed]
        first = keys.first_rows()[~self._sealed_keys.among(keys, table, uris)]
        return of_table[first[sort_order(table, mine.take(pa.array(first)))]]

    def _put_file(
        self, table: str, partition: str, seal: int, data: bytes, counted: pa.Table
    ) -> tuple[SealedFile, pa.Table]:
        """The file that is there in the end, and the counted columns of its rows."""
        uri = self._output.layout.sealed(table, self._config_id, partition, seal)
        put = self._output.store.put_once(uri, data)
        reach("seal.file")
        if not put.is_ours:  # another sealer saw other tombstones, or an erasure has replaced the file
            data = self._output.store.read(uri)
            counted = read_columns(self._output.store, uri, counted_columns(table))
        file = SealedFile(
            uri=uri.removeprefix(join(self._output.root, "")),
            table=table,
            num_rows=counted.num_rows,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        return file, counted


def read_planned(journal: JournalReader, plan: SealPlan) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of a plan's objects, and the names of those that are missing or have other bytes than planned."""
    found: set[JournalObject] = set()
    planned = set(plan.objects)
    tables: list[pa.Table] = []
    for some in _groups(plan.objects):
        here = [(item, rows) for item, rows in journal.read([item.name for item in some]) if item in planned]
        found.update(item for item, _ in here)
        tables += compact([rows for _, rows in here])
    skipped = tuple(item.name for item in plan.objects if item not in found)
    return (seal_rows(tables) if tables else JOURNAL.empty_table()), skipped


def _groups(objects: Sequence[JournalObject]) -> list[Sequence[JournalObject]]:
    return [objects[n : n + _OBJECTS_AT_ONCE] for n in range(0, len(objects), _OBJECTS_AT_ONCE)]
