"""The last night of an array: all shards in one sentence, and one for each that is not as it should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from framegate.pipelines.results.health import Limits, find_faults
from framegate.pipelines.results.last_night import (
    MAX_NAMED,
    Night,
    describe_night,
    estimate_night_end,
    find_night,
    name_shards,
)
from framegate.pipelines.results.last_run import describe_run

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOOKS = {
    "num_videos_answered": 10, "num_videos_failed": 1, "num_videos_left": 0, "is_complete": True, "num_videos": 11,
    "counts": {"num_answers": 100, "num_unparsed": 5},
}  # fmt: skip


def shard(name: str, state: str = "complete", *, hours_ago: float = 3.0, **fields: Any) -> dict[str, Any]:
    """A run of one shard that began so long ago, and took an hour unless it is at work."""
    began = NOW - timedelta(hours=hours_ago)
    ended = None if state == "running" else (began + timedelta(hours=1)).isoformat()
    books = BOOKS if state in ("complete", "stopped") else {}
    return {
        "run_id": f"run-{name}-{hours_ago}", "shard": name, "state": state, "job": "job.yaml",
        "started_at": began.isoformat(), "ended_at": ended, "host": "gpu-7", "pid": 42, "num_videos_skipped": 5,
        "heartbeat": {"at": NOW.isoformat(), "number": 3, "every_seconds": 60.0}, **books, **fields,
    }  # fmt: skip


def night_of(*runs: dict[str, Any]) -> Night:
    night = find_night(runs)
    assert night is not None
    return night


def test_a_run_that_is_no_shard_is_a_night_of_its_own() -> None:
    alone = shard("1/2", hours_ago=1, shard=None)
    night = night_of(shard("1/2"), shard("2/2"), alone)
    assert (night.runs, night.missing, night.is_array) == ((alone,), (), False)
    assert describe_night(night, NOW) == describe_run(alone, NOW)
    assert name_shards(night, NOW) == []
    assert find_night([]) is None


def test_the_books_of_all_shards_are_one_sentence() -> None:
    night = night_of(*(shard(f"{number}/3", num_videos_skipped=20 - number) for number in (2, 3, 1)))
    assert describe_night(night, NOW) == (
        "3 shards: 3 complete; the last ended at 2026-11-21 10:00 UTC (2.0 h ago): videos 30 answered, 3 failed,"
        " 17 skipped, 0 left, in 60 min"
    )
    assert [run["shard"] for run in night.runs] == ["1/3", "2/3", "3/3"]
    assert name_shards(night, NOW) == []
    assert find_faults([*night.runs], Limits(), NOW) == []


def test_each_shard_that_failed_or_died_or_is_missing_is_named() -> None:
    failed = shard("2/5", "failed", stop_code="error", stop_reason="no such model")
    dead = shard("3/5", "running", heartbeat={"at": (NOW - timedelta(hours=1)).isoformat(), "every_seconds": 60.0})
    runs = [shard("1/5"), failed, dead, shard("4/5", "stopped", stop_code="deadline")]
    night = night_of(*runs)
    assert night.missing == ("5/5",)
    assert describe_night(night, NOW).startswith(
        "5 shards: 1 complete, 1 stopped, 1 failed, 1 dead, 1 without a run; the last ended at "
    )
    said = name_shards(night, NOW)
    assert said == [
        f"shard 2/5: {describe_run(failed, NOW)}",
        f"shard 3/5: {describe_run(dead, NOW)}",
        f"shard 4/5: {describe_run(runs[3], NOW)}",
        "shard 5/5: no run",
    ]
    assert find_faults(runs, Limits(), NOW) == [*said[:2], "shards 5/5 have no run"]


def test_a_shard_without_a_run_is_no_fault_while_others_are_at_work() -> None:
    working = {"phase_seconds": {"working": 3600.0}, "num_videos": 8, "num_videos_begun": 2}
    runs = [shard("1/3"), shard("2/3", "running", **working)]
    assert find_faults(runs, Limits(), NOW) == []
    assert describe_night(night_of(*runs), NOW) == (
        "3 shards: 1 complete, 1 running, 1 without a run; at work since 2026-11-21 09:00 UTC (3.0 h ago),"
        " 2 of 19 videos begun, done about 2026-11-21 15:00 UTC"
    )
    assert estimate_night_end(night_of(*runs)) == NOW + timedelta(hours=3)


def test_a_shard_that_was_started_again_counts_as_it_is_now() -> None:
    failed, again = shard("2/2", "failed", stop_reason="no"), shard("2/2", hours_ago=2)
    night = night_of(shard("1/2"), failed, again)
    assert night.runs[1] == again
    assert name_shards(night, NOW) == []


@pytest.mark.parametrize(
    "other",
    [
        shard("2/2", hours_ago=25),  # of the night before
        shard("2/3"),
        shard("2/2", job="other.yaml"),
        shard("2/2", "failed", stop_code="refused"),
    ],
)
def test_runs_of_other_nights_and_arrays_do_not_count(other: dict[str, Any]) -> None:
    night = night_of(other, shard("1/2", hours_ago=1))
    assert [run["shard"] for run in night.runs] == ["1/2"]
    assert night.missing == ("2/2",)


def test_a_hundred_dead_shards_are_not_a_hundred_lines() -> None:
    night = night_of(shard("1/100"))
    assert len(name_shards(night, NOW)) == MAX_NAMED + 1
    assert name_shards(night, NOW)[-1] == f"{99 - MAX_NAMED} more shards are not complete"


def test_shares_are_those_of_all_shards_together() -> None:
    runs = [shard("1/2", num_videos_failed=10), shard("2/2", num_videos_failed=0)]
    assert find_faults(runs, Limits(max_failed=0.34), NOW) == []
    assert find_faults(runs, Limits(max_failed=0.3), NOW) == [
        "10 of 30 videos failed (33.3%) in the 2 shards of the last night; --max-failed allows 30.0%"
    ]
