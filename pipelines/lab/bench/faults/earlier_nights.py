"""Nights before the run that something happens to: their records and plans are old, so that the run folds them."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plan
from framegate.pipelines.commit.records import record_plan
from framegate.pipelines.commit.run_folding import FOLD_FROM
from framegate.pipelines.commit.runs import create_run, read_runs
from framegate.schemas.counts import Counts
from framegate.schemas.errors import ObjectNotFound

CONFIG_ID: Final = "e" * 16
_NIGHTS: Final = tuple(f"night-{number}" for number in range(FOLD_FROM))
_VIDEO: Final = {"video_id": "d" * 16, "video_uri": "long-gone.mp4", "video_version": "1"}


def put_nights(output: Output) -> None:
    """Records and plans of nights that planned one video and answered nothing."""
    for number, run_id in enumerate(_NIGHTS):
        create_run(output, run_id, _record(number, run_id))
        row = {**_VIDEO, "question_hashes": ["f" * 16], "config_id": CONFIG_ID}
        record_plan(output, run_id, pa.Table.from_pylist([row]))


def find_lost_nights(output: Output) -> str:
    """One sentence where a record or plan is not as it was put; else nothing."""
    runs = read_runs(output)
    lost = [run_id for number, run_id in enumerate(_NIGHTS) if runs.get(run_id) != _record(number, run_id)]
    try:
        lost += [run_id for run_id in _NIGHTS if read_plan(output, run_id, [*_VIDEO]).to_pylist() != [_VIDEO]]
    except ObjectNotFound as error:
        lost.append(str(error))
    return f"records or plans are lost: {', '.join(lost)}" if lost else ""


def _record(number: int, run_id: str) -> dict[str, Any]:
    counts = dict.fromkeys(vars(Counts()), 0)
    return {
        "run_id": run_id, "config_id": CONFIG_ID, "started_at": f"2026-01-0{number + 1}T01:00:00+00:00",
        "state": "complete", "is_complete": True, "counts": counts, "num_videos_left": 0,
    }  # fmt: skip
