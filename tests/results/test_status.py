"""Status says what an output holds, whether or not anything is sealed, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import create_run
from framegate.pipelines.results.status import read_status
from framegate.schemas.config import OutputConfig

NO_COUNTS = dict.fromkeys(
    ("num_videos", "num_clips", "num_answers", "num_unparsed", "elapsed_seconds", "clips_per_second", "think_rate",
     "num_answer_tokens", "num_thinking_tokens", "num_deferred", "num_deepened", "num_deepened_tokens")
)  # fmt: skip
EXPECTED: dict[str, Any] = {
    "config_id": "a" * 16,
    "model": "dock",
    "strategy": "gated",
    "num_videos": 2,
    "num_videos_left": 3,
    "num_clips": 4,
    "num_questions": 2,
    "num_answers": 8,
    "num_unparsed": 1,
    "think_rate": 0.5,
    "num_answer_tokens": 24,
    "num_thinking_tokens": 160,
    "num_deferred": 0,
    "num_failures": 3,
    "failures": [
        {"reason": "not_video", "num_failures": 2, "num_retried": 0, "num_given_up": 2},
        {"reason": "truncated", "num_failures": 1, "num_retried": 0, "num_given_up": 1},
    ],
    "num_units_not_sealed": 1,
    "num_videos_not_sealed": 1,
    "num_open_attempts": 1,
    "num_videos_erased": 0,
    "num_runs": 3,
    "runs": [
        {
            "shard": None,
            "run_id": "run-3",
            "command": "run",
            "started_at": "2026-01-03T00:00:00+00:00",
            "state": "dead",
            **NO_COUNTS,
        },
        {
            "shard": None,
            "run_id": "run-2",
            "command": "run",
            "started_at": "2026-01-02T00:00:00+00:00",
            "state": "complete",
            "num_videos": 5,
            "num_clips": 4,
            "num_answers": 8,
            "num_unparsed": 1,
            "elapsed_seconds": 12.5,
            "clips_per_second": 0.32,
            "think_rate": 0.5,
            "num_answer_tokens": 24,
            "num_thinking_tokens": 160,
            "num_deferred": 0,
            "num_deepened": 0,
            "num_deepened_tokens": 0,
        },
    ],
}


def read(output: str, *, max_attempts: int = 3, num_runs: int = 2) -> list[dict[str, Any]]:
    return read_status(OutputConfig(uri=output), max_attempts=max_attempts, num_runs=num_runs)


def remove(output: str, *folders: str) -> None:
    for folder in folders:
        for path in Path(output, folder).rglob("*"):
            if path.is_file():
                path.unlink()


def test_every_figure_of_an_output(output: str) -> None:
    assert read(output) == [EXPECTED]


def test_the_same_on_s3(s3_root: str, fill_output: Callable) -> None:
    fill_output(s3_root)
    assert read(s3_root) == [EXPECTED]


def test_the_states_of_runs(output: str) -> None:
    Path(output, "runs", "run-4.json").write_text(
        json.dumps({"config_id": "a" * 16, "started_at": "2026-01-04", "is_complete": False, "is_stopped": False})
    )
    (row,) = read(output, num_runs=4)
    assert [run["state"] for run in row["runs"]] == ["failed", "dead", "complete", "stopped"]
    assert read(output, num_runs=0)[0]["runs"] == []


def test_a_run_that_has_only_begun_is_seen_in_the_journal(output: str) -> None:
    remove(output, "results", "failures", "configs")
    for number in (1, 2):
        Path(output, "runs", f"run-{number}.json").unlink()
        Path(output, "runs", f"run-{number}.begun.json").unlink()
    (row,) = read(output)
    assert (row["num_answers"], row["num_units_not_sealed"], row["think_rate"]) == (0, 1, None)
    assert (row["num_videos_left"], [run["state"] for run in row["runs"]]) == (3, ["dead"])


def test_a_run_that_was_killed_before_it_had_a_plan_has_all_its_videos_left(output: str) -> None:
    Path(output, "plans", "run-3.parquet").unlink()
    assert read(output)[0]["num_videos_left"] == 3


def test_a_video_is_left_of_a_killed_run_until_nothing_of_it_is_missing(output: str, fill_unit: Callable) -> None:
    assert read(output)[0]["num_videos_left"] == 3  # one of them has an answer to its first clip alone
    fill_unit(output, number=6, clip_index=0, question_hash="2" * 16)
    assert read(output)[0]["num_videos_left"] == 3
    for question_hash in ("1" * 16, "2" * 16):
        fill_unit(output, number=6, clip_index=1, clip_is_last=True, question_hash=question_hash)
    assert read(output)[0]["num_videos_left"] == 2


def test_a_damaged_unit_hides_no_other_figure(output: str) -> None:
    (unit,) = Path(output, "journal").rglob("*.arrow.zst")
    unit.write_bytes(b"half of it")
    assert read(output) == [EXPECTED]  # its video was left before, and is still: the unit's work is done again


def test_the_videos_left_of_a_run_that_ended_are_its_own(output: str) -> None:
    Path(output, "runs", "run-3.json").write_text(
        json.dumps({"config_id": "a" * 16, "num_videos_left": 7, "is_stopped": True, "started_at": "2026-01-03"})
    )
    assert read(output)[0]["num_videos_left"] == 7


def test_a_run_that_was_refused_says_nothing_of_what_is_left(output: str) -> None:
    started = {"config_id": "a" * 16, "started_at": "2026-01-05", "num_videos": None}
    refused = {**started, "run_id": "run-5", "state": "failed", "stop_code": "refused", "stop_reason": "another run"}
    create_run(Output.at(output), "run-5", refused)
    (row,) = read(output)
    assert (row["runs"][0]["run_id"], row["num_videos_left"]) == ("run-5", 3)


def test_the_reading_side_loads_neither_torch_nor_ray() -> None:
    modules = [f"framegate.pipelines.results.{name}" for name in ("choose", "status", "views")]
    script = f"import sys, {', '.join(modules)}; print(sorted({{'ray', 'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
