"""A run has a record from its first second to its end, and it says truly how the run ended."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines import flow
from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import has_books, read_runs
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.clock import now
from framegate.schemas.errors import FramegateError, StorageError
from framegate.schemas.job import Job


def run(job: Job, **options: Any) -> None:
    flow.run(job, **{"engine_factory": ScriptedEngine, "in_process": True, "run_id": "night", **options})


def record_of(job: Job, run_id: str = "night") -> dict[str, Any]:
    return read_runs(Output.open(job.config.output))[run_id]


def test_it_is_told_step_by_step_and_stored_each_time(make_job: Callable[..., Job]) -> None:
    job, told = make_job(), []

    def hear(fields: Mapping[str, Any]) -> None:
        told.append((fields["state"], fields["phase"], dict(fields)))

    run(job, on_record=hear)
    assert [step[:2] for step in told] == [
        ("starting", "starting"),
        ("starting", "starting"),  # it knows its config_id
        ("running", "planning"),
        ("running", "planning"),
        ("running", "loading"),
        ("running", "working"),
        ("running", "sealing"),
        ("running", "recording"),
        ("complete", None),
    ]
    first, _, _, planned, _, _, sealing, _, last = (step[2] for step in told)
    assert (first["config_id"], first["pid"], first["job"]) == (None, os.getpid(), "the job")
    assert "seccomp" in planned["sandbox"]
    assert first["sandbox"] is None
    assert (planned["num_videos"], planned["config_id"]) == (5, last["config_id"])
    assert sealing["num_videos_begun"] == 5
    assert json.loads(json.dumps(last)) == record_of(job)
    assert (last["num_videos_answered"], last["num_videos_failed"], last["stop_code"]) == (3, 2, None)
    assert len({frozenset(step[2]) for step in told}) == 1  # the same fields from the first second on


def test_a_limit_is_a_stop_that_says_what_it_left(make_job: Callable[..., Job]) -> None:
    job = make_job()
    run(job, limit=2)
    record = record_of(job)
    assert (record["state"], record["stop_code"]) == ("stopped", "limit")
    assert record["stop_reason"] == "--limit left 3 videos for later"
    assert has_books(record)


def test_ctrl_c_and_the_breaker_are_told_apart(make_job: Callable[..., Job]) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    run(make_job(), on_progress=interrupt)
    assert (record_of(make_job())["state"], record_of(make_job())["stop_code"]) == ("stopped", "signal")

    class Fails(ScriptedEngine):
        def add(self, ask: Any) -> None:
            raise RuntimeError("the device is lost")

    job = make_job(failures={"stop_window": 1, "stop_share": 0.5}, output={"uri": make_job().config.output.uri + "2"})
    run(job, engine_factory=Fails)
    record = record_of(job)
    assert (record["state"], record["stop_code"]) == ("stopped", "breaker")
    assert "failed for one reason" in record["stop_reason"]


def test_a_start_that_fails_leaves_its_record_and_nothing_else(make_job: Callable[..., Job]) -> None:
    job = make_job(model={"name": "/no-such-model"})
    with pytest.raises(FramegateError) as raised:
        run(job)
    record = record_of(job)
    assert (record["state"], record["stop_code"], record["stop_reason"]) == ("failed", "error", str(raised.value))
    assert not has_books(record)
    root = Path(job.config.output.uri)
    assert [str(p.relative_to(root)) for p in root.rglob("[!.]*") if p.is_file()] == ["runs/night.json"]


def test_a_run_that_breaks_off_says_with_what_sentence(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seal(*_: Any, **__: Any) -> None:
        raise StorageError("there is no room left to write")

    monkeypatch.setattr("framegate.pipelines.driver.run.seal", seal)
    job = make_job()
    with pytest.raises(StorageError):
        run(job)
    record = record_of(job)
    assert (record["state"], record["stop_reason"]) == ("failed", "there is no room left to write")
    assert record["counts"]["num_answers"] == 12  # as its last heartbeat had it
    assert not has_books(record)


SCRIPT = """
import os, pickle, signal, sys
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
flow.run(pickle.loads(open(sys.argv[1], "rb").read()), engine_factory=ScriptedEngine, in_process=True, run_id="night",
    on_progress=lambda progress: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_run_that_was_killed_is_found_dead_at_once_and_says_how_far_it_was(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job()
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(job))
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "job.pickle")], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    record = record_of(job)
    assert (record["state"], record["phase"]) == ("running", "working")
    assert state_of(record, now()) == "dead"
    assert state_of(json.loads(json.dumps({**record, "process": {}})), now()) == "running"  # for another machine
