"""`framegate bench start`: a real run on Ray, whose steps follow each other and add up to its process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench.start import STEPS, Stamps, _measure
from framegate.schemas.errors import FramegateError


def test_the_steps_of_a_run_add_up_to_its_process(tmp_path: Path) -> None:
    report = tmp_path / "start.json"
    result = CliRunner().invoke(app, ["bench", "start", "--repeats", "1", "--json", str(report)])
    assert result.exit_code == 0, result.output
    seconds = {row["step"]: row["seconds"] for row in json.loads(report.read_text())["rows"]}
    assert list(seconds) == [*STEPS, "all", "cpu", "beyond_model"]
    assert seconds["cpu"] > 3, "Ray's processes and workers are not in it"
    assert sum(seconds[name] for name in STEPS) == pytest.approx(seconds["all"], abs=0.05)
    assert all(seconds[name] >= 0 for name in STEPS)
    assert seconds["beyond_model"] == pytest.approx(seconds["all"] - seconds["model"], abs=0.01)


def test_a_run_that_fails_gives_no_figures(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("input: nothing")
    with pytest.raises(FramegateError, match="the run ended with 1"):
        _measure(tmp_path / "job.yaml", tmp_path / "stamps")


def test_stamps_of_several_writers_are_lines(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Stamps(str(tmp_path / "stamps")).end(name)
    times = [json.loads(line) for line in (tmp_path / "stamps").read_text().splitlines()]
    assert [name for _, name in times] == ["a", "b"]
    assert times[0][0] <= times[1][0]
