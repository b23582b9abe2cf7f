"""Parquet that grows at its end: every version is a prefix of the next, and each reader sees the rows of its own."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit.sealed_parquet import encode_sealed
from framegate.pipelines.store.append import DifferentColumns, append_row_groups, measure
from framegate.pipelines.store.thrift import BINARY, I64, LIST, STRUCT, ThriftList, decode_struct, encode_struct

SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False, metadata={"meaning": "the video"}),
        pa.field("clip_index", pa.int32()),
        pa.field("question_id", pa.string()),
        pa.field("question_hash", pa.string()),
        pa.field("confidence_first", pa.float64()),
        pa.field("thinking_text", pa.string()),
        pa.field("thinking", pa.bool_()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("written_at", pa.timestamp("us", tz="UTC")),
        pa.field("config_id", pa.dictionary(pa.int32(), pa.string())),
    ]
)


def rows(first: int, last: int) -> pa.Table:
    numbers = range(first, last)
    return pa.table(
        {
            "video_id": [f"{n // 4:016x}" for n in numbers],
            "clip_index": pa.array([None if n % 11 == 0 else n for n in numbers], pa.int32()),
            "question_id": [f"q{n % 3}" for n in numbers],
            "question_hash": [f"{n % 3:016x}" for n in numbers],
            "confidence_first": [n / 7 for n in numbers],
            "thinking_text": [None if n % 5 else f"thought {n} " * (n % 40) for n in numbers],
            "thinking": [n % 2 == 0 for n in numbers],
            "tags": [[f"t{n}"] * (n % 3) for n in numbers],
            "written_at": pa.array([n * 1_000_000 for n in numbers], pa.timestamp("us", tz="UTC")),
            "config_id": pa.array(["a"] * len(numbers)).dictionary_encode(),
        },
        schema=SCHEMA,
    )


def encode(table: pa.Table, group_rows: int) -> bytes:
    return encode_sealed([table.slice(n, group_rows) for n in range(0, table.num_rows, group_rows)], SCHEMA)


@pytest.fixture(scope="module")
def versions() -> list[tuple[bytes, pa.Table]]:
    """A file of 900 rows, and what it was before: each with its rows."""
    found = [(encode(rows(0, 500), 200), rows(0, 500))]
    for first, last, group_rows in ((500, 501, 1), (501, 740, 100), (740, 900, 160)):
        data, table = found[-1]
        num_groups = pq.ParquetFile(pa.BufferReader(data)).num_row_groups
        more = append_row_groups(data, encode(rows(first, last), group_rows), num_kept=num_groups)
        found.append((more, pa.concat_tables([table, rows(first, last)])))
    return found


def test_each_version_is_a_prefix_of_the_next_and_reads_as_its_own_rows(versions) -> None:
    last = versions[-1][0]
    for data, table in versions:
        assert last.startswith(data)
        file = pq.ParquetFile(pa.BufferReader(last[: len(data)]), page_checksum_verification=True)
        assert file.read().equals(table)
        assert file.schema_arrow.equals(SCHEMA)


def test_pyarrow_duckdb_and_polars_read_every_row_of_a_version(versions, tmp_path: Path) -> None:
    for number, (data, table) in enumerate(versions):
        path = str(tmp_path / f"{number}.parquet")
        Path(path).write_bytes(data)
        plain = table.set_column(9, "config_id", table.column("config_id").cast(pa.string()))
        plain = plain.cast(pa.schema([field.remove_metadata().with_nullable(True) for field in plain.schema]))
        expected = plain.to_pylist()
        assert pads.dataset(path).to_table().to_pylist() == expected
        found = duckdb.sql(f"SELECT * FROM read_parquet('{path}') ORDER BY written_at").to_arrow_table()
        assert found.cast(plain.schema).to_pylist() == expected
        assert pl.read_parquet(path).to_arrow().cast(plain.schema).to_pylist() == expected


def test_a_reader_with_the_old_size_and_footer_reads_old_rows_out_of_the_new_object(versions, tmp_path: Path) -> None:
    """The footer was read before the object was replaced in place, and every column chunk after it."""
    path = tmp_path / "file.parquet"
    old, table = versions[0]
    path.write_bytes(old)
    metadata = pq.read_metadata(path)
    path.write_bytes(versions[-1][0])
    file = pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)
    assert file.read().equals(table)


@pytest.mark.parametrize("name", ["clip_index", "written_at", "confidence_first"])
def test_statistics_and_page_indexes_lead_to_the_right_rows(versions, tmp_path: Path, name: str) -> None:
    """Engines skip row groups and pages by them: a wrong offset would lose rows of a filter, or read other bytes."""
    data, table = versions[-1]
    path = tmp_path / "file.parquet"
    path.write_bytes(data)
    chance = random.Random(name)
    for value in chance.sample([value for value in table.column(name).to_pylist() if value is not None], 25):
        expected = [row["video_id"] for row in table.to_pylist() if row[name] == value]
        sql = f"SELECT video_id FROM read_parquet(?) WHERE {name} = ?"
        assert [row[0] for row in duckdb.execute(sql, [str(path), value]).fetchall()] == expected
        assert pl.scan_parquet(path).filter(pl.col(name) == value).collect()["video_id"].to_list() == expected
        found = pads.dataset(path).to_table(columns=["video_id"], filter=pads.field(name) == value)
        assert found.column("video_id").to_pylist() == expected
    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        chunk = file.metadata.row_group(number).column(0)
        assert chunk.has_offset_index
        assert chunk.has_column_index


def test_offset_indexes_name_the_first_page_of_each_chunk(versions) -> None:
    """pyarrow does not show them: they are decoded here, and each begins where the chunk's metadata says."""
    data = versions[-1][0]
    length = int.from_bytes(data[-8:-4], "little")
    footer = decode_struct(data[-8 - length : -8])
    num_chunks = 0
    for group in footer[4][1].items:
        for chunk in group[1][1].items:
            index = decode_struct(data, chunk[4][1])
            assert len(encode_struct(index)) == chunk[5][1]
            pages = index[1][1].items
            assert pages[0][1][1] == chunk[3][1][9][1]
            assert pages[0][3][1] == 0
            num_chunks += 1
    assert num_chunks == len(SCHEMA) * len(footer[4][1].items)


