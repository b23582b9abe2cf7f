"""A run's record is kept by its run: each step and heartbeat replaces it, and nothing that comes in between ends it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.driver.heartbeat import RunRecord, beating
from framegate.schemas.errors import FramegateError, StorageError


def make(output: Output, **options: Any) -> RunRecord:
    return RunRecord(output, {"run_id": "night", "state": "starting"}, every_seconds=0.05, **options)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output.at(str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_root"))


def test_each_step_replaces_the_record_and_is_one_more_heartbeat(output: Output) -> None:
    told: list[Mapping[str, Any]] = []
    record = make(output, on_record=told.append)
    record.create()
    assert read_runs(output)["night"]["state"] == "starting"
    record.update(state="running", phase="working")
    record.measure_by(lambda: {"progress": {"num_videos_begun": 3}})
    record.beat()
    run = read_runs(output)["night"]
    assert (run["state"], run["phase"], run["progress"], run["heartbeat"]["number"]) == (
        "running", "working", {"num_videos_begun": 3}, 2,
    )  # fmt: skip
    record.update(state="complete")
    record.beat()
    assert read_runs(output)["night"] == told[-1]
    assert told[-1]["heartbeat"]["number"] == 3  # none after the end


def test_a_heartbeat_comes_by_itself(output: Output) -> None:
    beats, second = [], threading.Event()

    def hear(fields: Mapping[str, Any]) -> None:
        beats.append(fields["heartbeat"]["number"])
        if len(beats) > 2:
            second.set()

    record = make(output, on_record=hear)
    record.create()
    with beating(record, 0.01):
        assert second.wait(60)
    assert read_runs(output)["night"]["heartbeat"]["number"] >= 2
    assert beats == list(range(len(beats)))
    assert not [thread for thread in threading.enumerate() if thread.name == "framegate-heartbeat"]


def test_what_something_else_did_to_the_record_does_not_stay(output: Output) -> None:
    record, uri = make(output), output.layout.run("night")
    record.create()
    output.store.replace(uri, b'{"state": "redacted"}', if_match=output.store.stat(uri).version)
    record.update(state="running")
    assert read_runs(output)["night"]["state"] == "running"
    output.store.delete([uri])
    record.update(state="complete")
    assert read_runs(output)["night"]["state"] == "complete"


def test_a_heartbeat_that_storage_refuses_is_a_warning_and_the_next_one_is_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, warned = Output.at(str(tmp_path)), threading.Event()
    record = make(output)
    record.create()
    store = RunRecord._store

    def refuse_once(self: RunRecord, to: Output) -> None:
        if not warned.is_set():
            raise StorageError("storage is away")
        store(self, to)

    class Heard(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            warned.set()

    monkeypatch.setattr(RunRecord, "_store", refuse_once)
    logging.getLogger("framegate").addHandler(handler := Heard())
    try:
        with beating(record, 0.01):
            assert warned.wait(60)
            while json.loads(Path(output.layout.run("night")).read_text())["heartbeat"]["number"] == 0:
                pass
    finally:
        logging.getLogger("framegate").removeHandler(handler)
    assert "its heartbeat was not stored: storage is away" in caplog.text


def test_a_second_run_of_the_same_name_is_refused(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    make(output).create()
    with pytest.raises(FramegateError, match="give this one another name"):
        RunRecord(output, {"run_id": "night", "state": "starting", "pid": 2}, every_seconds=60).create()
