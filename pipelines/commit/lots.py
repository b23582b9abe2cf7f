"""Reading the journal for a seal: objects in order of their names until they come to one sealed file.

Where a seal ends depends on the names and bytes of the objects from its first on, and on nothing else: whoever starts
at the same object ends at the same one. Knows nothing of plans being agreed on, nor of what is sealed already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal_reader import JournalReader, compact, seal_rows, without_video
from framegate.pipelines.commit.partition import partitions
from framegate.pipelines.commit.seal_log import JournalObject
from framegate.pipelines.commit.sealed_parquet import (
    ROW_GROUP_ROWS,
    ROW_KINDS,
    encode_sealed,
    places_of,
    sealed_schema,
    take_sealed,
)

MAX_GATHERED_BYTES: Final = 512 * 2**20
"""Of Arrow memory, texts that repeat counted once. Sorting and encoding takes about as much again."""

CHUNK_BYTES: Final = 16 * 2**20  # of journal objects; a seal ends after a chunk
MAX_CHUNK_BYTES: Final = 64 * 2**20  # a chunk ends with a video, but in one of more than this
SAMPLE_EVERY_ROWS: Final = 8 * ROW_GROUP_ROWS


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The objects of a seal in order, and their rows in that order (`seal_rows`)."""

    objects: tuple[JournalObject, ...]
    rows: pa.Table


@dataclass(kw_only=True)
class _Chunk:
    objects: list[JournalObject]
    tables: list[pa.Table]
    ends_video: bool


def gather(
    reader: JournalReader, listing: Iterable[tuple[str, int]], *, file_bytes: int, partition_by: Sequence[str]
) -> Iterator[Gathered]:
    """The journal in lots of about one sealed file each, never cut inside a video that fits into memory.

    `file_bytes` is what the largest file of a lot comes to, where its rows fall into several partitions.
    """
    waiting = _Ahead(listing)
    while waiting:
        lot = _Lot(file_bytes, partition_by)
        for chunk in _chunks(reader, waiting, min(CHUNK_BYTES, file_bytes // 8)):
            lot.add(chunk)
            if lot.is_full and lot.give_back_a_begun_video(waiting.put_back):
                break
        if lot.objects:
            yield Gathered(objects=tuple(lot.objects), rows=seal_rows(lot.take_tables()))


class _Ahead:
    """A listing of which one may be looked at before it is taken, and names given back."""

    def __init__(self, listing: Iterable[tuple[str, int]]) -> None:
        self._rest = iter(listing)
        self._next = next(self._rest, None)
        self._given_back: list[tuple[str, int]] = []

    def __bool__(self) -> bool:
        return self._next is not None

    @property
    def video_id(self) -> str | None:
        return None if self._next is None else self._next[0].partition("/")[0]

    def take(self) -> tuple[str, int]:
        assert self._next is not None
        taken = self._next
        self._next = self._given_back.pop() if self._given_back else next(self._rest, None)
        return taken

    def put_back(self, objects: Iterable[tuple[str, int]]) -> None:
        """In order of their names, all before what is next."""
        if self._next is not None:
            self._given_back.append(self._next)
        self._given_back += reversed(list(objects))
        self._next = self._given_back.pop() if self._given_back else None


def _chunks(reader: JournalReader, waiting: _Ahead, chunk_bytes: int) -> Iterator[_Chunk]:
    while waiting:
        names, size_bytes, ends_video = [], 0, True
        while waiting:
            name, object_bytes = waiting.take()
            names.append(name)
            size_bytes += object_bytes
            ends_video = waiting.video_id != name.partition("/")[0]
            if size_bytes >= (chunk_bytes if ends_video else MAX_CHUNK_BYTES):
                break
        found = list(reader.read(names))
        if found:
            yield _Chunk(
                objects=[item for item, _ in found], tables=compact([rows for _, rows in found]), ends_video=ends_video
            )


class _Lot:
    """What is gathered for one seal so far, and about how large its files will be."""

    def __init__(self, file_bytes: int, partition_by: Sequence[str]) -> None:
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
        """The rows, which this lot then no longer holds."""
        tables = [table for chunk in self._chunks for table in chunk.tables]
        self._chunks.clear()
        return tables

    @property
    def is_full(self) -> bool:
        if self._size_bytes >= MAX_GATHERED_BYTES:
            return True
        if not self._chunks or not self._chunks[-1].ends_video:
            return False
        sizes = (
            self._samples[kind].file_bytes(rows) for (kind, _), rows in self._rows_of.items() if kind in self._samples
        )
        return max(sizes, default=0.0) >= self._file_bytes

    def give_back_a_begun_video(self, put_back: Callable[[Iterable[tuple[str, int]]], None]) -> bool:
        """Gives back the last video where it is cut short and others stand before it; True: this lot is complete."""
        if self._chunks[-1].ends_video:
            return True
        video_id = self._chunks[-1].objects[-1].video_id
        if self._chunks[0].objects[0].video_id == video_id:
            return True  # it alone is more than memory may hold: cut between its units
        given_back: list[JournalObject] = []
        while self._chunks and self._chunks[-1].objects[-1].video_id == video_id:
            last = self._chunks[-1]
            keep = [item for item in last.objects if item.video_id != video_id]
            given_back = [item for item in last.objects if item.video_id == video_id] + given_back
            if not keep:
                self._chunks.pop()
                continue
            last.objects = keep
            last.tables = [without_video(table, video_id) for table in last.tables]
            break
        put_back((item.name, item.size_bytes) for item in given_back)
        return True

    def _sample(self, *, starts_anew: bool) -> None:
        """Encodes the last rows as they would be sealed: one row group compresses as its file does."""
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
        for kind in ROW_KINDS:
            places = places_of(kind, rows)
            if len(places):
                self._samples.setdefault(kind, _Sample()).add(kind, rows, places)
        self._num_rows_sampled_at = self._num_rows


class _Sample:
    """What rows of one kind take in a sealed file."""

    def __init__(self) -> None:
        self._num_rows = self._size_bytes = self._empty_bytes = 0

    def add(self, kind: str, rows: pa.Table, places: np.ndarray) -> None:
        schema = sealed_schema(kind, rows.schema)
        self._empty_bytes = len(encode_sealed([], schema, check=False))
        encoded = encode_sealed(take_sealed(rows, places, schema, ""), schema, check=False)
        self._size_bytes += len(encoded) - self._empty_bytes
        self._num_rows += len(places)

    def file_bytes(self, num_rows: int) -> float:
        return self._empty_bytes + self._size_bytes / self._num_rows * num_rows


def count_outputs(rows: pa.Table, partition_by: Sequence[str]) -> dict[tuple[str, str], int]:
    """How many rows each (kind, partition) has, of those that occur."""
    names, places = partitions(rows, partition_by)
    counts = {}
    for kind in ROW_KINDS:
        counted = np.bincount(places[places_of(kind, rows)], minlength=len(names))
        for place, number in enumerate(counted.tolist()):
            if number:
                counts[kind, names[place]] = number
    return counts
