"""`framegate bench strategies`: a job for each strategy there is, the truth as labels, and the whole once, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.jobs.lab.bench_strategies import SETS
from framegate.jobs.label import read_rows
from framegate.pipelines.compare.told import labels_of_rows
from framegate.pipelines.lab.bench.strategies import make_strategies
from framegate.pipelines.lab.dock.question_sets import QUESTION_SETS
from framegate.schemas.config.gate import STRATEGY_NAMES
from framegate.schemas.job import load_job


def test_the_command_names_all_sets() -> None:
    assert tuple(QUESTION_SETS) == SETS


@pytest.mark.parametrize("name", SETS)
def test_each_strategy_has_a_job_and_each_question_of_a_clip_its_truth(tmp_path: Path, name: str) -> None:
    asked = QUESTION_SETS[name]
    made = make_strategies(tmp_path, STRATEGY_NAMES, asked=asked, num_clips=3, model=None)
    jobs = {strategy: load_job(path) for strategy, path in made.jobs.items()}
    assert [job.config.gate.strategy for job in jobs.values()] == [*STRATEGY_NAMES]
    assert {job.config.gate.max_thinking_tokens for job in jobs.values()} == {224}
    assert {job.questions for job in jobs.values()} == {tuple(entry.question for entry in asked.bank)}
    rows = read_rows(made.labels)
    labels = labels_of_rows(rows)
    films = {str(path) for path in (tmp_path / "videos").iterdir()}
    assert {uri for uri, _, _ in labels.by_name} == films
    assert len(films) == 3
    asks_when = "black_when" in {entry.question.id for entry in asked.bank}
    assert 3 * (len(asked.bank) - asks_when) <= len(rows) <= 3 * len(asked.bank), "no time where none passed"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    make_strategies(tmp_path, STRATEGY_NAMES, asked=asked, num_clips=3, model=None)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}


def test_it_runs_them_and_compares_each_set(tmp_path: Path) -> None:
    told, page = tmp_path / "told.json", tmp_path / "page.html"
    options = ("--clips", "2", "--strategies", "direct,gated", "--questions", "demo,ambiguous")
    command = [sys.executable, "-m", "framegate", "bench", "strategies", *options, "--out", str(tmp_path / "made")]
    done = subprocess.run(
        [*command, "--json", str(told), "--html", str(page)],
        cwd=tmp_path, env={**os.environ, "COLUMNS": "160"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(told.read_text())["rows"]
    assert [(row["questions"], row["strategy"]) for row in rows] == [
        ("demo", "direct"), ("demo", "gated"), ("ambiguous", "direct"), ("ambiguous", "gated"),
    ]  # fmt: skip
    direct, gated, *ambiguous = rows
    assert direct["num_rows"] == gated["num_rows"] >= 14
    assert (direct["think_share"], direct["num_failed"], gated["num_failed"]) == (0, 0, 0)
    assert gated["think_share"] > 0.2
    assert gated["accuracy"] >= direct["accuracy"]
    assert {row["num_rows"] for row in ambiguous} == {2 * 4}
    assert "Right answers by questions" in done.stdout
    assert all((tmp_path / f"page-{name}.html").read_text().startswith("<!doctype html>") for name in SETS[::3])


def test_one_strategy_is_too_few() -> None:
    result = CliRunner().invoke(app, ["bench", "strategies", "--strategies", "gated"])
    assert result.exit_code == 2
    assert "name two or more of direct" in " ".join(result.output.split())
