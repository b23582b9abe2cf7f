"""Batches of the journal: the objects, in order of their names, that make one sealed file of a given size.

Where a batch ends depends on the names and bytes of its objects, and on the sizes of the files that they are added to:
two sealers that begin at the same object end at the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal_reader import JournalReader, compact, seal_rows, without_video
from framegate.pipelines.commit.partition import partitions
from framegate.pipelines.commit.seal_plan import JournalObject
from framegate.pipelines.commit.sealed_columns import NO_INPUTS, Inputs, fit_inputs, sealed_schema
from framegate.pipelines.commit.sealed_parquet import (
    ROW_GROUP_ROWS,
    ROW_KINDS,
    encode_sealed,
    group_rows,
    row_positions,
    take_sealed,
)

MAX_BATCH_BYTES: Final = 256 * 2**20
"""Of Arrow memory, with repeated texts counted once. Sorting and encoding take about twice as much again."""

OBJECTS_AT_ONCE: Final = 1024
"""As tables of their own: one of a few rows has 45 columns and takes 40 kB, twenty times its object."""

CHUNK_BYTES: Final = 16 * 2**20  # of journal objects; a batch ends with a chunk
MAX_CHUNK_BYTES: Final = 64 * 2**20  # a chunk ends with a video, unless that video is larger than this
SAMPLE_EVERY_ROWS: Final = 8 * ROW_GROUP_ROWS


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The objects that make one seal, in order, and their rows in that order (`seal_rows`)."""

    objects: tuple[JournalObject, ...]
    rows: pa.Table


@dataclass(kw_only=True)
class _Chunk:
    objects: list[JournalObject]
    tables: list[pa.Table]
    ends_video: bool


