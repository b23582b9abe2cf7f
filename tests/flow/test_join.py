"""A run that joins another one: each does its part once, and does the other's where that one dies."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.lease import Member
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.commit.team import owners
from framegate.schemas.clock import now
from framegate.schemas.job import Job
from framegate.schemas.keys import id_numbers
from framegate.schemas.run import Deadline
from tests.flow.test_two_runs import at_work, num_answers, run

FIRST = Member(run_id="first")


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job(run={"second": "join", "heartbeat_seconds": 0.2})


def name_second(job: Job) -> str:
    """A name with which a second run has several of the videos that the first one has not begun, and leaves it some."""
    ids = id_numbers(flow.plan(job).videos.column("video_id"))
    for number in range(1000):
        theirs = owners(ids, [FIRST, Member(run_id=f"second-{number}")])
        if theirs[0] == 0 and 2 <= theirs.sum() < len(ids) - 1:
            return f"second-{number}"
    raise AssertionError("no name divides the videos")


def record_of(job: Job, run_id: str) -> dict[str, Any]:
    return read_runs(Output.open(job.config.output))[run_id]


def go_on(first: subprocess.Popen[str]) -> None:
    time.sleep(0.5)  # it looks for others at most once in a heartbeat
    first.communicate("go on\n")
    assert first.returncode == 0


def test_two_runs_do_each_video_once(job: Job, tmp_path: Path) -> None:
    name = name_second(job)
    with at_work(job, tmp_path) as first:
        second = run(job, run_id=name)
        assert second.is_complete
        assert second.num_lost_races == 0
        assert second.num_videos_left == 0
        assert second.num_videos_elsewhere > 0  # what is the first one's, which is at work
        done = second.num_videos_answered + second.num_videos_failed
        assert done > 0
        go_on(first)
    record = record_of(job, "first")
    assert (record["state"], record["num_lost_races"], record["num_videos_left"]) == ("complete", 0, 0)
    assert record["counts"]["num_answers"] + second.counts.num_answers == 12
    begun = [record["num_videos_begun"], record_of(job, name)["num_videos_begun"]]
    assert min(begun) > 0
    assert sum(begun) == 5
    assert num_answers(job) == (12, 12)
    assert audit(Output.open(job.config.output)).is_clean


@pytest.mark.parametrize("on_ray", [False, True], ids=["in process", "on Ray"])
def test_the_second_does_the_work_of_a_first_that_dies(
    job: Job, tmp_path: Path, on_ray: bool, request: pytest.FixtureRequest
) -> None:
    if on_ray:
        request.getfixturevalue("ray_cluster")
    name = name_second(job)
    with at_work(job, tmp_path) as first:

        def kill(_: Any) -> None:
            first.kill()
            first.wait()

        second = run(job, run_id=name, on_progress=kill, in_process=not on_ray)
    assert second.is_complete
    assert (second.num_videos_left, second.num_videos_elsewhere) == (0, 0)
    assert num_answers(job) == (12, 12)
    assert audit(Output.open(job.config.output)).is_clean


def test_the_first_takes_back_the_work_of_a_second_that_dies(job: Job, tmp_path: Path) -> None:
    """The roles are turned round: the process that is killed is the one that came later."""
    killed: list[str] = []

    def join_and_die(_: Any) -> None:
        if not killed:
            killed.append("second")
            with at_work(job, tmp_path) as other:  # it is called "first" there, and began later than this one
                other.kill()
                other.wait()

    mine = run(job, run_id=name_second(job), on_progress=join_and_die)
    assert mine.is_complete
    assert (mine.num_videos_left, mine.num_videos_elsewhere) == (0, 0)
    assert num_answers(job) == (12, 12)
    assert audit(Output.open(job.config.output)).is_clean


def test_a_run_beside_another_shares_nothing(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job(run={"second": "beside", "heartbeat_seconds": 0.2})
    with at_work(job, tmp_path) as first:
        second = run(job)
        assert (second.num_videos_elsewhere, second.num_videos_left) == (0, 0)
        go_on(first)
    assert num_answers(job) == (12, 12)


def test_a_stop_before_the_second_round_leaves_and_counts(job: Job, tmp_path: Path) -> None:
    with at_work(job, tmp_path):
        second = run(job, deadline=Deadline(at=now(), said="--for 0"), run_id=name_second(job))
    assert second.is_stopped
    assert second.num_videos_left > 0
    assert second.is_complete  # its books balance
