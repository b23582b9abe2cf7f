"""What names and answers of others can do to a terminal, a log or a report: nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from framegate.jobs import printing
from framegate.jobs.log import Log, LogFormat, refusals_logged
from framegate.schemas.errors import InputError

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\udce9"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\xe9"
SQL = "SELECT chr(27) || '[31m' || chr(155) || '2J' || chr(10) || 'next' AS answer, chr(27) AS \"na\x1b[1mme\""


def is_harmless(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


def test_a_table_shows_them_written_out() -> None:
    out = io.StringIO()
    rows = [{f"c{EVIL}": EVIL, "list": [EVIL, {EVIL: EVIL}]}]
    printing.print_table(Console(file=out, width=400), list(rows[0]), rows, title=EVIL)
    assert is_harmless(out.getvalue())
    assert out.getvalue().count(SHOWN) == 6


@pytest.mark.parametrize("format", ["table", "csv", "json", "markdown"])
def test_an_answer_reaches_a_terminal_harmlessly(
    framegate: Callable[..., Result], output: str, format: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    result = framegate("query", SQL, "--output", output, "--format", format, "--json", str(tmp_path / "q.json"))
    assert result.exit_code == 0, result.output
    assert is_harmless(result.stdout)
    assert is_harmless((tmp_path / "q.json").read_text())
    if format == "json":
        assert json.loads(result.stdout)["rows"][0]["answer"] == "\x1b[31m\x9b2J\nnext"


def test_a_file_gets_csv_as_it_is(framegate: Callable[..., Result], output: str) -> None:
    result = framegate("query", SQL, "--output", output, "--format", "csv")
    assert list(csv.reader(io.StringIO(result.stdout, newline="")))[1] == ["\x1b[31m\x9b2J\nnext", "\x1b"]


@pytest.mark.parametrize("format", list(LogFormat))
def test_a_log_line_is_one_line(format: LogFormat) -> None:
    stream = io.StringIO()
    log = Log(format, stream=stream)
    with pytest.raises(BaseException), refusals_logged(log):  # noqa: B017, PT011
        raise InputError(f"cannot read {EVIL}\nerror: forged")
    log.write("warning", f"{EVIL}\nforged", uri=EVIL)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if format is LogFormat.json:
        assert json.loads(lines[1])["uri"] == EVIL


@pytest.fixture
def evil_output(tmp_path: Path) -> str:
    root = tmp_path / "evil\x1b[31m"
    (root / "results").mkdir(parents=True)
    (root / "odd\x1b[2J.txt").write_text("?")
    return str(root)


@pytest.mark.parametrize("command", ["audit", "status", "seal", "compact", "erase --prefix \x1b[2J"])
def test_commands_say_names_harmlessly(framegate: Callable[..., Result], evil_output: str, command: str) -> None:
    name, *options = command.split()
    result = framegate(name, evil_output, *options)
    assert is_harmless(result.output)
    assert r"\x1b[" in result.output or result.exit_code == 0
