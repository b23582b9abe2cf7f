"""Rows of the log of videos as tables: the columns of VIDEO_STATES, and behind them those of manifests.

Objects of earlier versions lack columns, and objects of different nights have different manifests: here they are given
the same columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.input_types import cast_input, common_type
from framegate.schemas.keys import id_numbers
from framegate.schemas.tables import FACT_NAMES, INPUT_PREFIX, VIDEO_STATES

HAS_FACTS: Final = "container"
"""Where this column has a value, a decoder has opened the video."""


def input_names(rows: pa.Table) -> list[str]:
    """The columns of manifests, in order of their names; those of no type have no value and are left out."""
    fields = (field for field in rows.schema if field.name.startswith(INPUT_PREFIX))
    return sorted(field.name for field in fields if not pa.types.is_null(field.type))


def join_rows(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of all tables with the columns of any of them."""
    tables = [VIDEO_STATES.empty_table(), *tables]
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for name in input_names(table):
            types.setdefault(name, set()).add(table.schema.field(name).type)
    inputs = {name: common_type(types[name], promote=True) for name in sorted(types)}
    schema = pa.schema([*VIDEO_STATES, *inputs.items()])
    return pa.concat_tables([_conform(table, schema) for table in tables])


def make_rows(values: Mapping[str, Any], num_rows: int) -> pa.Table:
    """A table of columns, and of values that all rows share; a column of VIDEO_STATES that is missing is null."""
    inputs = {name: column for name, column in values.items() if name.startswith(INPUT_PREFIX)}
    columns = [_column(values.get(field.name), field.type, num_rows) for field in VIDEO_STATES]
    schema = pa.schema([*VIDEO_STATES, *((name, column.type) for name, column in inputs.items())])
    return pa.Table.from_arrays([*columns, *inputs.values()], schema=schema)


def in_place_of(rows: pa.Table, columns: Mapping[str, pa.ChunkedArray | pa.Array]) -> pa.Table:
    """The rows with some columns replaced, or added."""
    for name, column in columns.items():
        place = rows.schema.get_field_index(name)
        if place < 0:
            rows = rows.append_column(name, column)
        else:
            rows = rows.set_column(place, rows.schema.field(place).with_type(column.type), column)
    return rows


def with_facts(rows: pa.Table, known: pa.Table) -> pa.Table:
    """The rows with the facts that `known` has of their videos, where they have none themselves."""
    places = places_of(rows, known)
    gets = (places >= 0) & rows.column(HAS_FACTS).is_null().to_numpy()
    if not gets.any():
        return rows
    wanted = pa.array(np.where(gets, places, 0))
    mask = pa.array(gets)
    names = ["started_at", *FACT_NAMES]
    return in_place_of(
        rows,
        {
            name: pc.if_else(
                mask, known.column(name).take(wanted).cast(rows.schema.field(name).type), rows.column(name)
            )
            for name in names
        },
    )


def places_of(rows: pa.Table, among: pa.Table) -> np.ndarray:
    """For each row where its video stands in another table; -1 where it does not."""
    ids, others = id_numbers(rows.column("video_id")), id_numbers(among.column("video_id"))
    if not len(others):
        return np.full(len(ids), -1)
    order = np.argsort(others, kind="stable")
    found = np.minimum(np.searchsorted(others[order], ids), len(others) - 1)
    return np.where(others[order][found] == ids, order[found], -1)


def differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """For each row whether two columns have different values; two nulls are the same."""
    try:
        same = pc.fill_null(pc.call_function("equal", [one, other.cast(one.type)]), False).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a list or a struct, or another kind of value
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.fromiter((a != b for a, b in pairs), np.bool_, len(one))
    both_null = one.is_null().to_numpy() & other.is_null().to_numpy()
    return ~(same | both_null)


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    there = set(table.column_names)
    columns: Sequence[Any] = [
        cast_input(table.column(field.name), field.type) if field.name in there else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(value: Any, data_type: pa.DataType, num_rows: int) -> Any:
    if isinstance(value, pa.ChunkedArray | pa.Array):
        return value
    return pa.nulls(num_rows, data_type) if value is None else pa.repeat(pa.scalar(value, data_type), num_rows)
