"""Nights of a real archive, one run after the other: a camera whose answers shift is found in that night."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.jobs.drift import EXIT_DRIFT, FailOn
from framegate.jobs.run import run_job
from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.drift import judge
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.results.views import query
from framegate.schemas.clock import CLOCK_OFFSET, now
from framegate.schemas.drift import alarms_of
from framegate.schemas.errors import ConfigError, StorageError
from framegate.schemas.job import Job, load_job
from framegate.schemas.run import Deadline, RunSummary, Shard
from tests.flow.deepening import go_on

CAMERAS = ("north", "south")
VIDEOS_A_NIGHT = 14  # of each camera
SHADES = {"usual": 0, "other": 120}
"""What a film is filled with tells the engine what to answer: it sees nothing else of a night."""


def make_engine() -> Callable[[], ScriptedEngine]:
    """It says no, and at a bright film yes. Of the others the first half is unsure, and thinking does not change it.

    The script is defined in here, so that it travels to Ray's workers by value: they cannot import a test's modules."""

    def write(ask: Ask) -> Sequence[Written]:
        is_bright = bool(ask.clip.frames.frames_THWC.mean() > 100)
        confidence = 0.6 if ask.clip.start_seconds == 0 and not is_bright else 0.99
        box = [("\\boxed{", -0.01), ("yes" if is_bright else "no", math.log(confidence)), ("}", -0.01)]
        return [*box, ("<think>", -0.1), ("</think>", -0.1), *box]

    return partial(ScriptedEngine, write)


engine = make_engine()


class Archive:
    """A manifest that grows by a night's videos, and the job over it."""

    def __init__(self, folder: Path, films: dict[str, bytes], model: Path) -> None:
        self.folder, self._films, self._model = folder, films, model
        self._rows: list[tuple[str, str]] = []
        self._num_nights = 0

    def grow(self, **shades: str) -> None:
        """Tonight's videos; `north="other"`: those of that camera are filled with another shade."""
        self._num_nights += 1
        for camera in CAMERAS:
            for number in range(VIDEOS_A_NIGHT):
                name = f"{camera}-{self._num_nights}-{number}.mp4"
                (self.folder / name).write_bytes(self._films[shades.get(camera, "usual")])
                self._rows.append((name, camera))
        with (self.folder / "manifest.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("uri", "camera"), *self._rows])

    def job(self, **parts: Any) -> Job:
        values = {
            "input": {"videos": "manifest.csv"},
            "clips": {"seconds": 1},
            "frames": {"fps": 1, "max_frames": 2},
            "questions": [{"id": "bright", "text": "Is it bright?", "type": "yes_no"}],
            "model": {"name": str(self._model)},
            "output": {"uri": "index"},
            "decode": {"sandbox": False},
            **parts,
        }
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(values))  # which is YAML
        return load_job(path)

    def run(self, *, job: Job | None = None, **options: Any) -> RunSummary:
        return flow.run(job or self.job(), **{"engine_factory": engine, "in_process": True, **options})

    @property
    def output(self) -> Output:
        return Output.open(self.job().config.output)


@pytest.fixture
def archive(tmp_path: Path, make_video: Callable[..., Path], model_folder: Path) -> Archive:
    films = {
        name: make_video(tmp_path / "films" / f"{name}.mp4", seconds=2, shade=shade).read_bytes()
        for name, shade in SHADES.items()
    }
    return Archive(tmp_path, films, model_folder)


def quiet_nights(archive: Archive, number: int) -> list[RunSummary]:
    summaries = []
    for _ in range(number):
        archive.grow()
        summaries.append(archive.run())
    return summaries


def test_nights_without_drift_and_one_with_it(archive: Archive) -> None:
    first, *others = quiet_nights(archive, 4)
    assert (first.drift, first.drift_look, first.drift_note) == (None, None, judge.FIRST)
    assert [each.drift_look for each in others] == [1, 2, 3]
    assert not [row for each in others for row in alarms_of(each.drift)]
    think = next(row for row in others[-1].drift or () if row.measure == "think")
    assert (think.before, think.now) == (pytest.approx(0.5), pytest.approx(0.5))

    archive.grow(north="other")
    shifted = archive.run()
    found = {(row.value, row.measure, row.detail) for row in alarms_of(shifted.drift)}
    assert ("north", "answer", "yes") in found
    assert not {value for value, *_ in found} & {"south"}
    assert shifted.is_complete

    record = read_runs(archive.output)[shifted.run_id]
    assert (record["state"], record["drift_look"], record["drift_note"]) == ("complete", 4, None)
    told = [row for row in record["drift"] if row["alarm"]]
    assert {(row["value"], row["measure"], row["detail"]) for row in told} == found
    sql = "SELECT run_id, input, value, measure, before, now, low, high FROM drift WHERE alarm AND value = 'north'"
    rows = query(archive.output.root, {}, sql).to_pylist()
    assert {row["run_id"] for row in rows} == {shifted.run_id}
    [answers] = [row for row in rows if row["measure"] == "answer"]
    assert (answers["input"], answers["before"], answers["now"]) == ("camera", 0.0, 1.0)
    assert answers["low"] > 0.05

    report = build_report(archive.job().config.output, Request())
    assert {(row.value, row.measure, row.detail) for row in report.attention.drift} == found
    assert [each.has_drifted for each in report.trust.questions] == [True]
    assert "have drifted" in next(each for each in report.verdicts if each.anchor == "needs").sentence


