"""Attacks by the table that a manifest is: no table, columns that are twins, and values that name folders."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from framegate.pipelines.commit.partition import NULL, partitions
from framegate.pipelines.source.find import find_videos
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import (
    InputError,
    ObjectNotFound,
    StorageError,
)
from tests.security.manifest_rows import CANARY

TABLES: list[Any] = [
    pytest.param(name, data, said, id=id)
    for id, name, data, said in [
        ("twin-columns", "l.csv", b"uri,camera,camera \na,1,2\n", "differ only in white space"),
        ("twin-columns-zero-width", "l.csv", "uri,camera,cam\u200bera\na,1,2\n".encode(), "\\u200b"),
        ("twin-columns-of-two-forms", "l.csv", "uri,caf\u00e9,cafe\u0301\na,1,2\n".encode(), "e\\u0301"),
        ("twin-of-uri", "l.jsonl", '{"uri": "a", "uri\u200b": "b"}'.encode(), "\\u200b"),
        ("twin-columns-parquet", "l.parquet", {"uri": ["a"], "x": [1], "x\u00a0": [2]}, "\\xa0"),
        ("key-twice", "l.jsonl", b'{"uri": "a", "uri": "b"}', "the column 'uri' twice"),
        ("deep-json", "l.jsonl", b'{"uri": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON object"),
        ("integer-of-5000-digits", "l.jsonl", b'{"uri": "a", "x": ' + b"9" * 5_000 + b"}", "no JSON object"),
        ("nan", "l.jsonl", b'{"uri": "a", "x": NaN}', "NaN is no number of JSON"),
        ("half-a-character", "l.jsonl", b'{"uri": "a\\ud800"}', "half of a surrogate pair"),
        ("nul", "l.csv", b"uri\na\0b\n", "NUL characters"),
        ("utf-16", "l.csv", "uri\na\n".encode("utf-16"), "is written in UTF-16"),
        ("latin-1", "l.csv", b"uri\n\xe9\n", "not written in UTF-8"),
        ("no-parquet", "l.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", "cannot be read as parquet"),
        ("empty-parquet", "l.parquet", b"", "cannot be read as parquet"),
        ("numbers-for-names", "l.parquet", {"uri": [1, 2]}, "has no uri in row 1"),
        ("bytes-for-names", "l.parquet", {"uri": [b"a"]}, "has no uri in row 1"),
        ("null-for-a-name", "l.parquet", {"uri": ["a", None]}, "has no uri in row 2"),
        ("name-of-blanks", "l.csv", b"uri,x\n   ,1\n", "has no uri in row 1"),
        ("no-column-uri", "l.csv", b"url\na\n", "has no column `uri`"),
        ("name-twice-by-its-query", "l.csv", f"uri\nhttps://h/a?{CANARY}\nhttps://h/a?2\n".encode(), "twice (row 2)"),
        ("password-twice", "l.csv", f"uri\ns3://a:{CANARY}@b/c\ns3://a:{CANARY}@b/c\n".encode(), "s3://***@b/c twice"),
        ("open-quote", "l.csv", b'uri\n"a\n', "cannot be read as csv"),
        ("empty", "l.csv", b"", "it is empty"),
    ]
]
VALUES: list[Any] = [
    pytest.param(value, id=name)
    for name, value in [
        ("null-of-ours", "__null__"),
        ("null-of-hive", "__HIVE_DEFAULT_PARTITION__"),
        ("null-of-ours-and-more", "__null__x"),
        ("null-of-ours-with-its-digest", "__null__~2d1ae1b7e5f3"),
        ("dots", ".."),
        ("slash", "a/b"),
        ("backslash", "a\\b"),
        ("equals", "camera=north"),
        ("encoded-slash", "a%2Fb"),
        ("long", "x" * 5_000),
        ("control", "a\nb\x1b[2J"),
    ]
]


@pytest.mark.parametrize(("name", "data", "said"), TABLES)
def test_a_manifest_that_is_no_table_is_one_sentence(name: str, data: Any, said: str, tmp_path: Path) -> None:
    if isinstance(data, dict):
        pa.parquet.write_table(pa.table(data), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(data)
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        find_videos(InputConfig(videos=str(tmp_path / name)))
    sentence = str(caught.value)
    assert said in sentence
    assert sentence.isprintable()
    assert CANARY not in sentence
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["pipe", "device", "link-to-a-device", "folder"])
def test_a_manifest_that_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "/dev/stdin")
    began = time.monotonic()
    with pytest.raises((ObjectNotFound, StorageError, InputError)):
        find_videos(InputConfig(videos=str(path)))
    assert time.monotonic() - began < 5


def test_columns_that_are_nested_without_end_stay_texts_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"uri": "a", "x": ' + "[" * 60 + "]" * 60 + "}")
    found = find_videos(InputConfig(videos=str(tmp_path / "l.jsonl")))
    assert found.schema.field("input_x").type == pa.string()
    deep: pa.Array = pa.array([1])
    for _ in range(40):
        deep = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), deep)
    pa.parquet.write_table(pa.table({"uri": ["a"], "x": deep}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match="nested deeper than 32 levels"):
        find_videos(InputConfig(videos=str(tmp_path / "l.parquet")))


def test_a_time_beyond_the_calendar_is_a_text_or_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("uri,t\na,9999-12-31T23:59:59-23:59\n")
    found = find_videos(InputConfig(videos=str(tmp_path / "l.csv")))
    assert found.schema.field("input_t").type == pa.string()


def test_a_parquet_file_of_billions_of_equal_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framegate.pipelines.source.manifest.MAX_ROWS", 999)
    pa.parquet.write_table(pa.table({"uri": ["a.mp4"] * 1000}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match=r"it has 1,000 rows, and 999 is the most"):
        find_videos(InputConfig(videos=str(tmp_path / "l.parquet")))


@pytest.mark.parametrize("value", VALUES)
def test_a_value_has_a_folder_of_its_own_and_none_is_that_of_null(value: str) -> None:
    rows = pa.table({"input_camera": pa.array([value, None, "north"])})
    names, numbers = partitions(rows, ("camera",))
    folders = [names[number] for number in numbers]
    assert folders[1:] == [f"camera={NULL}", "camera=north"]
    assert folders[0] not in folders[1:]
    assert folders[0].count("/") == 0
    assert folders[0].removeprefix("camera=") not in (NULL, "__HIVE_DEFAULT_PARTITION__")
    assert len(folders[0]) < 200
    assert folders[0].isprintable()


def test_an_adversary_cannot_name_the_folder_of_another_value() -> None:
    rows = pa.table({"input_camera": pa.array(["__null__", None])})
    [mine, _], numbers = partitions(rows, ("camera",))
    mine = partitions(rows, ("camera",))[0][numbers[0]].removeprefix("camera=")
    again = pa.table({"input_camera": pa.array(["__null__", mine, None])})
    names, numbers = partitions(again, ("camera",))
    assert len({names[number] for number in numbers}) == 3