def test_row_groups_that_are_not_kept_are_dead_bytes(tmp_path: Path) -> None:
    old = encode(rows(0, 300), 100)
    new = append_row_groups(old, encode(rows(100, 400), 300), num_kept=1)
    path = tmp_path / "file.parquet"
    path.write_bytes(new)
    assert pq.read_table(path).equals(rows(0, 400))
    clean = encode_sealed([rows(0, 100), rows(100, 400)], SCHEMA)
    assert measure(clean).dead_bytes == 0
    assert measure(clean).live_bytes == len(clean)
    assert abs(measure(new).live_bytes - len(clean)) < 200  # offsets take some bytes more, or less
    assert measure(new).live_bytes + measure(new).dead_bytes == len(new)


def test_other_columns_are_refused() -> None:
    other = encode_sealed([rows(0, 5).drop_columns(["thinking"])], rows(0, 5).drop_columns(["thinking"]).schema)
    with pytest.raises(DifferentColumns):
        append_row_groups(encode(rows(0, 5), 5), other, num_kept=1)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff\xff\xff\x7fPAR1", b"PAR1\x19\x1c\x02\x00\x00\x00PAR1"])
def test_what_is_no_parquet_is_told(data: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        measure(data)


values = st.recursive(
    st.tuples(st.just(I64), st.integers(-(2**63), 2**63 - 1)) | st.tuples(st.just(BINARY), st.binary(max_size=20)),
    lambda inner: (
        st.tuples(st.just(STRUCT), st.dictionaries(st.integers(1, 300), inner, max_size=5))
        | st.tuples(st.just(LIST), st.lists(st.integers(-5, 5), max_size=40).map(lambda items: ThriftList(I64, items)))
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.integers(1, 300), values, max_size=8))
def test_thrift_goes_there_and_back(struct) -> None:
    assert decode_struct(encode_struct(struct)) == dict(sorted(struct.items()))
