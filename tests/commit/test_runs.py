"""The records of runs: what they say, in this version and in earlier ones, and which run is dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.liveness import find_death, state_of, this_process
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import create_run, has_books, read_runs
from framegate.pipelines.store import Store
from framegate.schemas.errors import FramegateError, StorageError
from tests.run_records import put_old_begun, put_old_end, put_run

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEGUN = {"config_id": "c" * 16, "started_at": "2026-11-21T12:00:00+00:00", "questions": {"who": "a" * 16}}


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output.at(str(tmp_path) if request.param == "local" else request.getfixturevalue("memory_root"))


def test_a_name_is_taken_once(output: Output) -> None:
    create_run(output, "night-1", {"run_id": "night-1", "state": "starting", "pid": 1})
    with pytest.raises(FramegateError, match=r"a run night-1 is recorded at .*; give this one another name"):
        create_run(output, "night-1", {"run_id": "night-1", "state": "starting", "pid": 2})


def test_runs_come_oldest_first(output: Output) -> None:
    for run_id, day in (("b", 1), ("c", 2), ("a", 3)):
        put_run(output, run_id, started_at=f"2026-11-2{day}")
    assert list(read_runs(output)) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("end", "state", "stop_code"),
    [
        (None, "running", None),
        ({"num_videos_left": 0}, "complete", None),
        ({"is_complete": False}, "failed", "incomplete"),
        ({"is_complete": True, "stop_reason": "interrupted"}, "stopped", "signal"),
        ({"is_complete": True, "stop_reason": "51 of the last 100 units failed"}, "stopped", "breaker"),
    ],
)
def test_records_of_earlier_versions_are_read_as_one_of_today(
    output: Output, end: dict[str, Any] | None, state: str, stop_code: str | None
) -> None:
    put_old_begun(output, "old", BEGUN)
    if end is not None:
        put_old_end(output, "old", {"run_id": "old", **end})
    run = read_runs(output)["old"]
    assert (run["state"], run.get("stop_code"), run["questions"]) == (state, stop_code, BEGUN["questions"])
    assert has_books(run) == (end is not None)
    assert state_of(run, NOW) == ("dead" if end is None else state)


@pytest.mark.parametrize("data", [b"{half", b"\xff\xfe", b"[1]", json.dumps("run").encode()])
def test_a_damaged_record_is_named(output: Output, data: bytes) -> None:
    put_run(output, "whole")
    Store().put_once(output.layout.run("odd"), data)
    with pytest.raises(StorageError, match=r"odd\.json is no run record"):
        read_runs(output)
    damaged: list[StorageError] = []
    assert list(read_runs(output, on_damaged=damaged.append)) == ["whole"]
    assert "odd.json is no run record" in str(damaged[0])


def record(*, seconds_ago: float, **fields: Any) -> dict[str, Any]:
    at = NOW - timedelta(seconds=seconds_ago)
    return {"state": "running", "heartbeat": {"at": at.isoformat(), "number": 7, "every_seconds": 60.0}, **fields}


@pytest.mark.parametrize(("seconds_ago", "state"), [(-500, "running"), (179, "running"), (181, "dead")])
def test_a_run_without_three_heartbeats_is_dead(seconds_ago: float, state: str) -> None:
    assert state_of(record(seconds_ago=seconds_ago), NOW) == state


def test_a_run_that_has_ended_never_dies() -> None:
    for state in ("complete", "stopped", "failed"):
        assert state_of(record(seconds_ago=1e6, state=state), NOW) == state


def test_this_machine_knows_at_once_that_a_process_is_gone() -> None:
    script = (
        "import json; from framegate.pipelines.commit.liveness import this_process; print(json.dumps(this_process()))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}; import sys; sys.stdout.flush(); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        other = json.loads(process.stdout.readline())
        assert other["pid"] == process.pid
        assert find_death(record(seconds_ago=1, process=other), NOW) is None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked after it yet
        assert (
            find_death(record(seconds_ago=1, process=other), NOW)
            == f"its process {process.pid} on this machine is gone"
        )


@pytest.mark.parametrize(
    "other", [{"boot_id": "another"}, {"pid_namespace": 1}, {"start_ticks": None}, {"boot_id": None}]
)
def test_a_process_elsewhere_is_judged_by_its_heartbeat_alone(other: dict[str, Any]) -> None:
    gone = {**this_process(), "start_ticks": 1, **other}
    assert state_of(record(seconds_ago=1, process=gone), NOW) == "running"


def test_a_pid_that_another_process_has_now_is_not_the_run() -> None:
    mine = this_process()
    assert state_of(record(seconds_ago=1, process=mine), NOW) == "running"
    assert state_of(record(seconds_ago=1, process={**mine, "start_ticks": mine["start_ticks"] - 1}), NOW) == "dead"
