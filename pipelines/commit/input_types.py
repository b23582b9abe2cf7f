"""Types of the manifest's columns: one that holds what several manifests call by one name."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa


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
    try:
        return column.cast(data_type)
    except pa.ArrowNotImplementedError:  # a list or a struct, as the text that it would be in Python
        texts = [None if value is None else repr(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
