"""The last run in one sentence, when it will be done, and what a monitor is told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from framegate.pipelines.results.health import Limits, find_faults
from framegate.pipelines.results.last_run import describe_run, estimate_end, find_last, say_span

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def run(state: str, *, hours_ago: float = 1.0, heard_ago: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A run that ended `hours_ago` after two hours of work, or that began two hours before that and is at work."""
    end = NOW - timedelta(hours=hours_ago)
    heartbeat = {"at": (NOW - timedelta(seconds=heard_ago)).isoformat(), "number": 3, "every_seconds": 60.0}
    ended = None if state == "running" else end.isoformat()
    return {
        "run_id": "night", "state": state, "started_at": (end - timedelta(hours=2)).isoformat(), "ended_at": ended,
        "heartbeat": heartbeat, "host": "gpu-7", "pid": 42, "elapsed_seconds": 7200.0, **fields,
    }  # fmt: skip


BOOKS = {
    "num_videos_answered": 90, "num_videos_failed": 4, "num_videos_skipped": 1200, "num_videos_left": 6,
    "is_complete": True, "counts": {"num_answers": 200, "num_unparsed": 10},
}  # fmt: skip
SAID = ": videos 90 answered, 4 failed, 1,200 skipped, 6 left, in 2.0 h"
WORKING = {"phase": "working", "num_videos": 100, "num_videos_begun": 25, "phase_seconds": {"working": 3600.0}}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (run("complete", **BOOKS), f"run night is complete at 2026-11-21 11:00 UTC (60 min ago){SAID}"),
        (
            run("stopped", stop_code="deadline", stop_reason="06:00 came", **BOOKS),
            f"run night was stopped by its deadline at 2026-11-21 11:00 UTC (60 min ago) (06:00 came){SAID}",
        ),
        (
            run("stopped", stop_code="signal", stop_reason="interrupted"),
            "run night was stopped by a signal at 2026-11-21 11:00 UTC (60 min ago)",
        ),
        (
            run("failed", stop_code="error", stop_reason="no such model"),
            "run night failed at 2026-11-21 11:00 UTC (60 min ago): no such model",
        ),
        (
            run("running", **WORKING),
            "run night is at work since 2026-11-21 09:00 UTC (3.0 h ago), process 42 on gpu-7: working,"
            " 25 of 100 videos begun, done about 2026-11-21 15:00 UTC (in 3.0 h)",
        ),
        (
            run("running", phase="planning"),
            "run night is at work since 2026-11-21 09:00 UTC (3.0 h ago), process 42 on gpu-7: planning",
        ),
        (
            run("running", heard_ago=181, **WORKING),
            "run night is dead: no heartbeat since 2026-11-21 11:56:59 UTC; process 42 on gpu-7: working,"
            " 25 of 100 videos begun",
        ),
    ],
)
def test_each_state_is_one_sentence(last: dict[str, Any], said: str) -> None:
    assert describe_run(last, NOW) == said


def test_the_end_of_a_run_is_told_from_its_own_heartbeat() -> None:
    assert estimate_end(run("running", heard_ago=100, **WORKING)) == NOW - timedelta(seconds=100) + timedelta(hours=3)
    assert estimate_end(run("running", **{**WORKING, "num_videos_begun": 0})) is None
    assert estimate_end(run("complete", **WORKING)) is None


def test_the_end_of_a_run_is_what_it_says_itself_where_it_does() -> None:
    said = {**WORKING, "seconds_left": 60.0}
    assert estimate_end(run("running", heard_ago=10, **said)) == NOW + timedelta(seconds=50)
    assert estimate_end(run("running", **{**WORKING, "seconds_left": None})) is None
    assert estimate_end(run("complete", **said)) is None


def test_a_run_that_was_refused_is_not_the_last_one() -> None:
    runs = [run("complete", hours_ago=5), run("failed", run_id="second", stop_code="refused")]
    assert find_last(runs) == runs[0]
    assert find_last([]) is None


