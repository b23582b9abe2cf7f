"""A table of texts on its way to typed columns: what a CSV or JSONL file says, before a type is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from framegate.schemas.twins import find_twins, tell_twins

BATCH_ROWS = 65_536  # rows of Python values before they become columns

Kind = Literal["plain", "text", "bool", "int", "float", "nested"]
"""What a value is in its file. plain: a cell of a CSV, which may stand for anything; text: a JSON string."""


@dataclass(kw_only=True)
class RawColumn:
    """`texts` has a text or null for each row; `kinds` are those of all texts in it."""

    chunks: list[pa.Array] = field(default_factory=list)
    kinds: set[Kind] = field(default_factory=set)

    @property
    def texts(self) -> pa.ChunkedArray:
        return pa.chunked_array(self.chunks, pa.string())


class RawTable:
    """Columns of a file in the order in which they came. A row may lack any of them: null."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.columns: dict[str, RawColumn] = {}

    def add(self, num_rows: int, columns: Mapping[str, Sequence[str | None]]) -> None:
        """More rows. Raises UnicodeEncodeError where a text is no Unicode."""
        for name, texts in columns.items():
            column = self.columns.setdefault(name, RawColumn())
            if not column.chunks and self.num_rows:
                column.chunks.append(pa.nulls(self.num_rows, pa.string()))
            column.chunks.append(pa.array(texts, pa.string()))
        self.num_rows += num_rows
        for name, column in self.columns.items():
            if name not in columns:
                column.chunks.append(pa.nulls(num_rows, pa.string()))


class NoTable(ValueError):
    """The bytes are no table of their kind; the text says why, and repeats no value of it but names of columns."""


def check_names(names: Sequence[str]) -> None:
    """Raises NoTable where two columns have one name, or names that SQL or a reader does not tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name or names.count(name) > 1:
            same = "twice" if other == name else f"and '{other}', which SQL does not tell apart"
            raise NoTable(f"it has the column '{name}' {same}; give each column a name of its own")
    if (twins := find_twins(seen)) is not None:
        raise NoTable(f"its columns {tell_twins(*twins)}; rename one of them")


def decode_text(data: bytes) -> str:
    """UTF-8 with or without a byte order mark. Raises NoTable for any other encoding, and says which it may be."""
    for mark, name in ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32")):
        if data.startswith(mark):
            raise NoTable(f"it is written in {name}; save it as UTF-8")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NoTable("it is written in UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NoTable(
            f"it is not written in UTF-8 (byte 0x{data[error.start]:02x} in line {line}), but perhaps in Latin-1 or"
            " Windows-1252; save it as UTF-8"
        ) from None
    if "\0" in text:
        raise NoTable("it holds NUL characters, as UTF-16 without a byte order mark does; save it as UTF-8")
    return text
