"""`framegate views` prints statements that an engine takes, and `query` keeps to the configuration of its job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import yaml
from typer.testing import Result

from framegate.pipelines.commit.output import Output
from tests.mornings import BLACK, COLOUR, Film, commit, note_run

Framegate = Callable[..., Result]
OTHER = "b" * 16
FILM = Film(number=1, uri="s3://cameras/one.mp4", inputs={"input_dock": "dock-3"})


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job whose output has answers of it, and newer ones of another job under another config_id."""
    output = Output.at(str(tmp_path / "index"))
    for day, config_id, name, answer in ((1, "a" * 16, "dock.yaml", "yes"), (2, OTHER, "yard.yaml", "no")):
        note_run(output, f"run-{day}", [BLACK, COLOUR], day, config_id=config_id, job=name)
        commit(output, [FILM.row(0, BLACK, answer), FILM.row(0, COLOUR, "red")], config_id=config_id)
    values = {
        "input": {"videos": "videos"},
        "questions": [{"id": "black_seen", "text": BLACK.text, "type": "yes_no"}],
        "model": {"name": "dock"},
        "output": {"uri": output.root},
    }
    file = tmp_path / "dock.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def answers(
    framegate: Framegate, *options: str, sql: str = "SELECT answer FROM answers WHERE question_id = 'black_seen'"
) -> list[str]:
    result = framegate("query", sql, "--format", "json", *options)
    assert result.exit_code == 0, result.output
    return sorted(row["answer"] for row in json.loads(result.stdout)["rows"])


def test_a_query_of_a_job_keeps_to_its_configuration(framegate: Framegate, job: Path) -> None:
    output = str(job.parent / "index")
    assert answers(framegate, "-j", str(job)) == ["yes"]
    assert answers(framegate, "-o", output) == ["no", "yes"]
    assert answers(framegate, "-j", str(job), "--config-id", "all") == ["no", "yes"]
    assert answers(framegate, "-j", str(job), "--config-id", OTHER) == ["no"]


def test_a_configuration_that_is_not_there_is_told(framegate: Framegate, job: Path) -> None:
    result = framegate("query", "SELECT 1", "-j", str(job), "--config-id", "c" * 16)
    assert result.exit_code == 2
    assert "c" * 16 in result.stderr
    assert OTHER in result.stderr


def test_rules_are_views_and_wrong_ones_are_told(framegate: Framegate, job: Path) -> None:
    rules = job.parent / "rules.yaml"
    rules.write_text("events: {black: {question: black_seen, answer: yes}}")
    sql = "SELECT CAST(is_known AS VARCHAR) AS answer FROM black"
    assert answers(framegate, "-j", str(job), "--rules", str(rules), sql=sql) == ["true"]
    rules.write_text("events: {black: {question: black_sen, answer: yes}}")
    result = framegate("query", "FROM black", "-j", str(job), "--rules", str(rules))
    assert (result.exit_code, "did you mean 'black_seen'?" in result.stderr) == (2, True)


def test_printed_statements_are_taken_by_duckdb(framegate: Framegate, job: Path) -> None:
    rules = job.parent / "rules.yaml"
    rules.write_text("camera: input_dock\nevents: {red: {question: first_colour, answer: red}}")
    result = framegate("views", "-o", str(job.parent / "index"), "--rules", str(rules))
    assert result.exit_code == 0, result.output
    statements = [text for text in result.stdout.split(";\n") if text.strip()]
    assert sum("There is no such file yet" in text for text in statements) == 3, (
        "of failures, clips, and the log of videos"
    )
    for dialect in ("spark", "trino"):
        printed = framegate("views", "-o", str(job.parent / "index"), "--dialect", dialect)
        assert printed.exit_code == 0, printed.output
        assert "input_dock" in printed.stdout
        assert "first_colour" in printed.stdout
    with duckdb.connect() as connection:
        for text in statements:
            connection.execute(text)
        assert connection.sql("SELECT count(*) FROM answers").fetchall() == [(4,)]
        assert connection.sql("SELECT count(*) FROM red").fetchall() == [(1,)]
        for view in ("failures", "clips", "videos"):
            assert connection.sql(f"FROM {view}").fetchall() == []


def test_without_sqlglot_the_package_is_named(framegate: Framegate, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sqlglot", None)
    result = framegate("views", "-o", str(job.parent / "index"), "--dialect", "trino")
    assert result.exit_code == 2
    assert "framegate[sql]" in result.stderr
