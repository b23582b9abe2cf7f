"""A report says how many answers are right where people labelled some, and says so where nobody did."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.jobs.report import figures_of
from framegate.pipelines.commit.labels import put_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.report import truth
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.page import render_page
from framegate.schemas.config import OutputConfig
from framegate.schemas.label import Label
from tests.certify.archive import Archive, put
from tests.mornings import BLACK, COLOUR
from tests.outputs import CONFIG_ID
from tests.run_records import put_run

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """The output of a gated night, whose rows have a record."""
    return Output.at(str(tmp_path / "index"))


def put_night(output: Output, **values: Any) -> list[dict[str, Any]]:
    rows = put(output, Archive(num_films=30, **values))
    put_run(
        output, "run-2", state="complete", job="job.yaml", config_id=CONFIG_ID, started_at="2026-01-02T01:00:00+00:00",
        ended_at="2026-01-02T04:00:00+00:00", questions={one.id: one.hash for one in (BLACK, COLOUR)},
        counts={"num_answers": len(rows), "num_clips": len(rows)},
    )  # fmt: skip
    return rows


def label_first(output: Output, rows: list[dict[str, Any]], number: int, question: str = "black_seen") -> None:
    """The first rows of the audit, by what thinking comes to."""
    audited = [row for row in rows if row["audit_rank"] is not None and row["question_id"] == question]
    audited.sort(key=lambda row: row["audit_rank"])
    put_labels(output, CONFIG_ID, [
        Label(video_id=row["video_id"], clip_index=row["clip_index"], question_hash=row["question_hash"],
              answer=row["answer_second_value"], labelled_by="anna", labelled_at=NOON)
        for row in audited[:number]
    ])  # fmt: skip


def report(output: Output) -> Report:
    return build_report(OutputConfig(uri=output.root), Request())


def test_labels_say_how_many_answers_are_right(output: Output) -> None:
    rows = put_night(output, changed={"black_seen": 0.9, "first_colour": 0.1})
    label_first(output, rows, 150)
    made = report(output)
    black, colour = made.truth.questions
    assert (black.question_id, black.num_labels, black.num_counted) == ("black_seen", 150, 150)
    assert black.share is not None
    assert 0.9 < black.share.low < black.share.mean < black.share.high < 1
    assert (colour.share, colour.num_labels, made.truth.num_labels) == (None, 0, 150)
    right = next(verdict for verdict in made.verdicts if verdict.anchor == "right")
    assert "; by labels " in right.sentence
    assert "of the answers to black_seen are right." in right.sentence
    page = render_page(made)
    assert "Measured against labels" in page
    assert "150 count, of 30 videos, rows until 2026-11-30 12:00" in page
    assert "no label" in page
    assert "No answer has a label" not in page


def test_few_labels_are_said_to_be_few(output: Output) -> None:
    rows = put_night(output)
    label_first(output, rows, 5)
    made = report(output)
    assert made.truth.questions[0].share is None
    assert "too few labels" in render_page(made)
    assert not any("by labels" in verdict.sentence for verdict in made.verdicts)


def test_without_labels_no_row_is_read_for_it(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    put_night(output)
    monkeypatch.delattr(truth, "open_views")
    made = report(output)
    assert made.truth == truth.Truth()
    assert "No answer has a label, so that nothing is known of how many are right." in render_page(made)


def test_a_night_without_a_gate_and_labels_of_rows_that_do_not_count(output: Output) -> None:
    """Labels of rows that no audit has any more, such as of an older wording, are not counted."""
    rows = put_night(output, rate_in_rows=None)
    put_labels(output, CONFIG_ID, [
        Label(video_id=rows[0]["video_id"], clip_index=0, question_hash=rows[0]["question_hash"], answer="yes",
              labelled_by="anna", labelled_at=NOON)
    ])  # fmt: skip
    assert report(output).truth == truth.Truth()


def test_an_erased_video_is_in_no_figure(output: Output) -> None:
    rows = put_night(output)
    label_first(output, rows, 150)
    gone = rows[0]["video_uri"]
    labelled = report(output).truth.questions[0].num_labels
    erase(output, [gone])
    black = report(output).truth.questions[0]
    assert black.num_labels < labelled == 150
    assert black.num_rows == len([row for row in rows if row["audit_rank"] is not None and row["video_uri"] != gone
                                  and row["question_id"] == "black_seen"])  # fmt: skip


def test_the_figures_are_json(output: Output) -> None:
    rows = put_night(output)
    label_first(output, rows, 150)
    told = json.loads(json.dumps(figures_of(report(output)), default=str))
    [black, _] = told["truth"]["questions"]
    assert black["share"]["num_labelled"] == 150
    assert {part["low"] for part in black["parts"]} == {0.5, 0.8, 0.9, 0.95, 0.99}


def test_the_command_says_it(output: Output, tmp_path: Path) -> None:
    rows = put_night(output)
    label_first(output, rows, 150)
    figures = tmp_path / "night.json"
    command = ["report", output.root, "--out", str(tmp_path / "night.html"), "--json", str(figures)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "of the answers to black_seen are right" in " ".join(result.output.split())
    [row] = json.loads(figures.read_text())["rows"]
    assert row["truth"]["num_labels"] == 150


def test_a_report_without_labels_does_not_load_scipy() -> None:
    script = "import sys, framegate.pipelines.report.stored; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
