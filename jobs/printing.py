"""Output of commands: tables on the terminal, CSV, JSON, and the file of `--json FILE`."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from framegate.jobs.formulas import guard
from framegate.schemas.errors import StorageError
from framegate.schemas.escape import escape, escape_block, escape_json
from framegate.schemas.signatures import hide

TableRow = Mapping[str, Any]
"""One line of a table, by column."""
MAX_ITEMS = 16  # of a list: an embedding has a thousand
JPEG_BEGINS = b"\xff\xd8\xff"
LOG_WIDTH = 140  # of tables that go to a file or a pipe, where no terminal says how wide it is


def make_console() -> Console:
    """A console on standard output, as wide as the terminal; LOG_WIDTH wide where there is no terminal."""
    return Console() if is_terminal() else Console(width=LOG_WIDTH)


def write_json(path: Path | None, command: str, rows: Sequence[TableRow], *, header: TableRow | None = None) -> None:
    """Write `{"command": ..., "rows": [{...}]}` to a local file, with "header" in between where one is given.

    A reader meets the file of before or the new one, whole. Does nothing where `path` is None. Raises StorageError.
    """
    if path is None:
        return
    above = {"command": command} if header is None else {"command": command, "header": to_json(header)}
    text = dump_json({**above, "rows": rows}, indent=2)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():  # such as /dev/stdout: nothing that another file could replace
            path.write_text(text + "\n", encoding="utf-8")
            return
        beside.write_text(text + "\n", encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[TableRow],
    *,
    title: str | None = None,
    max_rows: int = 1000,
) -> None:
    """Print a table with numbers aligned right. After `max_rows` rows it says how many it leaves out."""
    table = Table(title=Text(escape(title)) if title else None, title_justify="left")
    for column in columns:
        numeric = all(isinstance(row[column], int | float | Decimal | None) for row in rows[:max_rows])
        table.add_column(Text(escape(column)), justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows[:max_rows]:
        table.add_row(*(Text(cell(row[column])) for column in columns))
    console.print(table)
    if len(rows) > max_rows:
        print_line(console, f"{len(rows) - max_rows:,} more of {len(rows):,} rows; use --format csv to see all of them")


def cell(value: object) -> str:
    """The text of one value: 4 significant digits, `-` for null, no markup, nothing that a terminal would obey; of
    bytes how many there are, and of a long list the beginning."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Mapping):
        return ", ".join(f"{cell(key)} {cell(inner)}" for key, inner in value.items()) or "-"
    if is_interval(value):
        return describe_interval(value)
    if isinstance(value, bytes):
        return f"{'JPEG, ' if value.startswith(JPEG_BEGINS) else ''}{len(value):,} bytes"
    if isinstance(value, list | tuple):
        more = f", ... {len(value) - MAX_ITEMS:,} more" if len(value) > MAX_ITEMS else ""
        return ", ".join(cell(inner) for inner in value[:MAX_ITEMS]) + more
    return escape_block(str(value))


def say(sentence: str, *, err: bool = False, keep_lines: bool = False) -> None:
    """Print a line on standard output, or with `err` on standard error, whatever names and answers stand in it.

    URLs in it are without their signatures. `keep_lines`: it is a text of ours over several lines.
    """
    typer.echo(escape(hide(sentence), keep_lines=keep_lines), err=err)


def print_line(console: Console, sentence: str, *, style: str = "") -> None:
    """Print a line on a console, which breaks it nowhere and takes nothing in it for markup or for a link."""
    console.print(Text(escape(hide(sentence)), style=style), soft_wrap=True)


def dump_json(value: object, *, indent: int | None = None) -> str:
    """The text of a value in JSON's types, printable as it is."""
    return escape_json(json.dumps(to_json(value), indent=indent, ensure_ascii=False))


def to_json(value: Any) -> Any:
    """The value in JSON's types: times in ISO 8601, intervals as SQL has them, bytes in hex, decimals as numbers, NaN
    and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if is_interval(value):
        return describe_interval(value)
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def is_interval(value: object) -> bool:
    """Whether it is pyarrow's value of an INTERVAL, which is not imported for this."""
    return all(hasattr(value, part) for part in ("months", "days", "nanoseconds"))


def describe_interval(value: Any) -> str:
    """As DuckDB writes it, and reads it again: `1 year 2 months 3 days 04:05:06.5`."""
    years, months = divmod(abs(value.months), 12)
    sign = -1 if value.months < 0 else 1
    parts = [(sign * years, "year"), (sign * months, "month"), (value.days, "day")]
    said = [f"{number} {unit}{'' if abs(number) == 1 else 's'}" for number, unit in parts if number]
    seconds, fraction = divmod(abs(value.nanoseconds), 10**9)
    if seconds or fraction or not said:
        behind = f".{fraction:09}".rstrip("0") if fraction else ""
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{behind}"
        said.append(f"-{clock}" if value.nanoseconds < 0 else clock)
    return " ".join(said)


def is_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout.isatty()


def printable(value: object) -> object:
    """A text with nothing that a terminal would obey; anything else as it is."""
    return escape(value) if isinstance(value, str) else value


def csv_cell(value: object, *, is_guarded: bool = True) -> object:
    """The value as a cell of CSV has it: null is empty, and what JSON nests is JSON. `is_guarded`: what a spreadsheet
    would take for a formula has a `'` in front (`jobs.formulas`)."""
    if value is None:
        return ""
    plain = to_json(value)
    if isinstance(plain, dict | list | bool):
        return json.dumps(plain, ensure_ascii=False)
    return guard(plain) if is_guarded and isinstance(value, str) else plain
