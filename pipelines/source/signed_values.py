"""Values of a manifest or a side file whose URLs are signed: a row keeps the URL, and not what opens it."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from framegate.schemas.signatures import strip

_MAY_BE_SIGNED: Final = r"://[^\s]*[?@]"


def without_signatures(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with `schemas.signatures.strip` of each text in it, inside of lists and structs, too."""
    if pt.is_string(column.type):
        options = pc.MatchSubstringOptions(_MAY_BE_SIGNED)
        found = pc.call_function("match_substring_regex", [column], options)
        if not pc.call_function("any", [found]).as_py():
            return column
    elif not pt.is_nested(column.type):
        return column
    chunks = [pa.array([_strip(value) for value in chunk.to_pylist()], column.type) for chunk in column.chunks]
    return pa.chunked_array(chunks, column.type)


def _strip(value: Any) -> Any:
    if isinstance(value, str):
        return strip(value)
    if isinstance(value, dict):
        return {name: _strip(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strip(inner) for inner in value]
    return value
