"""The anti-join: exact on every part of the key, from files of any number and order, a row group at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit import sealed_keys as antijoin
from framegate.pipelines.commit.growth import Mark, encode_marked
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.sealed_keys import KeyIndex, SealedKeys, key_columns
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


def put(folder: Path, number: int, rows: list[Key], *, num_new_rows: int = 0, is_known: bool = True) -> SealedFile:
    """A file of which seal 9 wrote the last rows. `is_known`: its record says which videos it holds."""
    old, new = rows[: len(rows) - num_new_rows], rows[len(rows) - num_new_rows :]
    ordered = sorted(old, key=lambda row: row[0])
    groups = [table_of(ordered[n : n + 3]) for n in range(0, len(ordered), 3)]
    before = encode_marked(groups, SCHEMA, Mark(seal=8, num_new_rows=0))
    mark = Mark(seal=9, num_new_rows=len(new))
    name = f"results/config_id={'a' * 16}/{number}.parquet"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(encode_marked([*groups, *([table_of(new)] if new else [])], SCHEMA, mark))
    described = SealedFile.of(name, before, mark)
    return described if is_known else replace(described, bounds={})


@given(
    st.sampled_from(["results", "failures"]),
    st.lists(keys, max_size=12),
    st.lists(st.lists(keys, max_size=9), max_size=3),
    st.integers(0, 3),
    st.booleans(),
)
def test_exactly_the_keys_that_earlier_seals_have_are_found(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    ours: list[Key],
    sealed: list[list[Key]],
    num_new: int,
    is_known: bool,
) -> None:
    """Rows that the seal itself has added, by another sealer, are none of them."""
    folder = tmp_path_factory.mktemp("sealed")
    length = 3 if kind == "results" else 4  # an answer's key has no attempts
    files = [
        put(folder, number, rows, num_new_rows=min(num_new, len(rows)), is_known=is_known)
        for number, rows in enumerate(sealed)
    ]
    sealed = [rows[: len(rows) - min(num_new, len(rows))] for rows in sealed]
    index = KeyIndex(key_columns(kind, table_of(ours)))
    first = index.first_rows()
    found = SealedKeys(Output.at(str(folder))).among(index, kind, files, before=9)
    different = list(dict.fromkeys(row[:length] for row in ours))
    assert sorted(first.tolist()) == [next(n for n, row in enumerate(ours) if row[:length] == key) for key in different]
    there = {row[:length] for rows in sealed for row in rows}
    assert [bool(is_there) for is_there in found] == [ours[n][:length] in there for n in first]


def test_files_and_row_groups_of_other_videos_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = [[(f"{n:016x}", 0, IDS[0], 1) for n in range(first, first + 6)] for first in (0, 100)]
    files = [put(tmp_path, 0, low), put(tmp_path, 1, high)]
    read: list[tuple[int, list[str]]] = []
    read_row_group = antijoin.pq.ParquetFile.read_row_group

    def note(self, number: int, columns: list[str], **options: object) -> pa.Table:
        read.append((number, columns))
        return read_row_group(self, number, columns=columns, **options)

    monkeypatch.setattr(antijoin.pq.ParquetFile, "read_row_group", note)
    index = KeyIndex(key_columns("results", table_of([high[4]])))
    assert SealedKeys(Output.at(str(tmp_path))).among(index, "results", files, before=10).tolist() == [True]
    assert read == [(1, ["video_id"]), (1, ["video_id", "clip_index", "question_hash"])]
    read.clear()
    between = KeyIndex(key_columns("results", table_of([(f"{50:016x}", 0, IDS[0], 1)])))
    assert SealedKeys(Output.at(str(tmp_path))).among(between, "results", files, before=10).tolist() == [False]
    assert read == []


def test_a_file_that_is_no_table_is_told(tmp_path: Path) -> None:
    file = put(tmp_path, 0, [(IDS[0], 0, IDS[0], 1)])
    (tmp_path / file.uri).write_bytes(b"not a table")
    index = KeyIndex(key_columns("results", table_of([(IDS[0], 0, IDS[0], 1)])))
    with pytest.raises(StorageError, match=r"0\.parquet is no whole Parquet file of ours"):
        SealedKeys(Output.at(str(tmp_path))).among(index, "results", [file], before=10)


def test_no_rows_have_no_keys() -> None:
    index = KeyIndex(key_columns("results", table_of([])))
    assert index.first_rows().tolist() == []
    assert SealedKeys(Output.at("memory://none")).among(index, "results", [], before=0).tolist() == []
    nothing = [np.array([], np.uint64), np.array([], np.int64), np.array([], np.uint64)]
    assert [found.tolist() for found in index.find(nothing)] == [[], [], []]
