"""The SQL of the views, and the meaning of their columns as comments.

A view names its files, and the values of partitions are taken from the path, a constant of each file: a filter on one
leaves out the files of the others. There are two ways to say so.

    by the first file   DuckDB opens one to see which columns there are, and knows Hive's partitions itself. On a local
                        disk, where all files have the same columns
    by name             the view names the columns with their types, so that nothing is opened to find out, which takes
                        a request on S3; each file may lack some, or have them in other types. A partition is an
                        expression of `filename`, which costs 3 ns a row where a query mentions it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import duckdb
import pyarrow as pa

from framegate.pipelines.commit.partition import NULL, TIME_PARTS
from framegate.pipelines.results.sealed_files import SealedTable
from framegate.pipelines.store.sealed_filesystem import PROTOCOL
from framegate.schemas.tables import meaning

_CONFIG: Final = "config_id"
_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.list_(pa.float32()): "FLOAT[]",
}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

# A failure stands until its key is answered. The semi join first keeps only the answers of videos that ever failed, so
# that memory has to hold about as many rows as there are failures, and not all answers.
STANDING: Final = """
    WITH answered AS (
        SELECT a.config_id, a.video_id, a.clip_index, a.question_hash, a.written_at
        FROM answers AS a SEMI JOIN failure_history AS f ON a.config_id = f.config_id AND a.video_id = f.video_id
    ), latest AS (
        SELECT * FROM failure_history QUALIFY 1 = row_number() OVER (
            PARTITION BY config_id, video_id, clip_index, question_hash ORDER BY attempts DESC, written_at DESC
        )
    )
    SELECT {columns} FROM latest AS f
    WHERE NOT EXISTS (
        FROM answered AS a WHERE a.config_id = f.config_id AND a.video_id = f.video_id
            AND a.clip_index = f.clip_index AND a.question_hash = f.question_hash
    ) AND NOT (f.question_hash IS NULL AND EXISTS (
        FROM answered AS a WHERE a.config_id = f.config_id AND a.video_id = f.video_id
            AND a.clip_index >= coalesce(f.clip_index, 0) AND a.written_at > f.written_at
    ))"""

SECONDS_AFTER: Final = """
    CREATE OR REPLACE TEMP MACRO seconds_after(moment, seconds) AS
        moment + to_microseconds(CAST(seconds * 1000000 AS BIGINT))
"""
"""A time, so many seconds later."""


def create_view(
    connection: duckdb.DuckDBPyConnection,
    view: str,
    schema: pa.Schema,
    table: SealedTable,
    *,
    is_remote: bool,
    config_id: str | None = None,
    paths: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A view of the files of one table: its own columns, the partitions beside config_id, then those of manifests.
    With a config_id it has the rows of that one alone. `paths`: where files lie that DuckDB opens itself."""
    only = "" if config_id is None else f" WHERE {_CONFIG} = {text_literal(config_id)}"
    if table.is_uniform and not is_remote and not set(table.partitions) - {_CONFIG} & set(schema.names):
        columns = ", ".join(_columns(schema, table, _from_hive))
        connection.execute(f"CREATE TEMP VIEW {view} AS {_select(columns, _read_alike(table, paths), only)}")
        return
    in_files = {field.name: field.type for field in schema if field.name != _CONFIG} | dict(table.inputs)
    types = {name: _type_name(connection, data_type) for name, data_type in in_files.items()}
    if table.files:
        columns = ", ".join(_columns(schema, table, _from_path))
        source = _read_parquet(table.files, types)
        connection.execute(f"CREATE TEMP VIEW {view} AS {_select(columns, source, only)}")
    else:
        typed = [*types.items(), (_CONFIG, "VARCHAR")]
        by_name = {name: f"NULL::{data_type} AS {quoted(name)}" for name, data_type in typed}
        ordered = ", ".join(by_name[name] for name in [*schema.names, *table.inputs])
        connection.execute(f"CREATE TEMP VIEW {view} AS SELECT {ordered} WHERE false")


def _select(columns: str, source: str, only: str) -> str:
    """The condition stands outside, where config_id is the column of the view."""
    return f"SELECT {columns} FROM {source}" if not only else f"FROM (SELECT {columns} FROM {source}){only}"


