"""The anti-join: exact on every part of the key, from files of any number and order, a row group at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit import sealed_keys as antijoin
from framegate.pipelines.commit.sealed_keys import KeyIndex, SealedKeys, key_columns
from framegate.pipelines.commit.sealed_parquet import encode_sealed
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError

SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("clip_index", pa.int32()),
        ("question_id", pa.string()),
        ("question_hash", pa.string()),
        ("attempts", pa.int32()),
    ]
)
IDS = ["0" * 16, "0" * 15 + "1", "7" + "f" * 15, "8" + "0" * 15, "f" * 16]

Key = tuple[str, int | None, str | None, int]
keys = st.tuples(
    st.sampled_from(IDS),
    st.none() | st.sampled_from([0, 1, 2**31 - 1]),
    st.none() | st.sampled_from(IDS),
    st.integers(1, 3),
)


def table_of(rows: list[Key]) -> pa.Table:
    names = ("video_id", "clip_index", "question_hash", "attempts")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA)


def put(folder: Path, number: int, rows: list[Key]) -> str:
    ordered = sorted(rows, key=lambda row: row[0])
    groups = [table_of(ordered[n : n + 3]) for n in range(0, len(ordered), 3)]
    path = folder / f"{number}.parquet"
    path.write_bytes(encode_sealed(groups, SCHEMA))
    return str(path)


@given(
    st.sampled_from(["results", "failures"]),
    st.lists(keys, max_size=12),
    st.lists(st.lists(keys, max_size=9), max_size=3),
)
def test_exactly_the_keys_that_are_sealed_are_found(
    tmp_path_factory: pytest.TempPathFactory, kind: str, ours: list[Key], sealed: list[list[Key]]
) -> None:
    folder = tmp_path_factory.mktemp("sealed")
    length = 3 if kind == "results" else 4  # an answer's key has no attempts
    uris = [put(folder, number, rows) for number, rows in enumerate(sealed)]
    index = KeyIndex(key_columns(kind, table_of(ours)))
    first = index.first_rows()
    found = SealedKeys(Store()).among(index, kind, uris)
    different = list(dict.fromkeys(row[:length] for row in ours))
    assert sorted(first.tolist()) == [next(n for n, row in enumerate(ours) if row[:length] == key) for key in different]
    there = {row[:length] for rows in sealed for row in rows}
    assert [bool(is_there) for is_there in found] == [ours[n][:length] in there for n in first]


def test_files_and_row_groups_of_other_videos_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = [[(f"{n:016x}", 0, IDS[0], 1) for n in range(first, first + 6)] for first in (0, 100)]
    uris = [put(tmp_path, 0, low), put(tmp_path, 1, high)]
    read: list[tuple[int, list[str]]] = []
    read_row_group = antijoin.pq.ParquetFile.read_row_group

    def note(self, number: int, columns: list[str], **options: object) -> pa.Table:
        read.append((number, columns))
        return read_row_group(self, number, columns=columns, **options)

    monkeypatch.setattr(antijoin.pq.ParquetFile, "read_row_group", note)
    index = KeyIndex(key_columns("results", table_of([high[4]])))
    assert SealedKeys(Store()).among(index, "results", uris).tolist() == [True]
    assert read == [(1, ["video_id"]), (1, ["video_id", "clip_index", "question_hash"])]
    read.clear()
    between = KeyIndex(key_columns("results", table_of([(f"{50:016x}", 0, IDS[0], 1)])))
    assert SealedKeys(Store()).among(between, "results", uris).tolist() == [False]
    assert read == []


def test_a_file_that_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "0.parquet").write_bytes(b"not a table")
    index = KeyIndex(key_columns("results", table_of([(IDS[0], 0, IDS[0], 1)])))
    with pytest.raises(StorageError, match=r"0\.parquet is no whole Parquet file of ours"):
        SealedKeys(Store()).among(index, "results", [str(tmp_path / "0.parquet")])


def test_no_rows_have_no_keys() -> None:
    index = KeyIndex(key_columns("results", table_of([])))
    assert index.first_rows().tolist() == []
    assert SealedKeys(Store()).among(index, "results", []).tolist() == []
    assert index.find([np.array([], np.uint64), np.array([], np.int64), np.array([], np.uint64)]).tolist() == []
