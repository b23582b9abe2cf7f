"""Whole runs against their parts: the same work three times, one clock, and no second of the engine is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.lab.bench import app
from framegate.pipelines.lab.bench.faults.small_archive import make_archive, make_model
from framegate.pipelines.lab.bench.pipeline.jobs import QUESTIONS, dock_job, videos_job
from framegate.pipelines.lab.bench.pipeline.measure import KINDS, Pipeline, measure_turns
from framegate.pipelines.lab.bench.pipeline.report import STARVED, make_rows
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.occupancy import STATES
from framegate.pipelines.reason.strategies.protocol import FinishedAsk
from framegate.schemas.errors import ConfigError


@pytest.mark.usefixtures("ray_cluster")
def test_a_turn_does_the_same_work_three_times(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "videos")
    parts = {
        "model": {"name": str(make_model(tmp_path / "model"))},
        "clips": {"seconds": 2},
        "ray": {"decode_workers": 1, "reason_actors": {"min": 1, "max": 1}},
    }
    job = videos_job(tmp_path / "source", [archive[0].parent], num_copies=2, parts=parts)

    # Defined here, so that it travels to Ray's workers by value.
    class Slow(ScriptedEngine):
        num_slots = 8

        def step(self) -> list[FinishedAsk]:
            time.sleep(0.02)
            return super().step()

    pipeline = Pipeline(job, tmp_path / "runs", engine_factory=lambda: Slow())
    [turn] = measure_turns(pipeline, 1)
    assert [one.kind for one in turn] == list(KINDS)
    whole, decode, engine = turn
    num_questions = 2 * 6 * len(QUESTIONS)
    for one in turn:
        assert (one.num_units, one.num_clips) == (2 * 5, 2 * 6)
        assert (one.num_questions, one.num_failures) == (num_questions + 2 * 2, 2 * 2)
        assert 0 < one.seconds < one.wall_seconds
        assert set(one.engine_states) == set(STATES)
        assert sum(one.engine_states.values()) == pytest.approx(one.seconds, abs=0.5)
    # 48 questions of three tokens and an end each, 8 to 16 at a time.
    assert engine.engine_states["full"] + engine.engine_states["short"] >= 3 * 0.02
    assert decode.seconds > 0
    assert whole.engine_states["full"] > 0
    rows = make_rows(turn)
    assert rows[0]["ratio"] == pytest.approx(whole.seconds / max(decode.seconds, engine.seconds))
    assert rows[0]["floor"] >= 1
    assert [row["ratio"] for row in rows[1:]] == [None, None]


def test_what_is_called_starved_is_a_state() -> None:
    assert set(STARVED) < set(STATES)


def test_the_jobs_are_jobs(tmp_path: Path) -> None:
    parts = {"gate": {"max_thinking_tokens": 7}, "model": {"name": "dock"}}
    job = dock_job(tmp_path / "dock", num_clips=2, parts=parts)
    assert len(list((tmp_path / "dock" / "videos").iterdir())) == 2
    assert (job.config.gate.max_thinking_tokens, job.config.gate.max_answer_tokens) == (7, 16)
    with pytest.raises(ConfigError, match=r"nowhere\.mp4 is not there"):
        videos_job(tmp_path, [tmp_path / "nowhere.mp4"], num_copies=1, parts=parts)


def test_two_checkpoints_are_refused() -> None:
    result = CliRunner().invoke(app, ["pipeline", "--model", "x", "--parameters", "1M"])
    assert isinstance(result.exception, ConfigError)
    assert "give one of them" in str(result.exception)
