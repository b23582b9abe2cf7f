"""The output as three read-only SQL views: `answers`, `failures` and `failure_history`.

DuckDB is given Arrow datasets. Before it sees a statement of the user's, its own access to files, extensions and Python
variables is switched off and its settings are locked. COPY TO would still get through, so `select` accepts SELECT and
EXPLAIN alone. No statement can therefore read beyond the output or write anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from framegate.pipelines.store import Store, join
from framegate.pipelines.store.parquet import read_parquet
from framegate.schemas.errors import ObjectNotFound, QueryError, StorageError
from framegate.schemas.tables import FAILURES, RESULTS, meaning

VIEWS: dict[str, tuple[str, pa.Schema]] = {"answers": ("results", RESULTS), "failure_history": ("failures", FAILURES)}
"""The views that are a folder of Parquet each, with the folder's name and schema; `failures` is derived from both."""

# A failure stands until its key is answered. The semi join first keeps only the answers of videos that ever failed, so
# that memory has to hold about as many rows as there are failures, and not all answers.
_STANDING = """
    CREATE TEMP VIEW failures AS
    WITH answered AS (
        SELECT a.config_id, a.video_id, a.clip_index, a.question_hash, a.written_at
        FROM answers AS a SEMI JOIN failure_history AS f ON a.config_id = f.config_id AND a.video_id = f.video_id
    ), latest AS (
        SELECT * FROM failure_history QUALIFY 1 = row_number() OVER (
            PARTITION BY config_id, video_id, clip_index, question_hash ORDER BY attempts DESC, written_at DESC
        )
    )
    SELECT * FROM latest AS f
    WHERE NOT EXISTS (
        FROM answered AS a WHERE a.config_id = f.config_id AND a.video_id = f.video_id
            AND a.clip_index = f.clip_index AND a.question_hash = f.question_hash
    ) AND NOT (f.question_hash IS NULL AND EXISTS (
        FROM answered AS a WHERE a.config_id = f.config_id AND a.video_id = f.video_id
            AND a.clip_index >= coalesce(f.clip_index, 0) AND a.written_at > f.written_at
    ))"""
_ALLOWED = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


@contextmanager
def open_views(
    output_uri: str, storage_options: Mapping[str, object], *, with_inputs: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the views and nothing else. Raises ObjectNotFound where there is no output.

    `with_inputs`: the views have the columns of manifests as well, for which every file must be opened first.
    """
    store = Store(storage_options)
    datasets = {
        view: _dataset(store, join(output_uri, folder), schema, with_inputs) for view, (folder, schema) in VIEWS.items()
    }
    if all(dataset is None for dataset in datasets.values()) and not store.is_folder(output_uri):
        raise ObjectNotFound(f"there is no output at {output_uri}: nothing lies below it")
    with tempfile.TemporaryDirectory(prefix="framegate-sql-") as spill, duckdb.connect() as connection:
        for view, (_, schema) in VIEWS.items():
            dataset = datasets[view] or pads.dataset(_plain(schema).empty_table())
            connection.register(view, dataset)
            _comment(connection, view, dataset.schema)
            if view == "failure_history":
                connection.execute(_STANDING)
                _comment(connection, "failures", dataset.schema)
        connection.execute("SET temp_directory = $spill", {"spill": spill})
        for setting, value in {
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }.items():
            connection.execute(f"SET {setting} = {value}")
        yield connection


def select(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The rows of exactly one SELECT or EXPLAIN statement. Raises QueryError."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(one_sentence(error)) from error
    if len(statements) != 1 or statements[0].type not in _ALLOWED:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryError(f"the query must be exactly one SELECT or EXPLAIN statement, got: {kinds}")
    try:
        return connection.sql(statements[0].query).to_arrow_table()
    except duckdb.Error as error:
        raise QueryError(one_sentence(error)) from error
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"the output cannot be read while the query runs: {error}") from error


def _dataset(store: Store, folder: str, schema: pa.Schema, with_inputs: bool) -> pads.Dataset | None:
    """All Parquet files below `folder` as one dataset; None where there are no files."""
    uris = [info.uri for info in store.list(folder) if info.uri.endswith(".parquet")]
    if not uris:
        return None
    filesystem = store.filesystem(folder)[0]
    paths = [store.filesystem(uri)[1] for uri in uris]
    fields = {field.name: field for field in _plain(schema)}
    for uri in uris if with_inputs else ():
        for field in read_parquet(store, uri, lambda file: file.schema_arrow):
            known = fields.setdefault(field.name, field)
            if known.type != field.type and field.name not in schema.names:
                # One manifest called it a number, another a text: text holds both.
                fields[field.name] = known.with_type(pa.string())
    return pads.dataset(paths, schema=pa.schema(fields.values()), filesystem=filesystem, format="parquet")


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with the value type in place of each dictionary type, which is a matter of storage."""
    return pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema])


def _comment(connection: duckdb.DuckDBPyConnection, view: str, schema: pa.Schema) -> None:
    """Store each column's meaning as its comment, for `SELECT column_name, comment FROM duckdb_columns()`."""
    for field in schema:
        if text := meaning(field):
            name, quoted = field.name.replace('"', '""'), text.replace("'", "''")
            connection.execute(f"""COMMENT ON COLUMN {view}."{name}" IS '{quoted}'""")


def one_sentence(error: duckdb.Error) -> str:
    """DuckDB's message and hint, without the lines that quote the statement."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("LINE ", "^"))]
    return " ".join(kept) or type(error).__name__
