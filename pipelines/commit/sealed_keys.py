"""Which keys are sealed already: an exact anti-join in bounded memory.

Keys are compared as numbers (`schemas.keys`), one row group of a sealed file at a time. Statistics rule out most row
groups. Of the others the video ids are read first, and the rest of the key only where one of those ids is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.growth import Mark, groups_of_last_seal
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.sealed_parquet import clip_numbers
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import read_parquet
from framegate.schemas.keys import id_number, id_numbers

UNIQUE_BY: Final = {
    "results": ("video_id", "clip_index", "question_hash"),
    "failures": ("video_id", "clip_index", "question_hash", "attempts"),
    "clips": ("video_id", "clip_index", "clip_policy"),
}
"""The columns that identify a row of one config_id. Failures are a history: each attempt is a row."""

_IDS: Final = ("video_id", "question_hash", "clip_policy")
_FOOTERS_AT_ONCE: Final = 8
_Result = TypeVar("_Result")


class KeyIndex:
    """The different keys of some rows, numbered from 0, to look others up in."""

    def __init__(self, columns: list[np.ndarray]) -> None:
        """`columns`: the parts of each row's key, the video first (`key_columns`)."""
        self._levels: list[tuple[np.ndarray, np.ndarray]] = []
        self._numbers: list[np.ndarray] = []
        codes = np.zeros(len(columns[0]), np.int64)
        for column in columns:
            values, places = np.unique(column, return_inverse=True)
            # Both factors count rows at most, so that their product stays far below 2^63.
            combined, codes = np.unique(codes * len(values) + places, return_inverse=True)
            self._levels.append((values, combined))
            self._numbers.append(codes)
        self.codes = codes
        """For each row the number of its key."""

    @property
    def videos(self) -> np.ndarray:
        return self._levels[0][0]

    @property
    def depth(self) -> int:
        """How many parts a key has."""
        return len(self._levels)

    def numbers(self, depth: int) -> np.ndarray:
        """For each row the number, from 0, of its key's parts up to that one: of its video for 0."""
        return self._numbers[depth]

    def first_rows(self) -> np.ndarray:
        """For each key the first row that has it."""
        return np.unique(self.codes, return_index=True)[1]

    def find(self, columns: list[np.ndarray]) -> list[np.ndarray]:
        """The numbers of those of our keys that are among these rows' keys; before them those of the first parts of our
        keys that are there, for each number of parts (see `numbers`)."""
        found = []
        codes = np.zeros(len(columns[0]), np.int64)
        left = np.arange(len(codes))
        for column, (values, combined) in zip(columns, self._levels, strict=True):
            places, is_there = _look_up(values, column[left])
            codes, left = codes[is_there] * len(values) + places[is_there], left[is_there]
            codes, is_there = _look_up(combined, codes)
            codes, left = codes[is_there], left[is_there]
            found.append(np.unique(codes))
        return found


def key_columns(table: str, rows: pa.Table) -> list[np.ndarray]:
    """The parts of each row's key as numbers. Two rows have the same numbers exactly if they have the same key."""
    if table == "clips":
        ids = [id_numbers(rows.column(name)) for name in ("video_id", "clip_policy")]
        return [ids[0], clip_numbers(rows.column("clip_index")), ids[1]]
    question = rows.column("question_hash")
    # (clip + 1) * 2, and 1 more where the row is about all questions: a null hash becomes the number 0, and must not
    # equal a real hash that is 0.
    clip = (clip_numbers(rows.column("clip_index")) + 1) * 2 + question.is_null().to_numpy()
    columns = [id_numbers(rows.column("video_id")), clip, id_numbers(question)]
    return [*columns, clip_numbers(rows.column("attempts"))] if table == "failures" else columns


class SealedKeys:
    """The keys in sealed files. Where a record does not say which videos a file holds, its footer is read, once."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bounds: dict[str, tuple[int, int] | None] = {}

    def among(self, keys: KeyIndex, table: str, files: Iterable[SealedFile], *, before: int) -> np.ndarray:
        """For each key whether a seal `before` that number has put it into one of these files. Raises StorageError."""
        return self.find(keys, table, files, before=before)[-1]

    def find(self, keys: KeyIndex, table: str, files: Iterable[SealedFile], *, before: int) -> list[np.ndarray]:
        """The same for each number of parts of a key: first for each video whether any row is of it. Raises
        StorageError.

        The files are described as they were then. Since, the seal with that number may have added rows to them.
        """
        found = [np.zeros(int(keys.numbers(depth).max(initial=-1)) + 1, np.bool_) for depth in range(keys.depth)]
        files = list(files)
        unknown = [file for file in files if "video_id" not in file.bounds and file.uri not in self._bounds]
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            bounds = pool.map(self._read_bounds, unknown)
            self._bounds.update(zip((file.uri for file in unknown), bounds, strict=True))
        for file in files:
            low, high = file.bounds.get("video_id", (None, None))
            bounds = self._bounds.get(file.uri) if low is None else (id_number(low), id_number(high))
            if bounds is not None and _any_between(keys.videos, *bounds):
                for depth, numbers in self._find_in(file, keys, table, before):
                    found[depth][numbers] = True
        return found

    def _read_bounds(self, sealed: SealedFile) -> tuple[int, int] | None:
        def read(file: pq.ParquetFile) -> tuple[int, int] | None:
            bounds = [bound for bound in _row_group_bounds(file.metadata) if bound is not None]
            return (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None

        return self._read(sealed, read)

    def _find_in(self, sealed: SealedFile, keys: KeyIndex, table: str, before: int) -> list[tuple[int, np.ndarray]]:
        """(depth, numbers) of what is in one file."""

        def read(file: pq.ParquetFile) -> list[tuple[int, np.ndarray]]:
            found: list[tuple[int, np.ndarray]] = []
            mark = Mark.of(file.metadata, number=sealed.number)
            added = groups_of_last_seal(file.metadata, mark) if mark.seal == before else range(0)
            for number, bounds in enumerate(_row_group_bounds(file.metadata)):
                if bounds is None or number in added or not _any_between(keys.videos, *bounds):
                    continue
                videos = file.read_row_group(number, columns=["video_id"], use_threads=False).column("video_id")
                if np.isin(np.unique(id_numbers(videos.unique())), keys.videos).any():
                    rows = file.read_row_group(number, columns=list(UNIQUE_BY[table]), use_threads=False)
                    found += enumerate(keys.find(key_columns(table, rows)))
            return found

        return self._read(sealed, read)

    def _read(self, sealed: SealedFile, read: Callable[[pq.ParquetFile], _Result]) -> _Result:
        ids = [name for name in UNIQUE_BY[sealed.table] if name in _IDS]
        return read_parquet(self._output.store, join(self._output.root, sealed.uri), read, read_dictionary=ids)


def _row_group_bounds(metadata: pq.FileMetaData) -> Iterator[tuple[int, int] | None]:
    """First and last video of each row group, as numbers; None where it has no rows."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "video_id")
        statistics = column.statistics
        if group.num_rows == 0:
            yield None
        elif (
            statistics is None or not statistics.has_min_max
        ):  # of another writer, or too long to be kept: rules nothing out
            yield 0, 2**64 - 1
        else:
            yield id_number(statistics.min), id_number(statistics.max)


def _any_between(videos: np.ndarray, low: int, high: int) -> bool:
    first = int(np.searchsorted(videos, np.uint64(low)))
    return first < len(videos) and int(videos[first]) <= high


def _look_up(values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The position of each wanted value among sorted ones, and whether it is there."""
    if not len(values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    places = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return places, values[places] == wanted