def read_batches(
    reader: JournalReader,
    listing: Iterable[tuple[str, int]],
    *,
    file_bytes: int,
    partition_by: Sequence[str],
    open_bytes: Callable[[], Mapping[tuple[str, str], int]] = dict,
    inputs: Inputs = NO_INPUTS,
) -> Iterator[Batch]:
    """The journal in batches that fill one sealed file each. A video that fits into memory is in one batch.

    `file_bytes` is the size of the largest file of a batch, whose rows may belong to several partitions. `open_bytes`
    is asked before each batch: how much of it the open file of each table and partition has already. `inputs` are the
    output's columns of manifests, whose types the rows get.
    """
    names = _Listing(listing)
    while names:
        batch = _GrowingBatch(file_bytes, partition_by, open_bytes())
        for chunk in _chunks(reader, names, min(CHUNK_BYTES, file_bytes // 8)):
            batch.add(chunk)
            if batch.is_full:
                names.put_back(batch.remove_incomplete_video())
                break
        if batch.objects:
            yield Batch(objects=tuple(batch.objects), rows=fit_inputs(seal_rows(batch.take_tables()), inputs))


class _Listing:
    """(name, size in bytes) of objects, of which the next can be looked at, and some put back."""

    def __init__(self, listing: Iterable[tuple[str, int]]) -> None:
        self._rest = iter(listing)
        self._next = next(self._rest, None)
        self._put_back: list[tuple[str, int]] = []

    def __bool__(self) -> bool:
        return self._next is not None

    @property
    def video_id(self) -> str | None:
        return None if self._next is None else self._next[0].partition("/")[0]

    def take(self) -> tuple[str, int]:
        assert self._next is not None
        taken = self._next
        self._next = self._put_back.pop() if self._put_back else next(self._rest, None)
        return taken

    def put_back(self, objects: Iterable[tuple[str, int]]) -> None:
        """In order of their names, all before what is next."""
        if self._next is not None:
            self._put_back.append(self._next)
        self._put_back += reversed(list(objects))
        self._next = self._put_back.pop() if self._put_back else None


def _chunks(reader: JournalReader, names_left: _Listing, chunk_bytes: int) -> Iterator[_Chunk]:
    while names_left:
        names, size_bytes, ends_video = [], 0, True
        while names_left:
            name, object_bytes = names_left.take()
            names.append(name)
            size_bytes += object_bytes
            ends_video = names_left.video_id != name.partition("/")[0]
            if size_bytes >= (chunk_bytes if ends_video else MAX_CHUNK_BYTES):
                break
        chunk = _Chunk(objects=[], tables=[], ends_video=ends_video)
        for n in range(0, len(names), OBJECTS_AT_ONCE):
            found = list(reader.read(names[n : n + OBJECTS_AT_ONCE]))
            chunk.objects += [item for item, _ in found]
            chunk.tables += compact([rows for _, rows in found])
        if chunk.objects:
            yield chunk


class _GrowingBatch:
    """The objects of one batch so far, and an estimate of the sizes of its files."""

    def __init__(self, file_bytes: int, partition_by: Sequence[str], open_bytes: Mapping[tuple[str, str], int]) -> None:
        self._open_bytes = open_bytes
        self._file_bytes = file_bytes
        self._partition_by = partition_by
        self._chunks: list[_Chunk] = []
        self._num_rows = self._num_rows_sampled_at = self._size_bytes = 0
        self._rows_of: dict[tuple[str, str], int] = {}
        self._samples: dict[str, _Sample] = {}

    def add(self, chunk: _Chunk) -> None:
        self._chunks.append(chunk)
        for table in chunk.tables:
            self._num_rows += table.num_rows
            self._size_bytes += table.nbytes
            for output, num_rows in count_outputs(table, self._partition_by).items():
                self._rows_of[output] = self._rows_of.get(output, 0) + num_rows
        is_small = self._num_rows <= ROW_GROUP_ROWS
        next_sample = 2 * self._num_rows_sampled_at if is_small else self._num_rows_sampled_at + SAMPLE_EVERY_ROWS
        if self._num_rows >= next_sample:
            self._sample(starts_anew=self._num_rows_sampled_at < ROW_GROUP_ROWS)

    @property
    def objects(self) -> list[JournalObject]:
        return [item for chunk in self._chunks for item in chunk.objects]

    def take_tables(self) -> list[pa.Table]:
        """The rows; the batch no longer holds them."""
        tables = [table for chunk in self._chunks for table in chunk.tables]
        self._chunks.clear()
        return tables

    @property
    def is_full(self) -> bool:
        if self._size_bytes >= MAX_BATCH_BYTES:
            return True
        if not self._chunks or not self._chunks[-1].ends_video:
            return False
        sizes = (
            self._open_bytes.get((table, partition), 0) + self._samples[table].file_bytes(num_rows)
            for (table, partition), num_rows in self._rows_of.items()
            if table in self._samples
        )
        return max(sizes, default=0.0) >= self._file_bytes

    def remove_incomplete_video(self) -> list[tuple[str, int]]:
        """Removes the objects of the last video unless all of them are here; their names and sizes, in order."""
        if self._chunks[-1].ends_video:
            return []
        video_id = self._chunks[-1].objects[-1].video_id
        if self._chunks[0].objects[0].video_id == video_id:
            return []  # alone it is more than memory may hold: the batch ends between two of its units
        removed: list[JournalObject] = []
        while self._chunks and self._chunks[-1].objects[-1].video_id == video_id:
            last = self._chunks[-1]
            keep = [item for item in last.objects if item.video_id != video_id]
            removed = [item for item in last.objects if item.video_id == video_id] + removed
            if not keep:
                self._chunks.pop()
                continue
            last.objects = keep
            last.tables = [without_video(table, video_id) for table in last.tables]
            break
        return [(item.name, item.size_bytes) for item in removed]

    def _sample(self, *, starts_anew: bool) -> None:
        """Encodes the last rows as they would be sealed: one row group compresses as well as its file."""
        tables, num_rows = [], 0
        for table in (table for chunk in reversed(self._chunks) for table in reversed(chunk.tables)):
            if num_rows >= ROW_GROUP_ROWS:
                break
            tables.insert(0, table)
            num_rows += table.num_rows
        rows = seal_rows(tables)
        rows = rows.slice(max(num_rows - ROW_GROUP_ROWS, 0))
        if starts_anew:
            self._samples.clear()
        for table in ROW_KINDS:
            positions = row_positions(table, rows)[-group_rows(table) :]
            if len(positions):
                self._samples.setdefault(table, _Sample()).add(table, rows, positions)
        self._num_rows_sampled_at = self._num_rows


class _Sample:
    """How many bytes rows of one table take in a sealed file."""

    def __init__(self) -> None:
        self._num_rows = self._size_bytes = self._empty_bytes = 0

    def add(self, table: str, rows: pa.Table, positions: np.ndarray) -> None:
        schema = sealed_schema(table, rows.schema)
        self._empty_bytes = len(encode_sealed([], schema, is_checked=False))
        encoded = encode_sealed(take_sealed(table, rows, positions, schema), schema, is_checked=False)
        self._size_bytes += len(encoded) - self._empty_bytes
        self._num_rows += len(positions)

    def file_bytes(self, num_rows: int) -> float:
        return self._empty_bytes + self._size_bytes / self._num_rows * num_rows


def count_outputs(rows: pa.Table, partition_by: Sequence[str]) -> dict[tuple[str, str], int]:
    """How many rows each (table, partition) has, of those that occur."""
    names, numbers = partitions(rows, partition_by)
    counts = {}
    for table in ROW_KINDS:
        counted = np.bincount(numbers[row_positions(table, rows)], minlength=len(names))
        for name, num_rows in zip(names, counted.tolist(), strict=True):
            if num_rows:
                counts[table, name] = num_rows
    return counts
