"""`framegate report` writes a page and its figures; a run whose job wants it leaves one, and never fails for it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import Result

from framegate.jobs.log import Log
from framegate.jobs.report import report_at_end
from framegate.jobs.run import run_job
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.clock import now
from framegate.schemas.config import RunConfig
from framegate.schemas.job import load_job
from framegate.schemas.run import Deadline
from tests.report.nights import FIRST, LAST, write_nights

Framegate = Callable[..., Result]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return Path(write_nights(tmp_path / "index").root)


@pytest.fixture
def job(tmp_path: Path, index: Path) -> Path:
    """A job file of the output of two nights."""
    path = tmp_path / "job.yaml"
    values = {
        "input": {"videos": "s3://cameras/"},
        "questions": [{"id": "person", "text": "Is a person there?", "type": "yes_no"}],
        "model": {"name": "dock"},
        "output": {"uri": str(index)},
        "cost": {"gpu_hour": 2, "currency": "USD"},
        "report": {"on_end": True, "link": "https://player.example/?v={uri}&t={seconds}"},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_page_and_json_have_the_same_figures(framegate: Framegate, job: Path, tmp_path: Path) -> None:
    page, figures = tmp_path / "night.html", tmp_path / "night.json"
    done = framegate("report", str(job), "--out", str(page), "--json", str(figures))
    assert done.exit_code == 0, done.output
    assert "Did it end in time? Yes: complete" in done.output
    document = json.loads(figures.read_text())
    (report,) = document["rows"]
    assert document["command"] == "report"
    html = page.read_text()
    for verdict in report["verdicts"]:
        assert verdict["question"] in html
    assert (report["ended"]["num_rows"], ">480<" in html) == (480, True)
    assert (report["cost"]["total"], "6.00 USD" in html) == (6.0, True)
    assert f"{report['saving']['saved_tokens']['value']:,.0f}" in html
    assert 'href="https://player.example/?v=s3%3A%2F%2F' in html
    assert [camera["camera"] for camera in report["coverage"]["cameras"]] == [None, "north", "south"]


def test_without_a_file_name_the_run_names_the_page_and_nothing_else_changes(
    framegate: Framegate, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(str(path) for path in index.rglob("*"))
    assert framegate("report", str(index), "--run", FIRST.run_id).exit_code == 0
    assert (tmp_path / f"report-{FIRST.run_id}.html").exists()
    assert sorted(str(path) for path in index.rglob("*")) == before


def test_times_are_those_of_the_zone_that_is_given(framegate: Framegate, index: Path, tmp_path: Path) -> None:
    page = tmp_path / "night.html"
    assert framegate("report", str(index), "--out", str(page), "--time-zone", "Europe/Berlin").exit_code == 0
    assert "The night of 2026-11-28 23:00" in page.read_text()
    framegate("report", str(index), "--out", str(page))
    assert "The night of 2026-11-28 22:00" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--run", "nobody"], "--run nobody: no such run is recorded"),
        (["--compare", "nobody"], "--compare nobody: no such run is recorded"),
        (["--by", "dock"], "'dock' is no column of the manifests"),
        (["--time-zone", "Mars/Base"], "--time-zone Mars/Base is no time zone"),
        (["--out", "nowhere/night.html"], "cannot write nowhere/night.html"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    framegate: Framegate, index: Path, arguments: list[str], sentence: str
) -> None:
    done = framegate("report", str(index), *arguments)
    assert (done.exit_code, sentence in done.output) == (2, True), done.output


def test_no_output_and_no_run_are_told_apart(framegate: Framegate, tmp_path: Path) -> None:
    assert "there is no output" in framegate("report", str(tmp_path / "nowhere")).output
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    done = framegate("report", str(tmp_path / "empty"))
    assert (done.exit_code, "no run is recorded" in done.output) == (2, True), done.output


def end(job: Path, *, deadline: Deadline | None = None, **summary: Any) -> None:
    of_run: Any = SimpleNamespace(run_id=LAST.run_id, stop_code=None) if not summary else SimpleNamespace(**summary)
    report_at_end(load_job(job), str(job), of_run, Log(), deadline)


def test_the_end_of_a_run_stores_it_in_the_output(job: Path, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end(job)
    assert f"report: {index}/reports/{LAST.run_id}.html" in capsys.readouterr().out
    assert "6.00 USD" in (index / "reports" / f"{LAST.run_id}.html").read_text()


def test_a_run_that_had_to_end_writes_none_and_says_how(
    job: Path, index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end(job, run_id=LAST.run_id, stop_code="signal")
    end(job, deadline=Deadline(at=now() - timedelta(seconds=1), said="--until 06:00"))
    assert capsys.readouterr().out.count(f"'framegate report {job} --run {LAST.run_id}' makes it") == 2
    assert not (index / "reports").exists()
    end(job, deadline=Deadline(at=now() + timedelta(hours=1), said="--until 06:00"))
    assert (index / "reports").exists()


def test_what_fails_is_a_warning(
    job: Path, index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (index / "reports").write_text("no folder")
    end(job)
    assert "warning: there is no report: " in capsys.readouterr().err
    monkeypatch.setattr("framegate.pipelines.report.stored.build_report", lambda *_: 1 / 0)
    end(job)
    err = capsys.readouterr().err
    assert "by a defect of this program" in err
    assert "ZeroDivisionError" in err


def test_a_job_that_wants_none_gets_none(job: Path, index: Path) -> None:
    job.write_text(job.read_text().replace("on_end: true", "on_end: false"))
    end(job)
    assert not (index / "reports").exists()
    assert not RunConfig.model_fields["report"].default.on_end


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_ends_with_its_report(tmp_path: Path, model_folder: Path, make_video: Callable[..., Path]) -> None:
    make_video(tmp_path / "videos" / "a.mp4", shade=40)
    (tmp_path / "videos" / "notes.mp4").write_text("not a video")
    path = tmp_path / "job.yaml"
    values = {
        "input": {"videos": "videos/"},
        "clips": {"seconds": 2},
        "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
        "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
        "model": {"name": str(model_folder)},
        "output": {"uri": "index"},
        "ray": {"decode_workers": 1},
        "report": {"on_end": True},
    }
    path.write_text(yaml.safe_dump(values))
    assert run_job(load_job(path), name="job.yaml", engine_factory=functools.partial(ScriptedEngine)) == 0
    (report,) = (tmp_path / "index" / "reports").iterdir()
    page = report.read_text()
    assert "not_video" in page
    assert "data:image/jpeg;base64," in page  # a picture of each clip that is shown
