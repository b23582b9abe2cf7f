"""`framegate bench strategies`: a job for each strategy there is, the truth as labels, and the whole once, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.jobs.label import read_rows
from framegate.pipelines.compare.told import labels_of_rows
from framegate.pipelines.lab.bench.strategies import make_strategies
from framegate.schemas.config.gate import STRATEGY_NAMES
from framegate.schemas.job import load_job


def test_each_strategy_has_a_job_and_each_question_of_a_clip_its_truth(tmp_path: Path) -> None:
    made = make_strategies(tmp_path, STRATEGY_NAMES, num_clips=3, model=None)
    jobs = {strategy: load_job(path) for strategy, path in made.jobs.items()}
    assert [job.config.gate.strategy for job in jobs.values()] == [*STRATEGY_NAMES]
    assert {job.config.gate.max_thinking_tokens for job in jobs.values()} == {224}
    rows = read_rows(made.labels)
    labels = labels_of_rows(rows)
    films = {str(path) for path in (tmp_path / "videos").iterdir()}
    assert {uri for uri, _, _ in labels.by_name} == films
    assert len(films) == 3
    assert 3 * 7 <= len(rows) <= 3 * 8, "when the black crate passed is asked of films without one, and has no truth"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    make_strategies(tmp_path, STRATEGY_NAMES, num_clips=3, model=None)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}


def test_it_runs_them_and_compares(tmp_path: Path) -> None:
    """A process of its own starts Ray."""
    told, page = tmp_path / "told.json", tmp_path / "page.html"
    options = ("--clips", "2", "--strategies", "direct,gated", "--out", str(tmp_path / "made"))
    command = [sys.executable, "-m", "framegate", "bench", "strategies", *options]
    done = subprocess.run(
        [*command, "--json", str(told), "--html", str(page)],
        cwd=tmp_path, env={**os.environ, "COLUMNS": "160"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    direct, gated = json.loads(told.read_text())["rows"]
    assert (direct["strategy"], gated["strategy"]) == ("direct", "gated")
    assert direct["num_rows"] == gated["num_rows"] >= 14
    assert (direct["think_share"], direct["num_failed"], gated["num_failed"]) == (0, 0, 0)
    assert gated["think_share"] > 0.2
    assert gated["accuracy"] >= direct["accuracy"]
    assert page.read_text().startswith("<!doctype html>")


def test_one_strategy_is_too_few() -> None:
    result = CliRunner().invoke(app, ["bench", "strategies", "--strategies", "gated"])
    assert result.exit_code == 2
    assert "name two or more of direct" in " ".join(result.output.split())
