"""The view `runs`: one row for each run of an output, as its record says, and as its heartbeat does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.commit.runs import RUN
from framegate.pipelines.results.opened import Opened
from framegate.schemas.clock import now

_TIME: Final = pa.timestamp("us", tz="UTC")
_BOOKS: Final = (
    "num_videos", "num_videos_planned", "num_videos_answered", "num_videos_failed", "num_videos_skipped",
    "num_videos_left", "num_videos_gone",
)  # fmt: skip
_COUNTS: Final = (
    "num_clips", "num_answers", "num_unparsed", "num_failures", "num_thinking", "num_answer_tokens",
    "num_thinking_tokens", "num_deferred", "num_deepened", "num_deepened_tokens",
)  # fmt: skip
_SECONDS: Final = ("decode_seconds", "engine_seconds")
_MONEY: Final = pa.schema([pa.field("cost", pa.float64()), pa.field("currency", pa.string())])
SCHEMA: Final = pa.schema(
    [
        *(
            pa.field(name, pa.string())
            for name in ("run_id", "command", "state", "phase", "stop_code", "stop_reason", "job")
        ),
        *(pa.field(name, pa.string()) for name in ("host", "shard", "config_id")),
        *(pa.field(name, _TIME) for name in ("started_at", "ended_at")),
        pa.field("elapsed_seconds", pa.float64()),
        pa.field("is_complete", pa.bool_()),
        *(pa.field(name, pa.int64()) for name in (*_BOOKS, *_COUNTS)),
        *(pa.field(name, pa.float64()) for name in _SECONDS),
        *_MONEY,
    ]
)
"""The fields of records by their names (docs/output.md); those of `counts` stand beside the others. `cost` is by the
hour's price that the record has."""


def create_runs(opened: Opened, runs: Sequence[Mapping[str, Any]]) -> None:
    """Makes the view. With a config_id it has the runs of that one, and those that did not come to have one."""
    time = now()
    opened.connection.register("run_records", pa.Table.from_pylist([_row(run, time) for run in runs], schema=SCHEMA))
    opened.connection.execute("CREATE TEMP VIEW runs AS FROM run_records ORDER BY started_at, run_id")


def of_config(runs: Sequence[Mapping[str, Any]], config_id: str | None) -> list[Mapping[str, Any]]:
    """Those of one config_id and those without; all where none is given."""
    return [run for run in runs if config_id is None or run.get("config_id") in (None, config_id)]


def _row(run: Mapping[str, Any], time: datetime) -> dict[str, Any]:
    counts = run.get("counts") or {}
    known = {name: run.get(name) for name in SCHEMA.names} | {name: counts.get(name) for name in (*_COUNTS, *_SECONDS)}
    times = {name: _time(known[name]) for name in ("started_at", "ended_at")}
    return {**known, **times, "command": run.get("command", RUN), "state": state_of(run, time), "cost": cost_of(run)}


def cost_of(run: Mapping[str, Any]) -> float | None:
    """What a run has cost by its record; None where the job had no price, or the record is of an earlier version."""
    per_hour, seconds = run.get("cost_per_hour"), run.get("elapsed_seconds")
    return None if per_hour is None or seconds is None else per_hour * seconds / 3600


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
