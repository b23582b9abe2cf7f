"""Records say what was set out to do, and are put once."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import PLAN, record_config, record_plan
from framegate.pipelines.store import Store
from framegate.schemas.errors import FramegateError


def planned(videos: range, **more: Any) -> pa.Table:
    rows = [
        {
            "video_id": f"{number:016x}",
            "video_uri": f"s3://cameras/{number}.mp4",
            "video_version": "etag",
            "question_hashes": ["a" * 16],
            "config_id": "c" * 16,
            **more,
        }
        for number in videos
    ]
    return pa.Table.from_pylist(rows)


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output.at(str(tmp_path) if request.param == "local" else request.getfixturevalue("memory_root"))


def test_what_is_recorded_stays(output: Output) -> None:
    for number in (1, 2):
        record_config(output, "c" * 16, {"number": number})
        record_plan(output, "run", planned(range(number)))
    assert yaml.safe_load(output.store.read(output.layout.config("c" * 16))) == {"number": 1}
    assert pq.read_table(io.BytesIO(output.store.read(output.layout.plan("run")))).num_rows == 1


def test_a_plan_is_sorted_so_that_one_video_is_found_by_statistics(output: Output) -> None:
    record_plan(output, "run", planned(range(40_000, 0, -1), video_size_bytes=7))
    file = pq.ParquetFile(io.BytesIO(Store().read(output.layout.plan("run"))))
    assert file.schema_arrow.equals(PLAN)
    groups = [file.metadata.row_group(n).column(0).statistics for n in range(file.num_row_groups)]
    assert len(groups) == 3
    assert [g.min for g in groups] == sorted(g.min for g in groups)
    assert all(before.max < after.min for before, after in itertools.pairwise(groups))
    assert {file.metadata.row_group(0).column(n).compression for n in range(5)} == {"ZSTD"}


def test_the_same_plan_in_another_order_is_the_same_object(output: Output) -> None:
    rows = planned(range(10))
    record_plan(output, "one", rows)
    record_plan(output, "two", rows.take(list(range(9, -1, -1))))
    assert Store().read(output.layout.plan("one")) == Store().read(output.layout.plan("two"))


def test_an_empty_plan_is_a_plan(output: Output) -> None:
    record_plan(output, "run", PLAN.empty_table())
    assert pq.read_table(io.BytesIO(Store().read(output.layout.plan("run")))).num_rows == 0


def test_a_plan_without_a_column_is_refused(output: Output) -> None:
    with pytest.raises(FramegateError, match="it lacks video_version, config_id"):
        record_plan(output, "run", planned(range(1)).drop_columns(["video_version", "config_id"]))
    assert list(Store().list(output.root)) == []
