"""The view `drift`: what each run found of drift, as its record says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.results.opened import Opened
from framegate.schemas.columns import column, meaning, optional
from framegate.schemas.drift import rows_of

_RECORDS: Final = "drift_records"
SCHEMA: Final = pa.schema(
    [
        column("run_id", pa.string(), "the run that compared its night with those before it"),
        optional("config_id", pa.string(), "the configuration"),
        optional("started_at", pa.timestamp("us", tz="UTC"), "when the run began"),
        column("drift_look", pa.int64(), "which comparison of the output it was, from 1"),
        optional("question_id", pa.string(), "the question; null: whole videos"),
        optional("input", pa.string(), "the manifest's column, without input_; null: all videos"),
        optional("value", pa.string(), "its value"),
        column("measure", pa.string(), "think, confidence, answer, unreadable, audit or failure"),
        optional("detail", pa.string(), "of confidence the bound, of answer the answer, of failure the reason"),
        column("before", pa.float64(), "mean over the videos of the nights before, from 0 to 1"),
        column("now", pa.float64(), "mean over the videos of now"),
        column("low", pa.float64(), "now - before is surely at least this"),
        column("high", pa.float64(), "and at most this"),
        column("delta", pa.float64(), "the chance that this interval is wrong"),
        column("num_videos_before", pa.int64(), "videos of the nights before"),
        column("num_videos", pa.int64(), "videos of now"),
        column("num_nights_before", pa.int64(), "nights before"),
        column("num_nights", pa.int64(), "nights that are now: 1, or the last 3 together"),
        column("alarm", pa.bool_(), "the change is surely larger than drift.min_change"),
    ]
)
MEANINGS: Final[Mapping[str, str]] = {field.name: meaning(field) for field in SCHEMA}


def create_drift(opened: Opened, runs: Sequence[Mapping[str, Any]]) -> None:
    """Makes the view, of these runs."""
    opened.connection.register(_RECORDS, pa.Table.from_pylist([*_rows(runs)], schema=SCHEMA))
    opened.connection.execute(f"CREATE TEMP VIEW drift AS FROM {_RECORDS} ORDER BY started_at, run_id")


def _rows(runs: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for run in runs:
        started_at = run.get("started_at")
        of_run = {
            "run_id": run["run_id"],
            "config_id": run.get("config_id"),
            "started_at": None if started_at is None else datetime.fromisoformat(started_at),
            "drift_look": run.get("drift_look"),
        }
        for row in rows_of(run):
            yield {**of_run, **asdict(row)}


def last_compared(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of these runs the one that looked for drift last; None where none did."""
    compared = [run for run in runs if run.get("drift") is not None]
    return max(compared, key=lambda run: (run.get("drift_look") or 0, str(run.get("started_at"))), default=None)
