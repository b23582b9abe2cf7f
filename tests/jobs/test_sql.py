"""`framegate sql`: a prompt where a terminal is there, a filter elsewhere."""

from __future__ import annotations

import csv
import io
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner, Result

from framegate.jobs.asking import Asking
from framegate.jobs.cli import app
from framegate.jobs.sql_prompt import NameCompleter, history_path, is_whole, open_history, run_prompt
from framegate.jobs.sql_session import Session, read_statements
from framegate.pipelines.results.catalog import Catalog, read_catalog
from framegate.pipelines.results.terms import QueryTerms

CATALOG = Catalog(
    tables={
        "answers": ["answer", "answer_type", "video_id"],
        "failures": ["reason", "video_id"],
        "labels": ["odd name"],
    },
    words=["ANTI", "SELECT"],
    functions=["any_value", "avg"],
)


def filtered(output: str, text: str | bytes, *options: str) -> Result:
    return CliRunner().invoke(app, ["sql", "-o", output, *options], input=text, catch_exceptions=False)


def test_statements_of_standard_input_are_asked_in_turn(output: str) -> None:
    text = """
        -- two statements, and one that no semicolon ends
        SELECT count(*) AS n
        FROM answers;  SELECT 'a;b' AS t;
        SELECT count(*) AS f FROM failures"""
    result = filtered(output, text, "--format", "csv")
    assert result.exit_code == 0, result.output
    assert list(csv.reader(io.StringIO(result.stdout))) == [["n"], ["8"], ["t"], ["a;b"], ["f"], ["3"]]


def test_the_first_statement_that_fails_ends_a_filter(output: str) -> None:
    result = filtered(output, "SELECT 1 AS one; SELECT nothing; SELECT 3 AS three;", "-f", "csv")
    assert result.exit_code == 2
    assert "one" in result.stdout
    assert "three" not in result.stdout
    assert "statement 2: " in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("sql", ["DROP VIEW answers;", "COPY answers TO 'x';", "SET threads = 1;", "ATTACH 'x';"])
def test_a_filter_only_reads(output: str, sql: str) -> None:
    result = filtered(output, sql)
    assert result.exit_code == 2
    assert "exactly one SELECT or EXPLAIN" in result.stderr


def test_what_one_statement_makes_is_not_there_for_the_next(output: str) -> None:
    text = "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1; SELECT * FROM t;"
    result = filtered(output, text)
    assert result.exit_code == 2
    assert "statement 2: " in result.stderr


@pytest.mark.parametrize("text", ["", "\n\n", "-- nothing\n", ";;;"])
def test_nothing_to_ask_is_nothing_to_say(output: str, text: str) -> None:
    result = filtered(output, text)
    assert (result.exit_code, result.output) == (0, "")


def test_commands_of_a_filter(output: str) -> None:
    text = ".format csv\nSELECT 1 AS one;\n.quit\nSELECT 2 AS two;\n"
    result = filtered(output, text)
    assert (result.exit_code, result.stdout) == (0, "one\n1\n")
    assert "answers" in filtered(output, ".views").stdout
    columns = filtered(output, ".columns answers\n", "-f", "csv").stdout
    assert "whether the model thought" in columns
    assert ".columns NAME" in filtered(output, ".help").stdout
    for wrong in (".nothing", ".format xml", ".rows many", ".full", ".columns"):
        result = filtered(output, wrong)
        assert result.exit_code == 2, wrong
        assert wrong.split()[0] in result.stderr


def test_a_name_is_no_sql(output: str) -> None:
    result = filtered(output, ".columns x' OR '1' = '1\n", "-f", "csv")
    assert (result.exit_code, result.stdout) == (0, "column_name,data_type,comment\n")


def test_bytes_that_are_no_text_are_said(output: str) -> None:
    result = filtered(output, b"SELECT 1;\n SELECT '\xff';\n")
    assert result.exit_code == 2
    assert "no UTF-8" in result.stderr


def test_parquet_is_for_query(output: str) -> None:
    result = filtered(output, "SELECT 1;", "-f", "parquet")
    assert result.exit_code == 2
    assert "framegate query writes a Parquet file" in result.stderr


