"""Records say what was set out to do and what was done, are put once, and a damaged one is named."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from framegate.pipelines.commit.layout import Layout
from framegate.pipelines.commit.records import (
    PLAN,
    read_begun,
    read_runs,
    record_begun,
    record_config,
    record_plan,
    record_run,
)
from framegate.pipelines.store import Store
from framegate.schemas.errors import FramegateError, StorageError

BEGUN = {"config_id": "c" * 16, "started_at": "2026-11-21T12:00:00+00:00", "questions": {"who": "a" * 16}}


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
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    return Layout(str(tmp_path) if request.param == "local" else request.getfixturevalue("memory_root"))


def test_a_killed_run_has_begun_and_has_no_record(layout: Layout) -> None:
    store = Store()
    for run_id in ("killed", "whole"):
        record_begun(store, layout, run_id, BEGUN)
    record_run(store, layout, "whole", {"run_id": "whole", "is_complete": True})
    assert read_begun(store, layout) == {"killed": BEGUN, "whole": BEGUN}
    assert read_runs(store, layout) == {"whole": {"run_id": "whole", "is_complete": True}}


def test_what_is_recorded_stays(layout: Layout) -> None:
    store = Store()
    for number in (1, 2):
        record_run(store, layout, "run", {"number": number})
        record_begun(store, layout, "run", {"number": number})
        record_config(store, layout, "c" * 16, {"number": number})
        record_plan(store, layout, "run", planned(range(number)))
    assert read_runs(store, layout)["run"] == read_begun(store, layout)["run"] == {"number": 1}
    assert yaml.safe_load(store.read(layout.config("c" * 16))) == {"number": 1}
    assert pq.read_table(io.BytesIO(store.read(layout.plan("run")))).num_rows == 1


def test_a_plan_is_sorted_so_that_one_video_is_found_by_statistics(layout: Layout) -> None:
    record_plan(Store(), layout, "run", planned(range(40_000, 0, -1), video_size_bytes=7))
    file = pq.ParquetFile(io.BytesIO(Store().read(layout.plan("run"))))
    assert file.schema_arrow.equals(PLAN)
    groups = [file.metadata.row_group(n).column(0).statistics for n in range(file.num_row_groups)]
    assert len(groups) == 3
    assert [g.min for g in groups] == sorted(g.min for g in groups)
    assert all(before.max < after.min for before, after in itertools.pairwise(groups))
    assert {file.metadata.row_group(0).column(n).compression for n in range(5)} == {"ZSTD"}


def test_the_same_plan_in_another_order_is_the_same_object(layout: Layout) -> None:
    rows = planned(range(10))
    record_plan(Store(), layout, "one", rows)
    record_plan(Store(), layout, "two", rows.take(list(range(9, -1, -1))))
    assert Store().read(layout.plan("one")) == Store().read(layout.plan("two"))


def test_an_empty_plan_is_a_plan(layout: Layout) -> None:
    record_plan(Store(), layout, "run", PLAN.empty_table())
    assert pq.read_table(io.BytesIO(Store().read(layout.plan("run")))).num_rows == 0


def test_a_plan_without_a_column_is_refused(layout: Layout) -> None:
    with pytest.raises(FramegateError, match="it lacks video_version, config_id"):
        record_plan(Store(), layout, "run", planned(range(1)).drop_columns(["video_version", "config_id"]))
    assert list(Store().list(layout.root)) == []


@pytest.mark.parametrize("data", [b"{half", b"\xff\xfe", b"[1]", json.dumps("run").encode()])
def test_a_damaged_record_is_named(layout: Layout, data: bytes) -> None:
    Store().put_once(layout.run("odd"), data)
    with pytest.raises(StorageError, match=r"odd\.json is no run record"):
        read_runs(Store(), layout)
