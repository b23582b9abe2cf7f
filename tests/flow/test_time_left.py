"""A run tells at half time how long it will still take, by a clock that its engine moves on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines import flow
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.job import Job
from framegate.schemas.run import Progress
from tests.flow.conftest import QUESTIONS


class Clock:
    """Half a second for each question in hand at each step of an engine."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def step(self, asks: Sequence[Ask]) -> None:
        self.now += 0.5 * len(asks)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(flow, "Tally", partial(Tally, clock=clock))
    return clock


@pytest.fixture
def archive(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """30 videos of 1 to 60 clips of two seconds, in no order, and some that are none."""
    folder = tmp_path / "videos"
    random = np.random.default_rng(7)
    for number, clips in enumerate(np.clip(random.lognormal(2, 1, 30), 1, 60).astype(int).tolist()):
        make_video(folder / f"video{number:02}.mp4", seconds=2 * clips)
    for number in (3, 11, 22):
        (folder / f"video{number:02}.no.mp4").write_bytes(b"this is no video" * 200)
    return folder


def error_at_half(job: Job, clock: Clock, **options: Any) -> float:
    """By which share of what was really left the time told at half time was wrong."""
    told, began = list[tuple[float, Progress]](), clock.now
    summary = flow.run(
        job,
        engine_factory=lambda: ScriptedEngine(before_step=clock.step),
        on_progress=lambda progress: told.append((clock.now - began, progress)),
        in_process=True,
        **options,
    )
    assert summary.num_videos_left == 0
    total = clock.now - began
    at, progress = next(each for each in told if each[0] >= total / 2)
    assert progress.pace is not None
    last = told[-1][1]
    assert last.pace is not None
    assert last.pace.seconds_left() == pytest.approx(0, abs=0.01 * total)
    assert last.share_done == pytest.approx(1, abs=0.01)
    return abs(progress.pace.seconds_left() - (total - at)) / (total - at)


def test_a_first_run(make_job: Callable[..., Job], clock: Clock) -> None:
    assert error_at_half(make_job(), clock) < 0.2


def test_a_run_that_goes_on_where_others_ended_and_one_that_asks_something_new(
    make_job: Callable[..., Job], clock: Clock
) -> None:
    flow.run(make_job(questions=QUESTIONS[:1]), engine_factory=ScriptedEngine, in_process=True, limit=8)
    assert error_at_half(make_job(), clock) < 0.2
    late = {"id": "late", "text": "Is it late?", "type": "yes_no"}
    assert error_at_half(make_job(questions=[*QUESTIONS, late]), clock) < 0.2


def test_a_run_that_was_killed_in_the_middle_of_a_video(make_job: Callable[..., Job], clock: Clock) -> None:
    num_units = 0

    def stop(_: Progress) -> None:
        nonlocal num_units
        num_units += 1
        if num_units == 5:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        flow.run(make_job(), engine_factory=ScriptedEngine, in_process=True, on_progress=stop)
    assert error_at_half(make_job(), clock) < 0.2


def test_scenes(make_job: Callable[..., Job], clock: Clock) -> None:
    assert error_at_half(make_job(clips={"scenes": True, "seconds": 4}), clock) < 0.2


def test_whole_videos(make_job: Callable[..., Job], clock: Clock) -> None:
    assert error_at_half(make_job(clips={"whole_video": True}), clock) < 0.2
