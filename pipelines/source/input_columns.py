"""The inputs of a video: values from its manifest row and its side files.

They are columns while all videos are looked at, and are packed row by row only for those with work left (see
`schemas.video_row.inputs_bytes`), because packing takes 5 microseconds and some hundred bytes a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from framegate.schemas.tables import INPUT_PREFIX
from framegate.schemas.video_row import inputs_table

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def column_types(found: pa.Table) -> dict[str, pa.DataType]:
    """Types of the manifest's columns, without the prefix, of those in which any row has a value."""
    return {
        field.name.removeprefix(INPUT_PREFIX): field.type
        for field in found.schema
        if field.name.startswith(INPUT_PREFIX) and not pt.is_null(field.type)
    }


def pack_texts(rows: Sequence[Mapping[str, str]]) -> list[bytes]:
    """Each row of texts packed; rows without any are empty."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row:
            places.setdefault(tuple(row), []).append(place)
    packed = [b""] * len(rows)
    for names, some in places.items():
        columns = [pa.array([rows[place][name] for place in some], pa.string()) for name in names]
        for place, data in zip(some, _pack(pa.RecordBatch.from_arrays(columns, list(names))), strict=True):
            packed[place] = data
    return packed


def pack_inputs(found: pa.Table) -> pa.Array | pa.ChunkedArray:
    """The column `inputs` of PLANNED for rows of FOUND: the values packed there already, and the columns beside it."""
    names = [name for name in found.column_names if name.startswith(INPUT_PREFIX)]
    if not names:
        return found.column("inputs")
    beside = found.select(names).rename_columns([name.removeprefix(INPUT_PREFIX) for name in names])
    chunks = [pa.array(_pack(batch), pa.binary()) for batch in beside.to_batches(max_chunksize=65_536)]
    packed = pa.chunked_array(chunks, pa.binary())
    if not pc.call_function("binary_length", [found.column("inputs")]).to_numpy().any():
        return packed
    both = [_join(own, text) for own, text in zip(packed.to_pylist(), found.column("inputs").to_pylist(), strict=True)]
    return pa.array(both, pa.binary())


def _pack(rows: pa.RecordBatch) -> list[bytes]:
    head = rows.schema.serialize().to_pybytes()
    return [b"".join((head, rows.slice(n, 1).serialize(), _END_OF_STREAM)) for n in range(rows.num_rows)]


def _join(own: bytes, texts: bytes) -> bytes:
    more = inputs_table(texts)
    if more is None:
        return own
    row = inputs_table(own)
    assert row is not None, "a manifest's row was packed empty"
    for field in more.schema:
        row = row.append_column(field, more.column(field.name))
    return _pack(row.combine_chunks().to_batches()[0])[0]


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values in the type that they have from whatever kind of file: int64, double, string, timestamp[us] and so on;
    no dictionary, no shorter and no longer kind of the same."""
    kind = column.type
    if pt.is_dictionary(kind):
        return plain_column(column.cast(kind.value_type))
    if pt.is_integer(kind) and kind != pa.uint64():
        return column.cast(pa.int64())
    if pt.is_floating(kind):
        return column.cast(pa.float64())
    if pt.is_large_string(kind) or pt.is_string_view(kind):
        return column.cast(pa.string())
    if pt.is_large_binary(kind) or pt.is_binary_view(kind):
        return column.cast(pa.binary())
    if pt.is_timestamp(kind) and kind.unit in ("s", "ms"):
        return column.cast(pa.timestamp("us", kind.tz))
    if pt.is_date(kind):
        return column.cast(pa.date32())
    if pt.is_nested(kind):
        return pa.chunked_array([pa.array(column.to_pylist())])
    return column
