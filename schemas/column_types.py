"""Types of the manifest's columns: the words of a job for them, and how an output's layout writes them down.

word of a job   type of the column                       what a text must be to fit
string          string                                   anything
integer         int64                                    what the number gives back: 7, -12, not 007
number          double                                   a finite decimal number: 0.5, 12, 3e4
boolean         bool                                     true or false
timestamp       timestamp[us, tz=UTC], an instant        ISO 8601: 2026-11-21T03:00, 2026-11-21 03:00:00+01:00
date            date32[day]                              ISO 8601: 2026-11-21
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from framegate.schemas.config.input import ColumnWord

TIMESTAMP: Final = pa.timestamp("us", "UTC")
TYPES: Final[Mapping[ColumnWord, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
    "date": pa.date32(),
}
_PLAIN: Final = (
    pa.bool_(), pa.string(), pa.binary(), pa.date32(), pa.int64(), pa.uint64(), pa.float64(),
    *itertools.starmap(pa.timestamp, itertools.product(("s", "ms", "us", "ns"), (None, "UTC"))),
)  # fmt: skip
_BY_TEXT: Final = {str(data_type): data_type for data_type in _PLAIN}
_FIELD: Final = "column"


def column_word(data_type: pa.DataType) -> str:
    """The word of a job for a type, where there is one; else Arrow's own."""
    return next((word for word, known in TYPES.items() if known == data_type), str(data_type))


def write_type(data_type: pa.DataType) -> str | dict[str, str]:
    """A type for JSON: Arrow's text where that says it all, else the text and the Arrow schema that it stands for."""
    text = str(data_type)
    if _BY_TEXT.get(text) == data_type:
        return text
    schema = pa.schema([pa.field(_FIELD, data_type)]).serialize().to_pybytes()
    return {"type": text, "arrow": base64.b64encode(schema).decode()}


def read_type(value: object) -> pa.DataType:
    """What `write_type` wrote. Raises ValueError or KeyError where it is something else."""
    if isinstance(value, Mapping):
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(str(value["arrow"])))).field(_FIELD).type
    return _BY_TEXT[str(value)]
