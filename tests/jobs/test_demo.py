"""`framegate demo`, which `make demo` runs with more clips: its runs, its report, and the questions of a Monday."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import framegate
from tests.docs.test_monday import SQL

NUM_CLIPS, NUM_QUESTIONS = 6, 8
# There is one week in the demo, no video without an answer, and six clips of a dock may show no black crate.
MAY_BE_EMPTY = ("When was a black crate", "What was the longest", "Which cameras changed", "Which videos have no")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder. A process of its own starts Ray."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "framegate", "demo", "--clips", str(NUM_CLIPS), "--out", str(folder / "demo")]
    environment = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The report is" in done.stdout
    for strategy in ("direct", "gated", "always_think"):
        assert f"(strategy {strategy})" in done.stdout
    return folder / "demo"


def test_each_strategy_answers_all_questions_and_each_clip_has_its_picture(demo: Path) -> None:
    with framegate.connect(str(demo / "index")) as connection:
        counts = connection.sql("SELECT strategy, count(*) FROM answers GROUP BY strategy ORDER BY strategy").fetchall()
        assert counts == [(name, NUM_CLIPS * NUM_QUESTIONS) for name in ("always_think", "direct", "gated")]
        sql = "SELECT count(*), min(octet_length(thumbnail)), min(len(embedding)) FROM clips"
        num_clips, least_bytes, num_values = connection.sql(sql).fetchall()[0]
        assert num_clips == NUM_CLIPS
        assert least_bytes > 300
        assert num_values >= 32
        sql = "SELECT min(list_inner_product(embedding, embedding)) FROM clips"
        assert connection.sql(sql).fetchall()[0][0] == pytest.approx(1, abs=2e-3)


def test_its_report_is_a_page(demo: Path) -> None:
    page = (demo / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "data:image/jpeg;base64" in page


@pytest.mark.parametrize("title", SQL)
def test_the_questions_of_a_monday_have_answers(demo: Path, title: str) -> None:
    with framegate.connect(str(demo / "index"), job="gated.yaml") as connection:
        rows = connection.sql(SQL[title]).fetchall()
    assert rows or title.startswith(MAY_BE_EMPTY)