def create_standing(connection: duckdb.DuckDBPyConnection, table: SealedTable) -> None:
    """The view `failures`: those of `failure_history` that stand."""
    sql = STANDING.format(columns="f.*") if table.files else "FROM failure_history"
    connection.execute(f"CREATE TEMP VIEW failures AS {sql}")


def comment(connection: duckdb.DuckDBPyConnection, view: str, schema: pa.Schema, table: SealedTable) -> None:
    """Store each column's meaning as its comment, for `SELECT column_name, comment FROM duckdb_columns()`."""
    meanings = {field.name: meaning(field) for field in schema}
    if table.files:
        meanings |= {key: "the partition: a part of the path" for key in table.partitions if key not in meanings}
    for name, text in meanings.items():
        connection.execute(f"COMMENT ON COLUMN {view}.{quoted(name)} IS {text_literal(text)}")


def _columns(
    schema: pa.Schema, table: SealedTable, partition: Callable[[str, Mapping[str, str | None]], str]
) -> Iterator[str]:
    for name in schema.names:
        if name == _CONFIG:
            for key, values in table.partitions.items():
                yield f"{partition(key, values)} AS {quoted(key)}"
        else:
            yield quoted(name)
    yield from map(quoted, table.inputs)


def _read_alike(table: SealedTable, paths: Mapping[str, str]) -> str:
    keys = ", ".join(f"{text_literal(key)}: 'VARCHAR'" for key in table.partitions)
    return f"read_parquet([{_file_list(table.files, paths)}], hive_partitioning = true, hive_types = {{{keys}}})"


def _read_parquet(names: Mapping[str, object], types: Mapping[str, str]) -> str:
    """With the columns of files named, one that a file lacks is null, and one of another type is cast."""
    columns = ", ".join(
        f"{text_literal(name)}: {{name: {text_literal(name)}, type: {text_literal(data_type)}, default_value: NULL}}"
        for name, data_type in types.items()
    )
    return f"read_parquet([{_file_list(names)}], schema = MAP {{{columns}}})"


def _file_list(names: Iterable[str], paths: Mapping[str, str] = MappingProxyType({})) -> str:
    return ", ".join(text_literal(paths.get(name) or f"{PROTOCOL}://{name}") for name in names)


def _from_hive(key: str, values: Mapping[str, str | None]) -> str:
    """The value as DuckDB reads it off the path, decoded. As below, nothing in it can raise."""
    data_type = _partition_type(key, values.values())
    text = f"nullif({quoted(key)}, {text_literal(NULL)})" if None in values.values() else quoted(key)
    return text if data_type == "VARCHAR" else f"TRY_CAST({text} AS {data_type})"


def _from_path(key: str, values: Mapping[str, str | None]) -> str:
    """The value of a folder, looked up by what stands in the path. Neither the look-up nor its result can raise: DuckDB
    does not leave out files by an expression that can."""
    data_type = _partition_type(key, values.values())
    entries = ", ".join(
        f"{text_literal(there)}: {'NULL' if value is None else text_literal(value)}::{data_type}"
        for there, value in values.items()
    )
    return f"MAP {{{entries}}}[regexp_extract(filename, '/{key}=([^/]*)/', 1)]"


def _partition_type(key: str, values: Iterable[str | None]) -> str:
    """Parts of a time are dates or numbers; a column of the manifest is a text, whatever its values look like."""
    known = [value for value in values if value is not None]
    ending = key.rpartition("_")[2]
    if ending not in TIME_PARTS or not known:
        return "VARCHAR"
    if ending == "date":
        return "DATE" if all(map(_DATE.fullmatch, known)) else "VARCHAR"
    return "BIGINT" if all(value.isdecimal() for value in known) else "VARCHAR"


def _type_name(connection: duckdb.DuckDBPyConnection, data_type: pa.DataType) -> str:
    """DuckDB's name of an Arrow type; a dictionary is a matter of storage."""
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    if data_type in _TYPES:
        return _TYPES[data_type]
    return str(connection.from_arrow(pa.schema([("any", data_type)]).empty_table()).types[0])


def quoted(name: str) -> str:
    """A name in SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
