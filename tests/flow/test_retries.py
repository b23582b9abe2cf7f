"""What failed: when it is tried again, how often, and when a run gives up on itself. Without Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from framegate.jobs.run import run_job
from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, say_yes
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.pipelines.store import Store
from framegate.pipelines.store.pinned import PinnedObject
from framegate.schemas.clip import Video
from framegate.schemas.errors import StorageError
from framegate.schemas.job import Job
from framegate.schemas.retries import RETRY_AFTER
from framegate.schemas.run import RunSummary

Row = tuple[Any, ...]


def run(job: Job, **options: Any) -> RunSummary:
    return flow.run(job, **{"engine_factory": ScriptedEngine, "in_process": True, **options})


def count_is_ill() -> ScriptedEngine:
    """An engine on which one question fails."""

    def script(ask: Ask) -> Sequence[tuple[str, float]]:
        if ask.question.id == "count":
            raise ValueError("ill")
        return say_yes(ask)

    return ScriptedEngine(script)


def failures(job: Job, columns: str = "question_id, clip_index, reason, attempts") -> list[Row]:
    found = duckdb.sql(f"SELECT {columns} FROM '{job.config.output.uri}/failures/**/*.parquet' ORDER BY ALL")
    return found.fetchall()


def num_answers(job: Job) -> int:
    [(count,)] = duckdb.sql(f"SELECT count(*) FROM '{job.config.output.uri}/results/**/*.parquet'").fetchall()
    return count


@pytest.fixture
def one_video(make_job: Callable[..., Job], archive: Path) -> Callable[..., Job]:
    """Jobs over one film of two clips."""
    return lambda **parts: make_job(input={"videos": str(archive / "video1.mp4")}, **parts)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for reason, wait in RETRY_AFTER.items():
        if wait is not None:
            monkeypatch.setitem(RETRY_AFTER, reason, timedelta(0))


def test_what_failed_lately_waits(one_video: Callable[..., Job]) -> None:
    job = one_video()
    run(job, engine_factory=count_is_ill)
    again = run(job)
    assert (again.num_videos_skipped, again.counts.num_answers) == (1, 0)
    assert flow.plan(job).num_settled == 1
    assert flow.plan(job, retry_failed=True).videos.num_rows == 1


@pytest.mark.usefixtures("no_waiting")
def test_only_what_failed_is_asked_again_and_its_failures_stay_as_history(
    one_video: Callable[..., Job], asked: Any
) -> None:
    job = one_video()
    run(job, engine_factory=count_is_ill)
    assert failures(job) == [("count", 0, "engine_error", 1), ("count", 1, "engine_error", 1)]
    run(job, engine_factory=count_is_ill)
    assert [row[-1] for row in failures(job)] == [1, 2, 1, 2]
    summary = run(job, engine_factory=asked.make_factory())
    assert asked.questions == ["count", "count"]
    assert (summary.num_videos_answered, summary.counts.num_answers, num_answers(job)) == (1, 2, 4)
    assert len(failures(job)) == 4
    assert run(job).num_videos_skipped == 1
    assert audit(Output.at(job.config.output.uri)).is_clean


@pytest.mark.usefixtures("no_waiting")
def test_after_max_attempts_it_is_left_alone_until_it_is_asked_for(one_video: Callable[..., Job]) -> None:
    job = one_video(failures={"max_attempts": 2})
    for _ in range(4):
        run(job, engine_factory=count_is_ill)
    assert [row[-1] for row in failures(job)] == [1, 2, 1, 2]
    assert run(job, retry_failed=True).counts.num_answers == 2
    assert num_answers(job) == 4


@pytest.mark.usefixtures("no_waiting")
def test_a_video_that_cannot_be_read_is_tried_again_and_one_that_is_no_video_is_not(
    make_job: Callable[..., Job], archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_open = Store.open_pinned

    def refuse(store: Store, video: Video) -> PinnedObject:
        if video.uri.endswith("video0.mp4"):
            raise StorageError(f"cannot read {video.uri}: permission denied")
        return plain_open(store, video)

    monkeypatch.setattr(Store, "open_pinned", refuse)
    job = make_job(input={"videos": [str(archive / "video0.mp4"), str(archive / "broken.mp4")]})
    for _ in range(2):
        summary = run(job)
        assert summary.is_complete
    assert failures(job, "reason, attempts") == [("not_video", 1), ("storage", 1), ("storage", 2)]
    run(job, retry_failed=True)
    assert failures(job, "reason, attempts")[:2] == [("not_video", 1), ("not_video", 2)]
    assert audit(Output.at(job.config.output.uri)).is_clean


def test_a_run_in_which_all_fails_for_one_reason_stops_and_says_so(
    make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything_is_ill() -> ScriptedEngine:
        def script(ask: Ask) -> Sequence[tuple[str, float]]:
            raise ValueError("ill")

        return ScriptedEngine(script)

    job = make_job(failures={"stop_window": 2, "stop_share": 0.5})
    in_process = flow.run
    monkeypatch.setattr(flow, "run", lambda *args, **options: in_process(*args, **{**options, "in_process": True}))
    assert run_job(job, name="job.yaml", engine_factory=everything_is_ill) == 1
    told = capsys.readouterr()
    assert "2 of the last 2 units failed for one reason, engine_error" in told.err
    assert "framegate run job.yaml" in told.err
    summary = run(job, retry_failed=True)
    assert (summary.is_complete, summary.num_videos_left, num_answers(job)) == (True, 0, 12)


def test_books_balance_where_some_videos_failed_before(make_job: Callable[..., Job]) -> None:
    job = make_job()
    first, second = run(job), run(job)
    for summary in (first, second):
        parts = (
            summary.num_videos_answered,
            summary.num_videos_failed,
            summary.num_videos_skipped,
            summary.num_videos_left,
        )
        assert sum(parts) == summary.num_videos_planned == 5
    assert (first.num_videos_answered, first.num_videos_failed) == (3, 2)
    assert second.num_videos_skipped == 5