def run_command(archive: Archive, job: Job | None = None, **options: Any) -> int:
    return run_job(job or archive.job(), name="job.yaml", engine_factory=engine, **options)


@pytest.mark.usefixtures("ray_cluster")
def test_the_exit_code_says_so_where_it_is_asked_to(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.grow()
    assert run_command(archive, fail_on=[FailOn.drift]) == 0
    assert f"note: drift: {judge.FIRST}" in capsys.readouterr().out
    quiet_nights(archive, 2)
    archive.grow(north="other")
    assert run_command(archive, fail_on=[FailOn.drift], json_file=archive.folder / "run.json") == EXIT_DRIFT == 5
    printed = capsys.readouterr().out
    assert 'drift: bright at camera=north: answer "yes", 0.0% before and 100.0% now' in printed
    assert "the night is complete, and has drifted" in printed
    (row,) = json.loads((archive.folder / "run.json").read_text())["rows"]
    assert row["state"] == "complete"
    assert [each["alarm"] for each in row["drift"]].count(True) > 1
    record = read_runs(archive.output)[row["run_id"]]
    assert (record["state"], record["drift"]) == ("complete", row["drift"])

    assert run_command(archive, fail_on=[FailOn.drift]) == 0  # nothing is new
    assert "note: drift: nothing new was answered" in capsys.readouterr().out
    shown = CliRunner().invoke(app, ["status", str(archive.folder / "job.yaml")], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"alarms of run {row['run_id']}" in shown.stdout
    assert "drift: bright at camera=north" in shown.stdout

    archive.grow(north="other")
    assert run_command(archive) == 0  # it has drifted still, and nobody asked
    assert "drift: bright at camera=north" in capsys.readouterr().out


def test_what_is_no_complete_night_is_in_no_comparison(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_nights(archive, 2)
    archive.grow(north="other")
    stopped = archive.run(limit=3)
    assert (stopped.drift, stopped.drift_note) == (
        None,
        "only complete nights are held against those before them, and this one is not",
    )
    soon = Deadline(at=now() + timedelta(seconds=15), said="--for 15s")
    assert archive.run(deadline=soon).drift is None

    def dies(*_: object, **__: object) -> None:
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(flow, "seal_in_time", dies)
        with pytest.raises(StorageError, match="killed"):
            archive.run()
    sealed_by_the_next = archive.run()
    assert (sealed_by_the_next.counts.num_answers, sealed_by_the_next.drift_note) == (0, "nothing new was answered")
    archive.grow()
    assert not alarms_of(archive.run().drift)


def test_a_look_that_fails_changes_nothing_of_the_run(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_nights(archive, 1)
    archive.grow()

    def fails(*_: object, **__: object) -> None:
        raise StorageError("the bucket does not answer")

    monkeypatch.setattr(judge, "open_views", fails)
    summary = archive.run()
    assert (summary.is_complete, summary.drift) == (True, None)
    assert summary.drift_note == "drift could not be looked for: the bucket does not answer"
    assert read_runs(archive.output)[summary.run_id]["state"] == "complete"


def test_deepening_is_no_drift_and_looks_for_none(archive: Archive) -> None:
    job = archive.job(gate={"threshold": 0.5})
    for _ in range(3):
        archive.grow()
        archive.run(job=job)
    deepened = go_on(job, 0.9, engine_factory=engine)
    assert deepened.counts.num_deepened > 0
    assert (deepened.drift, deepened.drift_note) == (None, None)
    archive.grow()
    summary = archive.run(job=job)
    assert summary.drift_look == 3
    assert not alarms_of(summary.drift)


def test_shards_of_a_night_look_each_for_itself(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def both(night: int) -> list[RunSummary]:
        # A day apart: else the second shard of the night before stands beside the first one of this night.
        monkeypatch.setenv(CLOCK_OFFSET, str(night * 86_400))
        return [archive.run(shard=Shard(number=number, of=2)) for number in (1, 2)]

    for night in range(3):
        archive.grow()
        both(night)
    archive.grow(north="other")
    first, last = both(3)
    assert last.drift is not None
    [north] = [row for row in alarms_of(last.drift) if (row.value, row.measure) == ("north", "answer")]
    assert north.num_videos == VIDEOS_A_NIGHT  # of both shards, the first of which is complete
    of_half = [row.num_videos for row in first.drift or () if row.measure == "think" and row.input is None]
    assert 0 < of_half[0] < 2 * VIDEOS_A_NIGHT


def test_a_job_may_leave_it_out(archive: Archive) -> None:
    job = archive.job(drift={"on_end": False})
    for _ in range(2):
        archive.grow()
        summary = archive.run(job=job)
    assert (summary.drift, summary.drift_look, summary.drift_note) == (None, None, None)
    with pytest.raises(ConfigError, match=r"--fail-on drift needs drift\.on_end"):
        run_command(archive, job, fail_on=[FailOn.drift])
    assert len(read_runs(archive.output)) == 2


def test_a_plan_looks_for_nothing(archive: Archive) -> None:
    quiet_nights(archive, 2)
    before = read_runs(archive.output)
    archive.grow(north="other")
    flow.plan(archive.job())
    assert read_runs(archive.output) == before
