"""Rows of a query for people: a table, or one line for each value where a table would be too narrow to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from framegate.jobs.printing import cell, print_line, print_table
from framegate.jobs.row_values import Batch
from framegate.schemas.escape import escape

if TYPE_CHECKING:
    import pyarrow as pa

MIN_COLUMN = 10  # characters: narrower columns break every word
TABLE_CHARACTERS, BLOCK_CHARACTERS = 300, 2000  # of a value, unless it is to be whole


@dataclass
class ScreenRows:
    """A RowWriter that keeps the first `max_rows` rows and counts the others; None: all are kept."""

    max_rows: int | None = None
    columns: Sequence[str] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    num_rows: int = 0

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        self.columns, self.rows, self.num_rows = columns, [], 0

    def add(self, batch: Batch) -> None:
        self.num_rows += len(batch)
        if self.max_rows is None or len(self.rows) < self.max_rows:
            self.rows += batch.rows if self.max_rows is None else batch.rows[: self.max_rows - len(self.rows)]

    def end(self) -> None:
        pass

    def print(self, console: Console, *, is_whole: bool = False) -> None:
        """`is_whole`: long texts are not shortened."""
        if list(self.columns) == ["explain_key", "explain_value"]:
            for row in self.rows:
                console.print(Text(escape(str(row["explain_value"]), keep_lines=True)), soft_wrap=True)  # a drawing
        elif self._fits(console.width):
            most = None if is_whole else TABLE_CHARACTERS
            shown = [{name: _shorten(value, most) for name, value in row.items()} for row in self.rows]
            print_table(console, self.columns, shown, max_rows=len(shown))
        else:
            self._print_blocks(console, None if is_whole else BLOCK_CHARACTERS)
        if self.num_rows > len(self.rows):
            left_out = self.num_rows - len(self.rows)
            print_line(
                console,
                f"{left_out:,} more of {self.num_rows:,} rows are left out; --rows 0 shows all, --out FILE keeps them",
            )

    def _fits(self, width: int) -> bool:
        """Whether each column gets MIN_COLUMN characters, or as many as it needs."""
        needed = 1
        for name in self.columns:
            widest = max((_width(cell(row[name])) for row in self.rows), default=0)
            needed += 3 + min(MIN_COLUMN, max(widest, cell_len(escape(name))))
        return needed <= width

    def _print_blocks(self, console: Console, most: int | None) -> None:
        for number, row in enumerate(self.rows, 1):
            console.print(Rule(Text(f"row {number:,}"), align="left", characters="-"))
            block = Table.grid(padding=(0, 2))
            block.add_column(no_wrap=True)
            block.add_column(overflow="fold")
            for name, value in row.items():
                block.add_row(Text(escape(name)), Text(cell(_shorten(value, most))))
            console.print(block)


def _shorten(value: Any, most: int | None) -> Any:
    """A text of more than `most` characters ends with how many are left out."""
    if most is None or not isinstance(value, str) or len(value) <= most:
        return value
    return f"{value[:most].rstrip()} ... ({len(value) - most:,} more characters; --full shows them)"


def _width(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)
