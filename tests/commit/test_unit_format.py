"""The bytes of a journal object: rows come back as they were, damage is named, and objects in Parquet are read, too."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pyarrow as pa
import pytest

from framegate.pipelines.commit.unit_format import encode_unit, parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.errors import StorageError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def table(units: SimpleNamespace, facts: RunFacts) -> pa.Table:
    inputs = {"camera": "north", "floor": 3, "taken": datetime(2026, 11, 21, 3), "tags": ["a", "b"], "none": None}
    video = units.make_video("a", inputs=inputs)
    return journal_table(units.make_unit(video, range(3), num_clips=3, failing=True), facts, written_at=NOON)


def test_rows_and_types_come_back_and_the_same_table_gives_the_same_bytes(table: pa.Table) -> None:
    data = encode_unit(table)
    back = parse_unit("x", data)
    assert back.equals(table)
    assert back.schema.equals(table.schema)
    assert back.schema.field("video_id").metadata is None
    assert encode_unit(table.slice(0)) == data
    assert parse_unit("x", data, ["run_id", "answer"]).equals(table.select(["run_id", "answer"]))


def test_an_object_of_an_earlier_version_is_read(table: pa.Table) -> None:
    bare = table.cast(pa.schema([field.remove_metadata() for field in table.schema]))
    parquet = encode_parquet(bare, compression="none", use_dictionary=False, write_statistics=False)
    assert parse_unit("x", parquet).equals(table)
    assert parse_unit("x", parquet, ["answer"]).equals(table.select(["answer"]))
    assert 4 * len(encode_unit(table)) < len(parquet)


def test_an_object_that_was_cut_off_is_named_wherever_that_is(table: pa.Table) -> None:
    data = encode_unit(table)
    for length in range(len(data)):
        with pytest.raises(StorageError, match=r"^s3://b/x is no whole unit of the journal .*; move it away"):
            parse_unit("s3://b/x", data[:length], cure="move it away")


def test_something_else_is_named(table: pa.Table) -> None:
    for data in (b"x", b"PAR1", b"(\xb5/\xfd", b'{"run_id": 1}', b"\xff\xff\xff\xff" * 9):
        with pytest.raises(StorageError, match=r"s3://b/x is no whole unit of the journal"):
            parse_unit("s3://b/x", data)
    with pytest.raises(StorageError, match="is no whole unit"):
        parse_unit("s3://b/x", encode_unit(table), ["mood"])


def test_a_bit_that_flips_is_named_wherever_that_is(table: pa.Table) -> None:
    data = encode_unit(table)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(StorageError, match="is no whole unit of the journal"):
            parse_unit("x", bytes(changed))


def test_other_programs_read_it(table: pa.Table) -> None:
    with pa.CompressedInputStream(pa.BufferReader(encode_unit(table)), "zstd") as packed:
        assert pa.ipc.open_stream(packed).read_all().equals(table)
