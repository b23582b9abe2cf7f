"""A file is read back before it is handed out, and read again where an erasure replaced it in the middle."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.store import Store, join
from framegate.pipelines.store.parquet import (
    MAX_READS,
    encode_parquet,
    encode_row_groups,
    parse_parquet,
    read_columns,
    read_parquet,
)
from framegate.schemas.errors import ObjectNotFound, StorageError

TABLE = pa.table({"name": ["a", "b", "c"], "number": [1, 2, 3]})


def test_what_is_encoded_is_parsed_and_the_same_table_gives_the_same_bytes() -> None:
    data = encode_parquet(TABLE)
    assert parse_parquet("x", data).equals(TABLE)
    assert parse_parquet("x", data, ["number"]).column_names == ["number"]
    assert encode_parquet(TABLE) == data


def test_row_groups_stay_what_they_were() -> None:
    data = encode_row_groups([TABLE, TABLE.slice(1)], TABLE.schema)
    file = pq.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 2]


@pytest.mark.parametrize("encode", [encode_parquet, lambda table: encode_row_groups([table], table.schema)])
def test_a_file_that_does_not_read_back_is_not_handed_out(monkeypatch: pytest.MonkeyPatch, encode: Any) -> None:
    plain = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda source, **options: plain(io.BytesIO(encode_other()), **options))
    with pytest.raises(StorageError, match=r"3 rows did not read back as it was written; nothing was stored"):
        encode(TABLE)


def encode_other() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE.slice(1), sink)
    return sink.getvalue()


@pytest.mark.parametrize("data", [b"", b"something else", encode_parquet(TABLE)[:-9]])
def test_what_is_no_parquet_is_said_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    uri = join(str(tmp_path), "x.parquet")
    Store().put_once(uri, data)
    sentence = r"x\.parquet is no whole Parquet file of ours \(.*\); was it written by something else\?"
    with pytest.raises(StorageError, match=sentence):
        parse_parquet(uri, data)
    with pytest.raises(StorageError, match=sentence):
        read_columns(Store(), uri, ["name"])


def test_a_column_that_is_missing_is_said_and_so_is_a_file(tmp_path: Path) -> None:
    uri = join(str(tmp_path), "x.parquet")
    with pytest.raises(ObjectNotFound):
        read_columns(Store(), uri, ["name"])
    Store().put_once(uri, encode_parquet(TABLE))
    with pytest.raises(StorageError, match=r"no whole Parquet file of ours"):
        read_parquet(Store(), uri, lambda file: file.read().column("other"))


@pytest.mark.parametrize("num_broken", range(MAX_READS + 1))
def test_a_file_that_was_replaced_while_it_was_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_broken: int
) -> None:
    uri = join(str(tmp_path), "x.parquet")
    Store().put_once(uri, encode_parquet(TABLE))
    plain_open, broken = Store.open_read, iter(range(num_broken))

    def open_old(self: Store, uri: str) -> Any:
        return plain_open(self, uri) if next(broken, None) is None else io.BytesIO(encode_parquet(TABLE)[:-9])

    monkeypatch.setattr(Store, "open_read", open_old)
    if num_broken < MAX_READS:
        assert read_columns(Store(), uri, ["number"]).num_rows == 3
    else:
        with pytest.raises(StorageError, match=r"no whole Parquet file of ours"):
            read_columns(Store(), uri, ["number"])
