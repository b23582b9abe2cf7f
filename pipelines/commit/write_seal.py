"""A plan's rows to its files: what is erased or sealed already is left out, the rest sorted and put, once each.

Knows nothing of who proposed the plan, nor of what happens to the journal (`pipelines.commit.seal`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal import read_columns
from framegate.pipelines.commit.journal_reader import JournalReader, compact, seal_rows
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import partitions
from framegate.pipelines.commit.seal_log import JournalObject, SealedFile, SealPlan, SealRecord, read_seal_records
from framegate.pipelines.commit.sealed_keys import KeyIndex, SealedKeys, key_columns
from framegate.pipelines.commit.sealed_parquet import (
    count_runs,
    counted_columns,
    encode_sealed,
    places_of,
    sealed_schema,
    sort_order,
    take_sealed,
)
from framegate.pipelines.commit.tombstones import without_erased
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import join
from framegate.schemas.tables import JOURNAL

KINDS: Final = ("failures", "results")  # whoever sees a video's answers then sees what is missing from them, too
_ORDERED_BY: Final = ("video_id", "clip_index", "question_id", "question_hash", "attempts")
_OBJECTS_AT_ONCE: Final = 1024


class SealWriter:
    """Writes the files of seals of one config_id, each of which knows all seals before it."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._config_id = config_id
        self._sealed_keys = SealedKeys(output.store)
        self._records: list[SealRecord] = []

    def remember(self, record: SealRecord) -> None:
        """A seal is recorded; spares reading its record again."""
        if len(self._records) == record.seal:
            self._records.append(record)

    def write(self, plan: SealPlan, rows: pa.Table, skipped: tuple[str, ...], tombstones: frozenset[str]) -> SealRecord:
        """Creates each file of a plan, or takes the one that is there; what they hold now. Raises StorageError.

        `rows` are those of the plan's objects in order, without the skipped ones.
        """
        if len(self._records) < plan.seal:
            self._records = read_seal_records(self._output, self._config_id, num_seals=plan.seal)
        num_read = rows.num_rows
        rows = without_erased(rows, tombstones).combine_chunks()
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
                told = rows.select(counted_columns(kind)).take(pa.array(here))
                file, told = self._put_file(kind, partition, plan.seal, data, told)
                files.append(file)
                counted.append((kind, told))
        return SealRecord(
            seal=plan.seal,
            files=tuple(sorted(files, key=lambda file: file.uri)),
            runs=count_runs(counted),
            num_units=len(plan.objects) - len(skipped),
            num_duplicates=rows.num_rows - num_kept,
            num_erased=num_read - rows.num_rows,
            skipped=skipped,
        )

    def _new_rows(self, kind: str, rows: pa.Table, seal: int) -> np.ndarray:
        """The places of rows of one kind that no earlier seal and no earlier object holds, in sealed order."""
        of_kind = places_of(kind, rows)
        if not len(of_kind):
            return of_kind
        mine = rows.select(list(_ORDERED_BY)).take(pa.array(of_kind))
        keys = KeyIndex(key_columns(kind, mine))
        files = [file for record in self._records[:seal] for file in record.files if file.kind == kind]
        uris = [join(self._output.root, file.uri) for file in files if file.num_rows]
        first = keys.first_rows()[~self._sealed_keys.among(keys, kind, uris)]
        return of_kind[first[sort_order(kind, mine.take(pa.array(first)))]]

    def _put_file(
        self, kind: str, partition: str, seal: int, data: bytes, counted: pa.Table
    ) -> tuple[SealedFile, pa.Table]:
        uri = self._output.layout.sealed(kind, self._config_id, partition, seal)
        put = self._output.store.put_once(uri, data)
        reach("seal.file")
        if not put.is_ours:  # another sealer saw other tombstones, or an erasure was here since
            data = self._output.store.read(uri)
            counted = read_columns(self._output.store, uri, counted_columns(kind))
        file = SealedFile(
            uri=uri.removeprefix(join(self._output.root, "")),
            kind=kind,
            num_rows=counted.num_rows,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        return file, counted


def read_planned(journal: JournalReader, plan: SealPlan) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of a plan's objects, and the names of those that are gone or are not what was planned."""
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
