"""Statements one after the other over one output, and the commands that begin with a dot."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from framegate.jobs import printing
from framegate.jobs.asking import Bound, Format
from framegate.jobs.query import make_writer, write_rows
from framegate.jobs.row_screen import ScreenRows
from framegate.jobs.row_sinks import open_sink
from framegate.schemas.errors import ConfigError

HELP = """\
A statement is one SELECT or EXPLAIN, over as many lines as it needs, and ends with a semicolon.

  .views             what can be asked
  .columns NAME      the columns of a view, with what they mean
  .format FORMAT     table, csv, json or markdown
  .rows N            a table on a screen has at most so many rows; 0: all
  .full on|off       long texts in tables are shown whole, or shortened
  .help              this
  .quit              or Ctrl-D
"""
_VIEWS = """
    SELECT table_name AS name, count(*) AS columns FROM duckdb_columns()
    WHERE table_name IN ({names}) GROUP BY 1 ORDER BY 1"""
_COLUMNS = """
    SELECT column_name, data_type, comment FROM duckdb_columns()
    WHERE table_name = {name} AND table_name IN ({names}) ORDER BY column_index"""


class Quit(Exception):
    """The person is done."""


@dataclass(kw_only=True)
class Session:
    """Each statement sees the output as it is then. `is_guarded`: CSV is, against formulas. `says_time`: how many rows
    came, and how long it took."""

    bound: Bound
    format: Format = Format.table
    max_rows: int = 1000
    is_whole: bool = False
    is_guarded: bool = True
    says_time: bool = False

    def run(self, text: str) -> None:
        """One statement or command. Raises Quit; FramegateError, after which the session goes on."""
        if not is_command(text):
            self._ask(text)
            return
        name, _, value = text.strip().rstrip(";").partition(" ")
        value = value.strip()
        if name in (".quit", ".exit", "quit", "exit"):
            raise Quit
        if name in (".help", "help"):
            printing.say(HELP.rstrip(), keep_lines=True)
        elif name == ".views":
            self._ask(_VIEWS.format(names=self._names()))
        elif name == ".columns":
            self._ask_columns(value)
        elif name in (".format", ".rows", ".full"):
            self._set(name, value)
        else:
            raise ConfigError(f"there is no command {name}; .help lists them")

    def _ask(self, sql: str) -> None:
        began, is_screen = time.monotonic(), printing.is_terminal()
        with ExitStack() as sinks:
            screen = ScreenRows(max_rows=(self.max_rows or None) if is_screen else None)
            is_table = self.format is Format.table
            writer = (
                screen
                if is_table
                else make_writer(
                    self.format,
                    sinks.enter_context(open_sink(None)),
                    is_screen=is_screen,
                    is_guarded=self.is_guarded,
                )
            )
            self.bound.stream(sql, lambda reader: write_rows(reader, [writer]))
            if is_table:
                screen.print(printing.make_console(), is_whole=self.is_whole)
        if self.says_time and is_table:
            rows = f"{screen.num_rows:,} row{'' if screen.num_rows == 1 else 's'}"
            printing.say(f"{rows}, {time.monotonic() - began:.2f} s")

    def _ask_columns(self, name: str) -> None:
        if not name:
            raise ConfigError(".columns: give the name of a view, such as .columns current")
        self._ask(_COLUMNS.format(name=_literal(name), names=self._names()))

    def _names(self) -> str:
        from framegate.pipelines.results.view_makers import MAKERS

        events = () if self.bound.rules is None else self.bound.rules.events
        return ", ".join(map(_literal, (*MAKERS, *events, *self.bound.terms.files)))

    def _set(self, name: str, value: str) -> None:
        if name == ".rows" and value.isdecimal():
            self.max_rows = int(value)
        elif name == ".full" and value in ("on", "off"):
            self.is_whole = value == "on"
        elif name == ".format" and value in STREAMED:
            self.format = Format(value)
        else:
            allowed = {".rows": "a number, 0 for all", ".full": "on or off", ".format": ", ".join(STREAMED)}[name]
            raise ConfigError(f"{name} {value}: give {allowed}")


STREAMED = tuple(format.value for format in Format if format is not Format.parquet)
"""Formats of which several may follow each other on standard output."""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def is_command(text: str) -> bool:
    """Whether it is no SQL."""
    first = text.strip()
    return first.startswith(".") or first.rstrip("; ").lower() in ("quit", "exit", "help")


def read_statements(lines: Iterable[str]) -> Iterator[str]:
    """Statements and commands as they become whole; at the end of the lines, also what no semicolon ends."""
    from framegate.pipelines.results.statements import has_words, split_statements

    waiting = ""
    for line in lines:
        if not has_words(waiting) and is_command(line):
            yield line.strip()
            continue
        statements, waiting = split_statements(waiting + line)
        yield from statements
    if has_words(waiting):
        yield waiting.strip()
