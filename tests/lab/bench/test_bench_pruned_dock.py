"""`framegate bench pruned-dock`: what it certifies and times, on few films."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench import pruned_dock
from framegate.schemas.job import Job
from framegate.schemas.run import RunSummary


def test_levels_are_compared_and_prefills_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruned_dock, "_PREFILL_CLIPS", 2)
    report = tmp_path / "report.json"
    settings = ["--clips", "4", "--idle", "6", "--audit", "100%", "--epsilon", "50%", "--repeats", "1"]
    thresholds = ["--threshold", "0.1", "--threshold", "2"]
    command = ["bench", "pruned-dock", *settings, *thresholds, "--out", str(tmp_path / "out"), "--json", str(report)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "pruning: level" in result.output
    [found] = json.loads(report.read_text())["rows"]
    whole, *questions = found["prunes"]["certificates"]
    assert [one["question_id"] for one in questions] == ["black_seen"]
    low, high = whole["levels"]
    assert (low["level"], low["num_rows"], low["population"]) == (0.1, 4, 4)
    assert high["video_share"] < low["video_share"] < 0.9, "the empty dock is left out"
    assert low["video_share"] < low["prompt_share"] < 1
    plain, first, second = found["prefills"]
    assert (plain["threshold"], plain["video_share"], plain["prefill_share"]) == (0, 1, 1)
    assert second["video_share"] < first["video_share"] < 1
    assert all(row["prefill_seconds"] > 0 for row in found["prefills"])


def test_a_question_that_the_demo_has_not_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "pruned-dock", "--questions", "weather", "--out", str(tmp_path)])
    assert (result.exit_code, [*tmp_path.iterdir()]) == (2, [])


def test_a_run_that_was_stopped_certifies_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(job: Job, **options: Any) -> RunSummary:
        return replace(run(job, limit=1, **options), num_videos_left=1)

    run = pruned_dock.flow.run
    monkeypatch.setattr(pruned_dock.flow, "run", stopped)
    command = ["bench", "pruned-dock", "--clips", "2", "--threshold", "0.1", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "pruning: level" not in result.output
