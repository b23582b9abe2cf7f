"""Columns of our schemas: each carries its meaning as field metadata."""

from __future__ import annotations

import pyarrow as pa


def column(name: str, data_type: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    """A column that always has a value, unless it is `nullable`."""
    return pa.field(name, data_type, nullable=nullable, metadata={b"meaning": meaning.encode()})


def optional(name: str, data_type: pa.DataType, meaning: str) -> pa.Field:
    """A column that may be null."""
    return column(name, data_type, meaning, nullable=True)


def meaning(field: pa.Field) -> str:
    """What a column means; empty for a column that is not ours."""
    return ((field.metadata or {}).get(b"meaning") or b"").decode()