def faults(*runs: dict[str, Any], **limits: float) -> list[str]:
    return find_faults(runs, Limits(**limits), NOW)


def test_what_ended_well_or_is_at_work_is_well() -> None:
    for last in (
        run("complete"),
        run("running"),
        *(run("stopped", stop_code=c) for c in ("signal", "deadline", "limit")),
    ):
        assert faults(run("failed", hours_ago=9), last) == []


def test_what_failed_died_or_broke_is_not() -> None:
    for last in (
        run("failed"),
        run("running", heard_ago=1e4),
        *(run("stopped", stop_code=c) for c in ("breaker", "unparsed")),
    ):
        assert faults(run("complete", hours_ago=9), last) == [describe_run(last, NOW)]
    assert faults() == ["no run is recorded here"]


def test_the_age_counts_from_the_last_good_end_or_the_start_of_a_run_at_work() -> None:
    assert faults(run("complete", hours_ago=25), max_age_seconds=26 * 3600) == []
    assert faults(run("complete", hours_ago=27), max_age_seconds=26 * 3600) == [
        "no run has ended well for 27 h, since 2026-11-20 09:00 UTC; --max-age allows 26 h"
    ]
    assert len(faults(run("complete", hours_ago=27), run("failed"), max_age_seconds=26 * 3600)) == 2
    assert faults(run("complete", hours_ago=40), run("running"), max_age_seconds=26 * 3600) == []
    hanging = run("running", hours_ago=40)
    assert len(faults(hanging, max_age_seconds=26 * 3600)) == 1
    assert faults(run("failed"), max_age_seconds=60)[-1] == "no run has ended well yet"


def drifted(run_id: str, *alarms: bool, **fields: Any) -> dict[str, Any]:
    row = {
        "question_id": None,
        "input": "camera",
        "value": "north",
        "measure": "failure",
        "detail": "truncated",
        "before": 0.01,
        "now": 0.6,
        "low": 0.2,
        "high": 0.8,
        "delta": 1e-6,
        "num_videos_before": 1000,
        "num_videos": 20,
        "num_nights_before": 10,
        "num_nights": 3,
    }
    return run("complete", run_id=run_id, drift=[{**row, "alarm": alarm} for alarm in alarms], **fields)


def test_alarms_of_drift_are_those_of_the_last_run_that_looked() -> None:
    before = drifted("before", True, True, hours_ago=48, drift_look=1)
    last = drifted("last", True, False, hours_ago=24, drift_look=2)
    assert faults(before, last, run("complete"), max_drift=1) == []
    [fault] = faults(before, last, run("complete"), max_drift=0)
    assert fault.startswith("1 alarm of drift in run last, the first: ")
    assert fault.endswith("; --max-drift allows 0")
    assert faults(last, run("complete", config_id="another"), max_drift=0) == []
    assert faults(run("complete"), max_drift=0) == []
    assert faults(before, last) == []


def test_shares_are_those_of_the_last_run_with_books() -> None:
    at_work = run("running", hours_ago=0)
    ended = run("complete", **BOOKS)
    assert faults(ended, at_work, max_failed=4 / 94, max_unparsed=0.05, max_left=0.06) == []
    assert faults(ended, at_work, max_failed=0.04, max_unparsed=0.04, max_left=0.05) == [
        "4 of 94 videos failed (4.3%) in run night; --max-failed allows 4.0%",
        "10 of 200 answers are unparsed (5.0%) in run night; --max-unparsed allows 4.0%",
        "6 of 100 videos were left (6.0%) in run night; --max-left allows 5.0%",
    ]
    assert faults(run("complete", is_complete=True, num_videos_answered=0, num_videos_failed=0), max_failed=0) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (119, "119 s"), (120, "2.0 min"), (7199, "120 min"), (7200, "2.0 h"), (2e5, "2.3 days")],
)
def test_spans(seconds: float, said: str) -> None:
    assert say_span(seconds) == said
