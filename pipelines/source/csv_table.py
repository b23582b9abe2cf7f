"""A CSV file as a table of texts: comma, semicolon or tab, quoted line breaks, strict about quotes.

Read record by record: a reader of blocks may take the line breaks inside of a caption for ends of rows. An empty cell
is null.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from framegate.pipelines.source.raw_table import BATCH_ROWS, NoTable, RawTable, check_names, decode_text

DELIMITERS: Final = (",", ";", "\t")
MAX_CELL_CHARACTERS: Final = 2**31 - 1
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)')  # of spreadsheets; it is no header


def parse_csv(data: bytes, wanted: str) -> RawTable:
    """The rows of a file with a header; blank lines are none. `wanted` is a column that tells the right delimiter.

    Raises NoTable.
    """
    text = decode_text(data)
    delimiter = None
    if (line := _SEPARATOR_LINE.match(text)) is not None:
        text, delimiter = text[line.end() :], line[1]
    if not text.strip():
        raise NoTable("it is empty")
    records = _records(text, delimiter or _delimiter(text, wanted))
    names = next(records)
    check_names(names)
    table = RawTable()
    table.add(0, {name: [] for name in names})
    while rows := list(islice(records, BATCH_ROWS)):
        _check_lengths(rows, len(names), table.num_rows)
        columns = zip(*rows, strict=True)
        table.add(
            len(rows), {name: [cell or None for cell in cells] for name, cells in zip(names, columns, strict=True)}
        )
    for column in table.columns.values():
        column.kinds = {"plain"}
    return table


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    """Every record that is no blank line. Raises NoTable."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)  # of the whole process; the default is 128 Ki characters
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from (record for record in reader if record)
    except csv.Error as error:
        raise NoTable(f"it is no valid CSV at line {reader.line_num}: {error}") from None


def _delimiter(text: str, wanted: str) -> str:
    """The one that makes `wanted` a column of the header; without any, the one that makes most columns."""
    headers: dict[str, list[str]] = {}
    for delimiter in DELIMITERS:
        try:
            headers[delimiter] = next(_records(text, delimiter), [])
        except NoTable:  # quotes that only another delimiter makes sense of
            headers[delimiter] = []
    fitting = [delimiter for delimiter in DELIMITERS if wanted in headers[delimiter]]
    return max(fitting or DELIMITERS, key=lambda delimiter: len(headers[delimiter]))


def _check_lengths(rows: Sequence[Sequence[str]], num_columns: int, first: int) -> None:
    for number, row in enumerate(rows, start=first + 1):
        if len(row) != num_columns:
            raise NoTable(
                f"its row {number} has {len(row)} cells, and the header {num_columns}; put cells that hold the"
                " delimiter or a line break in double quotes"
            )
