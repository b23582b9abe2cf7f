"""A JSONL file as a table of texts: one JSON object a line. Numbers keep the digits that the file has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn

from framegate.pipelines.source.raw_table import BATCH_ROWS, Kind, NoTable, RawTable, check_names, decode_text


class _Float(float):
    """A number with its digits as they are written."""

    text: str


def parse_jsonl(data: bytes) -> RawTable:
    """The rows of a file; blank lines are none. Raises NoTable."""
    table = RawTable()
    kinds: dict[str, set[Kind]] = {}
    rows = _rows(decode_text(data))
    while some := list(islice(rows, BATCH_ROWS)):
        columns: dict[str, list[str | None]] = {}
        for number, row in enumerate(some):
            for name, value in row.items():
                if value is not None:
                    kind, text = _text(value)
                    kinds.setdefault(name, set()).add(kind)
                    columns.setdefault(name, [None] * len(some))[number] = text
                else:
                    columns.setdefault(name, [None] * len(some))
        try:
            table.add(len(some), columns)
        except UnicodeEncodeError:
            raise NoTable(r"it holds half of a surrogate pair (such as \ud83d alone), which is no Unicode") from None
    if not table.num_rows:
        raise NoTable("it is empty")
    check_names(list(table.columns))
    for name, column in table.columns.items():
        column.kinds = kinds.get(name, set())
    return table


def _rows(text: str) -> Iterator[dict[str, Any]]:
    number = 0
    for line in text.split("\n"):  # not `splitlines`, which ends lines at characters that JSON allows in a text
        if not line.strip():
            continue
        number += 1
        try:
            row = json.loads(line, object_pairs_hook=_pairs, parse_float=_float, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise NoTable(f"its row {number} is no JSON object: {error}") from None
        if not isinstance(row, dict):
            raise NoTable(f"its row {number} is no JSON object, but a {type(row).__name__}")
        yield row


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        check_names([name for name, _ in pairs])
    return values


def _float(text: str) -> _Float:
    number = _Float(text)
    number.text = text
    return number


def _no_number(text: str) -> NoReturn:
    raise NoTable(f"{text} is no number of JSON; use null")


def _text(value: Any) -> tuple[Kind, str]:
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return "int", str(value)
    if isinstance(value, _Float):
        return "float", value.text
    return "nested", json.dumps(value, ensure_ascii=False)
