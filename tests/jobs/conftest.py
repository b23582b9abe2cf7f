"""A real output for the commands that read one: Parquet in the schemas of the product, on any storage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from jobs.__main__ import app
from pipelines.commit.journal import to_parquet
from pipelines.commit.layout import config_uri, failures_folder, journal_folder, results_folder, run_uri, sealed_uri
from pipelines.store import Store, join
from schemas.tables import FAILURES, RESULTS

CONFIG_ID = "a" * 16
SHARED = {"config_id": CONFIG_ID, "run_id": "run-2", "written_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}


def answer_row(**values: Any) -> dict[str, Any]:
    """A row of results; what is not said is the plainest value of its column."""
    plain = {
        field.name: None if field.nullable else _plainest(field.type) for field in RESULTS if field.name not in SHARED
    }
    return {**plain, "status": "answered", "model": "dock", "strategy": "gated", **SHARED, **values}


def _plainest(data_type: pa.DataType) -> Any:
    if pa.types.is_boolean(data_type):
        return False
    return 0 if pa.types.is_integer(data_type) or pa.types.is_floating(data_type) else ""


def write_output(root: str, *, inputs: Mapping[str, Any] | None = None) -> None:
    """Two videos of two clips with two questions each, one thought about; two failures; a unit not sealed; two runs."""
    store = Store()
    answers = [
        answer_row(
            video_uri=f"s3://cameras/{video}.mp4",
            video_id=video,
            clip_index=clip,
            question_id=question,
            question_hash=question * 2,
            thinking=question == "where",
            num_answer_tokens=3,
            num_thinking_tokens=40 if question == "where" else 0,
            **(inputs or {}),
        )
        for video in ("v1", "v2")
        for clip in (0, 1)
        for question in ("where", "colour")
    ]
    failures = [
        {
            "video_uri": f"s3://cameras/{video}.mp4",
            "video_id": video,
            "clip_is_last": True,
            "stage": "decode",
            "reason": reason,
            "message": "The file is text.",
            "attempts": 1,
            **SHARED,
        }
        for video, reason in (("v3", "not_video"), ("v4", "not_video"), ("v5", "truncated"))
    ]
    extra = [pa.field(name, pa.scalar(value).type) for name, value in (inputs or {}).items()]
    for folder, rows, schema in (
        (results_folder(root, CONFIG_ID), answers, pa.schema([*RESULTS, *extra])),
        (failures_folder(root, CONFIG_ID), failures, FAILURES),
    ):
        data = to_parquet(pa.Table.from_pylist(rows, schema=schema))
        store.put_once(sealed_uri(folder, data), data)
    store.put_once(join(journal_folder(root, CONFIG_ID), "v6", "0-0-x.parquet"), b"a unit")
    store.put_once(config_uri(root, CONFIG_ID), b"model: dock\n")
    for run_id, started_at, is_complete in (("run-1", "2026-01-01", False), ("run-2", "2026-01-02", True)):
        record = {
            "run_id": run_id,
            "config_id": CONFIG_ID,
            "started_at": started_at,
            "is_complete": is_complete,
            "is_stopped": not is_complete,
            "num_videos_left": 0,
            "elapsed_seconds": 12.5,
        }
        store.put_once(run_uri(root, run_id), json.dumps(record).encode())


@pytest.fixture
def output(tmp_path) -> str:
    root = str(tmp_path / "index")
    write_output(root)
    return root


@pytest.fixture(scope="session")
def fill_output() -> Callable[..., None]:
    """`fill_output(uri, inputs={"input_dock": "north"})` writes the same output anywhere."""
    return write_output


@pytest.fixture
def framegate() -> Callable[..., Result]:
    """`framegate("query", "SELECT 1")` as if typed; wide enough that no table cell is folded."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"}, catch_exceptions=False)

    return invoke
