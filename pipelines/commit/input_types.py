"""Types of the manifest's columns: one that holds what several manifests call by one name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_PLAIN: Final = (
    pa.null(), pa.bool_(), pa.string(), pa.large_string(), pa.binary(), pa.date32(), pa.date64(), pa.int8(), pa.int16(),
    pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64(),
    *itertools.starmap(pa.timestamp, itertools.product(("s", "ms", "us", "ns"), (None, "UTC"))),
)  # fmt: skip
_BY_TEXT: Final = {str(data_type): data_type for data_type in _PLAIN}


def parse_types(texts: Mapping[str, str]) -> dict[str, pa.DataType] | None:
    """Types of columns from the texts of a seal's record; None where one is none that we know by its text."""
    types = {name: _BY_TEXT.get(text) for name, text in texts.items()}
    known = {name: data_type for name, data_type in types.items() if data_type is not None}
    return known if len(known) == len(types) else None


def common_type(types: Iterable[pa.DataType], *, promote: bool) -> pa.DataType:
    """A wider number, or else text; of no type at all text, or with `promote` off the type of nulls."""
    types = set(types)
    if len(types) < 2:
        return next(iter(types), pa.string() if promote else pa.null())
    plain = {data_type.value_type if pa.types.is_dictionary(data_type) else data_type for data_type in types}
    if all(pa.types.is_integer(data_type) or pa.types.is_floating(data_type) for data_type in plain):
        return pa.float64() if any(map(pa.types.is_floating, plain)) else pa.int64()
    return plain.pop() if len(plain) == 1 else pa.string()


def cast_input(column: pa.ChunkedArray, data_type: pa.DataType) -> pa.ChunkedArray:
    """The values in a type that `common_type` gave for theirs and others."""
    if column.type == data_type:
        return column
    if pa.types.is_timestamp(column.type) and column.type.tz == "UTC" and pa.types.is_string(data_type):
        # As Arrow writes it, which looks for UTC in a database that a slim machine does not have.
        texts = column.cast(pa.timestamp(column.type.unit)).cast(data_type)
        return pc.call_function("binary_join_element_wise", [texts, pa.scalar("Z"), pa.scalar("")])
    try:
        # Whole numbers beyond 2^53 among others with a fraction lose digits; refusing them would stop every seal.
        return column.cast(data_type, safe=not (pa.types.is_integer(column.type) and pa.types.is_floating(data_type)))
    except pa.ArrowNotImplementedError:  # a list or a struct, as the text that it would be in Python
        texts = [None if value is None else repr(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
