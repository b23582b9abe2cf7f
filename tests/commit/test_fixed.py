"""What an output fixes: it stays as it was, columns are added, and nothing is fixed twice in two ways."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pytest

from framegate.pipelines.commit.fixed import FILE_FORMAT, Fixed, fix, fix_format, read_fixed
from framegate.pipelines.commit.output import Output
from framegate.pipelines.store import Store
from framegate.schemas.column_types import TIMESTAMP, read_type, write_type
from framegate.schemas.errors import ConfigError, StorageError


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


def test_columns_are_added_and_none_is_changed(output: Output) -> None:
    assert read_fixed(output) is None
    fix(output, ["camera"], {"camera": pa.string(), "floor": pa.int64()})
    both = fix(output, ["camera"], {"camera": pa.string(), "taken": TIMESTAMP})
    assert both == read_fixed(output) == Fixed(
        partition_by=("camera",), columns={"camera": pa.string(), "floor": pa.int64(), "taken": TIMESTAMP}
    )  # fmt: skip
    assert fix(output, ["camera"]) == both
    with pytest.raises(ConfigError, match=r"'floor' is string, but in .* it is integer .* {floor: integer}"):
        fix(output, ["camera"], {"floor": pa.string()})
    with pytest.raises(ConfigError, match=r"'Floor', and the output .* a column 'floor'"):
        fix(output, ["camera"], {"Floor": pa.int64()})
    with pytest.raises(ConfigError, match="partitioned by \\['camera'\\]"):
        fix(output, [], {"floor": pa.int64()})
    assert read_fixed(output) == both


def test_a_zone_matters_where_partitions_are_parts_of_times(output: Output) -> None:
    fix(output, ["taken.date"], time_zone="Europe/Berlin")
    with pytest.raises(ConfigError, match=r"input\.time_zone is UTC, but .* dates and hours of Europe/Berlin"):
        fix(output, ["taken.date"], time_zone="UTC")
    other = Output.at(output.root + "-other")
    fix(other, ["camera"], time_zone="Europe/Berlin")
    assert fix(other, ["camera"], time_zone="UTC").time_zone == "Europe/Berlin"


def test_an_output_of_an_older_version_has_no_columns_yet(output: Output) -> None:
    Store().put_once(output.layout.partitioning, b'{"partition_by": ["camera"]}\n')
    assert read_fixed(output) == Fixed(partition_by=("camera",), has_columns=False, file_format=0)
    assert fix(output, ["camera"], {"floor": pa.int64()}).columns == {"floor": pa.int64()}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"partition_by": [], "columns": {"a": "int65"}}', "\0"])
def test_what_is_no_layout_is_said(output: Output, text: str) -> None:
    Store().put_once(output.layout.partitioning, text.encode())
    with pytest.raises(StorageError, match=r"layout\.json is no layout of an output"):
        read_fixed(output)


def test_runs_that_add_columns_at_once_lose_none(output: Output) -> None:
    barrier = Barrier(8)

    def add(number: int) -> None:
        barrier.wait()
        fix(output, [], {f"column{number}": pa.int64(), "shared": pa.string()})

    threads = [Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fixed = read_fixed(output)
    assert fixed is not None
    assert set(fixed.columns) == {"shared", *(f"column{number}" for number in range(8))}


@pytest.mark.parametrize(
    "data_type",
    [
        pa.string(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_(), pa.date32(), pa.binary(), TIMESTAMP,
        pa.timestamp("us"), pa.decimal128(10, 2), pa.time64("us"), pa.list_(pa.string()),
        pa.struct([("a, b>", pa.int64()), ("c", pa.list_(pa.timestamp("us", "UTC")))]),
    ],
    ids=str,
)  # fmt: skip
def test_a_type_comes_back_as_it_was_written(data_type: pa.DataType) -> None:
    assert read_type(json.loads(json.dumps(write_type(data_type)))) == data_type


def test_on_s3_too(s3_root: str) -> None:
    output = Output.at(s3_root)

    fix(output, [], {"a": pa.int64()})
    assert fix(output, [], {"b": pa.string()}).columns == {"a": pa.int64(), "b": pa.string()}


def test_an_older_output_keeps_its_format_until_all_of_it_is_migrated(output: Output) -> None:
    Store().put_once(output.layout.partitioning, b'{"partition_by": []}\n')
    assert fix(output, [], {"a": pa.int64()}).file_format == 0
    fix_format(output)
    assert read_fixed(output) == Fixed(partition_by=(), columns={"a": pa.int64()}, file_format=FILE_FORMAT)
    other = Output.at(output.root + "-other")
    fix_format(other)
    assert read_fixed(other) is None, "the first run says what is fixed"
    Store().put_once(other.layout.partitioning, b'{"partition_by": []}\n')
    fix_format(other)
    assert read_fixed(other) == Fixed(partition_by=(), has_columns=False, file_format=FILE_FORMAT)
