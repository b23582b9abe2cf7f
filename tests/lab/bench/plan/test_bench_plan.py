"""`framegate bench plan`, on a small archive: the plans are right, and what is told of them was measured."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app
from framegate.pipelines.commit.output import Output
from framegate.pipelines.lab.bench.plan.archive import CONFIG_ID, Archive, make_archive
from framegate.pipelines.lab.bench.processes import peak_rss_bytes, rss_bytes
from framegate.pipelines.plan.stored import read_stored
from framegate.pipelines.store import Store


@pytest.fixture(scope="module")
def framegate() -> Callable[..., Result]:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["bench", "plan", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def test_each_case_is_planned_and_measured(framegate: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "plan.json"
    size = ("--videos", 1500, "--clips", 3, "--questions", 2, "--folder", folder, "--json", report)
    result = framegate(*size)
    assert result.exit_code == 0, result.output
    document = json.loads(report.read_text())
    assert document["command"] == "bench plan"
    rows = {row["case"]: row for row in document["rows"]}
    assert {name: (row["num_videos"], row["num_answers"], row["num_left"]) for name, row in rows.items()} == {
        "all done": (1500, 9000, 0),
        "new question": (1500, 9000, 1500),
        "new videos": (1515, 9000, 15),
    }
    for row in rows.values():
        parts = [row[name] for name in ("list_seconds", "done_seconds", "plan_seconds")]
        assert min(parts) > 0
        assert row["seconds"] == pytest.approx(sum(parts))
        assert 50 < row["peak_rss_mib"] < 1000

    # The archive is used again, and a plan that is not what it must be is no figure.
    (folder / "plan-1500-3x2" / "videos" / "stored" / "0000" / "another.mp4").touch()
    result = framegate(*size)
    assert result.exit_code == 2
    assert "'all done' has 1 videos with work left, and it must be 0" in " ".join(result.output.split())


def test_the_output_is_like_one_that_was_sealed(tmp_path: Path) -> None:
    archive = Archive(folder=str(tmp_path / "a"), num_videos=3, num_clips=2, num_questions=2)
    make_archive(archive)
    done = read_stored(Output(Store(), archive.layout), CONFIG_ID)
    assert len(set(map(tuple, (row.values() for row in done.answered.to_pylist())))) == 12
    assert done.failed.num_rows == 0


def test_an_archive_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    archive = Archive(folder=str(tmp_path / "a"), num_videos=3, num_clips=1, num_questions=1)
    make_archive(archive)
    (tmp_path / "a" / "ready.json").unlink()
    left = tmp_path / "a" / "videos" / "left.mp4"
    left.touch()
    make_archive(archive)
    assert not left.exists()
    assert len(list(Store().list(archive.stored))) == 3


def test_peak_memory_is_at_least_what_is_held_now() -> None:
    assert peak_rss_bytes(os.getpid()) >= rss_bytes([os.getpid()]) > 0
