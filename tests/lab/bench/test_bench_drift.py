"""`framegate bench drift` looks at nights of its own making, and finds that none is unlike the others."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench.drift import NUM_NIGHTS, measure_drift


def test_nights_are_made_once_and_looked_at(tmp_path: Path) -> None:
    options = ["--rows", "400", "--videos", "20", "--cameras", "2", "--questions", "2", "--repeats", "2"]
    told = tmp_path / "drift.json"
    command = ["bench", "drift", *options, "--folder", str(tmp_path / "nights"), "--json", str(told)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(told.read_text())["rows"]
    assert (row["rows a night"], row["videos a night"], row["cameras"]) == (400, 20, 2)
    assert row["rows found"] > 10
    assert row["seconds"] > 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "nights").rglob("*.parquet")}
    assert before
    sizes = {"num_rows": 400, "num_videos": 20, "num_cameras": 2, "num_questions": 2}
    [look] = measure_drift(tmp_path / "nights", **sizes, repeats=1)
    assert look.num_rows == row["rows found"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "nights").rglob("*.parquet")} == before
    assert len([*(tmp_path / "nights" / "index" / "runs").glob("*.json")]) == NUM_NIGHTS