def test_options_are_those_of_query(output: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("a\n1\n")
    sql = "SELECT a, TIMESTAMPTZ '2026-07-01 12:00:00+00' AS t FROM labels;"
    result = filtered(output, sql, "--with", f"labels={labels}", "--time-zone", "Europe/Berlin", "-f", "csv")
    assert "1,2026-07-01T14:00:00+02:00" in result.stdout
    assert filtered(output, "SELECT 1;", "--timeout", "x").exit_code == 2


def test_statements_are_read_as_they_become_whole() -> None:
    lines = iter(["SELECT 1; SELECT\n", "2", ";\n", ".help\n", "SELECT '\n", ".help\n", "';"])
    assert [*read_statements(lines)] == ["SELECT 1", "SELECT\n2", ".help", "SELECT '\n.help\n'"]


@pytest.fixture
def typed(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`typed(keys)`: a person at a terminal types these keys, after which Ctrl-D ends the prompt."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(keys: str) -> None:
        session = Session(bound=Asking(output=output).bind(), says_time=True)
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_text(keys + "\x04")
            run_prompt(session, lambda: CATALOG)

    return run


def test_a_statement_over_several_lines(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT count(*) AS n\rFROM answers;\r")
    said = capsys.readouterr().out
    assert "│ 8 │" in said
    assert "1 row, 0." in said


def test_an_error_is_said_and_the_next_statement_is_asked(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("SELECT nothing;\rSELECT 41 + 1 AS n;\r")
    captured = capsys.readouterr()
    assert "error: " in captured.err
    assert "│ 42 │" in captured.out


def test_ctrl_c_forgets_a_line(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT 1 AS forgotten\x03SELECT 2 AS kept;\r")
    said = capsys.readouterr().out
    assert "forgotten" not in said
    assert "kept" in said


def test_quit_ends_it(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("quit;\rSELECT 2 AS late;\r")
    assert "late" not in capsys.readouterr().out


def test_ctrl_c_ends_a_statement_and_not_the_prompt(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    endless = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range % 7 = b.range % 3;"

    def interrupt() -> None:
        while not any(thread.name.startswith("query") for thread in threading.enumerate()):
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    timer.start()
    typed(f"{endless}\rSELECT 'still ' || 'here' AS t;\r")
    timer.join()
    said = capsys.readouterr().out
    assert "interrupted" in said
    assert "still here" in said


def test_the_history_is_kept_for_its_owner_alone(typed: Callable[[str], None], tmp_path: Path) -> None:
    typed("SELECT 'first';\r")
    path = history_path()
    assert path == tmp_path / "state" / "framegate" / "sql_history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "SELECT 'first';" in path.read_text()
    typed("\x1b[A\r")  # the line before, once more
    assert path.read_text().count("SELECT 'first';") >= 1
    assert next(iter(open_history().load_history_strings())) == "SELECT 'first';"


def test_without_a_place_for_a_history_there_is_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    open_history().append_string("SELECT 1;")
    assert "ends with the session" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SEL", ["SELECT"]),
        ("SELECT an", ["answers", "ANTI", "any_value", "answer", "answer_type"]),
        ("SELECT an| FROM answers", ["answer", "answer_type", "answers", "ANTI", "any_value"]),
        ("SELECT re| FROM failures", ["reason"]),
        ("SELECT answers.an", ["answer", "answer_type"]),
        ("SELECT labels.od", ['"odd name"']),
        (".f", [".format", ".full"]),
        ("SELECT ", []),
        ("SELECT 1", []),
    ],
)
def test_tab_completes_what_there_is(text: str, expected: list[str]) -> None:
    before, _, after = text.partition("|")
    document = Document(before + after, cursor_position=len(before))
    found = NameCompleter(CATALOG).get_completions(document, CompleteEvent())
    assert [completion.text for completion in found] == expected


def test_the_catalog_has_views_columns_and_named_files(output: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("a,b\n1,2\n")
    catalog = read_catalog(output, {}, QueryTerms(files={"labels": str(labels)}))
    assert {"answers", "failures", "failure_history", "videos", "labels"} <= {*catalog.tables}
    assert catalog.tables["labels"] == ["a", "b"]
    assert "thinking" in catalog.tables["answers"]
    assert "SELECT" in catalog.words
    assert "avg" in catalog.functions


def test_completion_waits_for_nothing_and_needs_nothing(output: str) -> None:
    completer = NameCompleter()
    completer.load(lambda: read_catalog(f"{output}/nowhere", {}, QueryTerms()))
    assert [*completer.get_completions(Document("SEL"), CompleteEvent())] == []


@pytest.mark.parametrize(
    ("text", "whole"),
    [("SELECT 1", False), ("SELECT 1;", True), ("SELECT ';", False), ("", True), (".views", True), ("exit", True)],
)
def test_enter_asks_what_is_whole(text: str, whole: bool) -> None:
    assert is_whole(text) == whole


def test_the_program_starts_without_the_prompt() -> None:
    code = (
        "import sys, framegate.jobs.cli; print({'prompt_toolkit', 'duckdb', 'pyarrow', 'pygments'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
