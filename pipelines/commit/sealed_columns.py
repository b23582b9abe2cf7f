"""Which columns a sealed file has: those of its table, and all columns of manifests that its output knows.

The types of a manifest's columns are the output's (`layout.json`), whatever one night's values look like. A file of
before a column was there lacks it, until rows are added to it, or `framegate migrate` brings it up to date: it is then
written anew, with the column, which is null in the rows of before. Earlier versions wrote config_id into their files,
and gave columns the types that they had in one seal: such a file is out of date in the same sense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.input_types import cast_input, common_type
from framegate.schemas.tables import CLIPS, CONFIG_ID, FAILURES, INPUT_PREFIX, NEWER_COLUMNS, RESULTS

Inputs = Mapping[str, pa.DataType]
"""The columns of manifests that an output knows, by their names in sealed files (`input_camera`), with their types."""

NO_INPUTS: Final[Inputs] = MappingProxyType({})
SCHEMAS: Final = {"results": RESULTS, "failures": FAILURES, "clips": CLIPS}
_MEANING: Final = {b"meaning": b"a column of the manifest"}


def sealed_schema(table: str, rows: pa.Schema, inputs: Inputs = NO_INPUTS) -> pa.Schema:
    """The columns of a sealed file for rows with the columns `rows`: the table's own, then those of manifests in order
    of their names, the output's `inputs` and any others of the rows."""
    types = dict(inputs) | {column.name: _plain(column.type) for column in rows if _is_input(column.name)}
    return pa.schema([*SCHEMAS[table], *(pa.field(name, types[name], metadata=_MEANING) for name in sorted(types))])


def fit_inputs(rows: pa.Table, inputs: Inputs) -> pa.Table:
    """Rows of the journal with the columns of manifests in the output's types.

    A column stays as it is where one of its values does not fit, since no row may be lost: a manifest is held to the
    types when it is read, so that only rows that an earlier version committed can have such a value.
    """
    for name in [name for name in rows.column_names if name in inputs]:
        column = rows.column(name)
        if _plain(column.type) != inputs[name] and (fitted := _fitted(column, inputs[name])) is not None:
            rows = rows.set_column(rows.column_names.index(name), name, fitted)
    return rows


def is_of_this_version(table: str, there: pa.Schema) -> bool:
    """Whether a file's own columns are those that this version writes, with or without config_id. Newer ones may be
    missing: they are null in its rows, and so this version can write it anew."""
    own = [(column.name, column.type) for column in there if not _is_input(column.name)]
    wanted = [
        (column.name, column.type)
        for column in SCHEMAS[table]
        if column.name in there.names or column.name not in NEWER_COLUMNS
    ]
    return [column for column in own if column[0] != CONFIG_ID.name] == wanted


def is_up_to_date(table: str, there: pa.Schema, inputs: Inputs) -> bool:
    """Whether a file has the columns that would be written now, each in the output's type, and no config_id."""
    others = pa.schema([column for column in there if column.name not in inputs])
    return has_columns(there, sealed_schema(table, others, inputs))


def has_columns(there: pa.Schema, wanted: pa.Schema) -> bool:
    """Whether these are the columns, by name and type, in this order."""
    return [(column.name, column.type) for column in there] == [(column.name, column.type) for column in wanted]


def can_hold(table: str, there: pa.Schema, rows: pa.Table) -> bool:
    """Whether `rows` of the journal can be added to a file with the columns `there`, which gets those that it lacks.

    A column of the rows may have a narrower type than in the file, such as that of no value at all. One of another type
    would change the type of what the file has.
    """
    if not is_of_this_version(table, there):
        return False
    types = {column.name: column.type for column in there}
    for column in rows.schema:
        if not _is_input(column.name) or column.name not in types:
            continue
        is_empty = rows.column(column.name).null_count == rows.num_rows
        if not is_empty and common_type({types[column.name], column.type}, promote=True) != types[column.name]:
            return False
    return True


def bring_up(table: str, there: pa.Schema, wanted: pa.Schema, read: Callable[[str], pa.ChunkedArray]) -> pa.Schema:
    """The columns that a file gets that has those `there` and shall have those `wanted`: all of both.

    A column of another type gets the wanted one where all its values, which `read` gives, fit. A file that has all of
    them already keeps its own schema.
    """
    inputs = {column.name: column.type for column in wanted if _is_input(column.name)}
    types = {column.name: column.type for column in there if _is_input(column.name)}
    for name in types.keys() & inputs.keys():
        if types[name] != inputs[name] and _fitted(read(name), inputs[name]) is not None:
            types[name] = inputs[name]
    up = sealed_schema(table, pa.schema({**inputs, **types}))
    return there if has_columns(there, up) else up


def common_schema(table: str, schemas: Iterable[pa.Schema], inputs: Inputs) -> pa.Schema:
    """The columns of one file for the rows of several: of a manifest's column the type that holds all of them."""
    types: dict[str, set[pa.DataType]] = {name: {data_type} for name, data_type in inputs.items()}
    for schema in schemas:
        for column in schema:
            if _is_input(column.name):
                types.setdefault(column.name, set()).add(column.type)
    return sealed_schema(table, pa.schema({n: common_type(found, promote=True) for n, found in types.items()}))


def align(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with exactly these columns: those that they lack are null, others are left out."""
    there = set(rows.column_names)
    columns = [
        cast_input(rows.column(column.name), column.type) if column.name in there else pa.nulls(len(rows), column.type)
        for column in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _is_input(name: str) -> bool:
    return name.startswith(INPUT_PREFIX)


def _plain(data_type: pa.DataType) -> pa.DataType:
    return data_type.value_type if pa.types.is_dictionary(data_type) else data_type


def _fitted(column: pa.ChunkedArray, data_type: pa.DataType) -> pa.ChunkedArray | None:
    """The values in this type; None where one of them would not be what it was: `007` is no 7. A text that is a time is
    taken for one."""
    try:
        fitted = cast_input(column, data_type)
        if pa.types.is_temporal(data_type):
            return fitted
        return fitted if fitted.cast(column.type).equals(column) else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
