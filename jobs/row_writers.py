"""Rows of a query in the formats for other programs: CSV, JSON, Markdown and Parquet, batch after batch."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from framegate.jobs.printing import cell, csv_cell, dump_json, printable
from framegate.jobs.row_values import Batch
from framegate.schemas.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


class RowWriter(Protocol):
    """Takes the rows of a query. `begin` forgets all that came before: a query may have to be asked again."""

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None: ...

    def add(self, batch: Batch) -> None: ...

    def end(self) -> None: ...


class _Text:
    """Writes text in UTF-8 to a stream of bytes that it does not close."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        self._stream.seek(0)
        self._stream.truncate()

    def end(self) -> None:
        pass

    def _write(self, text: str) -> None:
        self._stream.write(text.encode("utf-8", "surrogateescape"))


class CsvWriter(_Text):
    """CSV (RFC 4180); null is an empty cell. `is_screen`: with nothing that a terminal would obey, else as it is.
    `is_guarded`: for a spreadsheet, which may take a text for a formula."""

    def __init__(self, stream: IO[bytes], *, is_screen: bool = False, is_guarded: bool = True) -> None:
        super().__init__(stream)
        self._is_guarded = is_guarded
        self._shown: Callable[[object], object] = printable if is_screen else lambda value: value

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        super().begin(schema, columns)
        self._write_rows([[self._cell(name) for name in columns]])

    def add(self, batch: Batch) -> None:
        self._write_rows([self._cell(value) for value in row.values()] for row in batch.rows)

    def _cell(self, value: object) -> object:
        return csv_cell(value, is_guarded=self._is_guarded)

    def _write_rows(self, rows: Any) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self._shown(value) for value in row] for row in rows)
        self._write(text.getvalue())


class JsonWriter(_Text):
    """`{"command": ..., "rows": [{...}]}`."""

    def __init__(self, stream: IO[bytes], *, command: str = "query") -> None:
        super().__init__(stream)
        self._command, self._num_rows = command, 0

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        super().begin(schema, columns)
        self._num_rows = 0
        self._write(f'{{\n  "command": {dump_json(self._command)},\n  "rows": [')

    def add(self, batch: Batch) -> None:
        for row in batch.rows:
            comma = "," if self._num_rows else ""
            self._write(f"{comma}\n{textwrap.indent(dump_json(row, indent=2), '    ')}")
            self._num_rows += 1

    def end(self) -> None:
        self._write("\n  ]\n}\n" if self._num_rows else "]\n}\n")


class MarkdownWriter(_Text):
    """A table of GitHub's Markdown, with the values as a terminal has them. No value can become markup."""

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        super().begin(schema, columns)
        self._write(_line(_markdown(cell(name)) for name in columns) + _line(["---"] * len(columns)))

    def add(self, batch: Batch) -> None:
        self._write("".join(_line(_markdown(cell(value)) for value in row.values()) for row in batch.rows))


class ParquetWriter:
    """Parquet with the columns' types. Intervals are texts, as Parquet's own are read by few."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._writer: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None

    def begin(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is not None:  # it writes its footer when it goes, wherever the stream is then
            self._writer.close()
        self._stream.seek(0)
        self._stream.truncate()
        types = [pa.string() if _is_interval(field.type) else field.type for field in schema]
        self._schema = pa.schema([pa.field(name, type) for name, type in zip(columns, types, strict=True)])
        try:
            self._writer = pq.ParquetWriter(self._stream, self._schema)
        except pa.ArrowNotImplementedError as error:
            raise QueryError(f"a column has a type that Parquet does not know; cast it to text ({error})") from error

    def add(self, batch: Batch) -> None:
        import pyarrow as pa

        assert self._writer is not None
        assert self._schema is not None
        arrays = [_as_text(one) if _is_interval(one.type) else one for one in batch.record_batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def end(self) -> None:
        assert self._writer is not None
        self._writer.close()


def _is_interval(data_type: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_interval(data_type)


def _as_text(intervals: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if one is None else cell(one) for one in intervals.to_pylist()], pa.string())


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |\n"


def _markdown(text: str) -> str:
    """The text with what could begin markup escaped, on one line."""
    escaped = re.sub(r"([\\`*\[\]|~])|\b_|_\b|(?<!\w)_|_(?!\w)", lambda found: "\\" + found[0], text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>").replace("\t", " ")
