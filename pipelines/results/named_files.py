"""Files that a person names to join them with the views: a table each. They are read, and no other file is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

import duckdb

from framegate.pipelines.results.statements import one_sentence
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.store import Store
from framegate.pipelines.store.sealed_filesystem import PROTOCOL, SealedFilesystem
from framegate.schemas.errors import ConfigError, QueryError, StorageError

FOLDER: Final = "with"
_READERS: Final = {
    ".csv": "read_csv({path}, all_varchar = true, header = true)",
    ".tsv": "read_csv({path}, all_varchar = true, header = true, delim = '\t')",
    ".parquet": "read_parquet({path})",
    ".json": "read_json_auto({path})",
    ".jsonl": "read_json_auto({path})",
    ".ndjson": "read_json_auto({path})",
}
PARQUET: Final = ".parquet"
_TEXTS: Final = (".csv", ".tsv")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TYPES: Final = {
    "BIGINT": r"0|-?[1-9][0-9]{0,17}",
    "DOUBLE": r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?",
    "BOOLEAN": "true|false",
    "DATE": _DAY,
    "TIMESTAMPTZ": rf"{_DAY}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?(Z|[+-][0-9]{{2}}:?[0-9]{{2}})?",
}
"""What every text of a CSV column is where it has that type. A number gives back its text, so that 007 stays a text."""


def parse_named_files(texts: Collection[str], taken: Collection[str]) -> dict[str, str]:
    """Tables by name, of `labels=labels.csv`. `taken`: names that views have. Raises ConfigError."""
    files: dict[str, str] = {}
    for text in texts:
        name, equals, uri = text.partition("=")
        if not equals or not uri or not _NAME.fullmatch(name):
            raise ConfigError(f"--with {text}: give the name of a table and a file, such as labels=labels.csv")
        if name.lower() in {one.lower() for one in (*taken, *files)}:
            raise ConfigError(f"--with {text}: there is a table {name} already; give another name")
        if _ending(uri) not in _READERS:
            known = ", ".join(_READERS)
            raise ConfigError(
                f"--with {text}: the file's name must end in one of {known}, the first two perhaps with .gz"
            )
        if uri.startswith(("http:", "https:")):
            raise ConfigError(f"--with {name}=...: http is not read here; fetch the file, and name the copy")
        files[name] = uri
    return files


def create_tables(
    connection: duckdb.DuckDBPyConnection, filesystem: SealedFilesystem, store: Store, files: Mapping[str, str]
) -> None:
    """A table or a view for each of `files`, whose present versions join the file system. All but Parquet is read
    at once; columns of CSV get the types that all of their values have. Raises StorageError, QueryError."""
    for name, uri in files.items():
        try:
            info = store.stat(uri)
        except StorageError as error:
            raise type(error)(f"--with {name}={uri}: {error}") from error
        if not info.size_bytes:
            raise QueryError(f"--with {name}={uri}: the file is empty")
        inside = f"{FOLDER}/{name}/{uri.rstrip('/').rpartition('/')[2]}"
        filesystem.add(inside, info)
        path = text_literal(f"{PROTOCOL}://{inside}")
        ending = _ending(uri)
        reader = _READERS[ending].format(path=path)
        try:
            if ending == PARQUET:
                connection.execute(f"CREATE TEMP VIEW {_quoted(name)} AS SELECT * FROM {reader}")
            else:
                _load(connection, name, reader)
                if ending in _TEXTS:
                    _give_types(connection, name)
        except duckdb.Error as error:
            met = filesystem.take_error()
            said = str(met) if met is not None else one_sentence(error).replace(f"{PROTOCOL}://{inside}", uri)
            raise QueryError(f"--with {name}={uri}: {said}") from error


def _load(connection: duckdb.DuckDBPyConnection, name: str, reader: str) -> None:
    """By one thread: DuckDB reads texts on from where another thread was, and each thread has a place of its own in a
    file of the file system."""
    (threads,) = connection.execute("SELECT current_setting('threads')").fetchone() or (1,)
    connection.execute("SET threads = 1")
    try:
        connection.execute(f"CREATE TEMP TABLE {_quoted(name)} AS SELECT * FROM {reader}")
    finally:
        connection.execute(f"SET threads = {threads}")


def _give_types(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    for column in connection.table(name).columns:
        for data_type, pattern in _TYPES.items():
            if _fits(connection, name, column, data_type, pattern):
                alter = f"ALTER TABLE {_quoted(name)} ALTER {_quoted(column)} TYPE {data_type}"
                connection.execute(f"{alter} USING CAST({_quoted(column)} AS {data_type})")
                break


def _fits(connection: duckdb.DuckDBPyConnection, table: str, column: str, data_type: str, pattern: str) -> bool:
    """Whether every text of a column is one, and there is any."""
    of, like = _quoted(column), text_literal(pattern)
    row = connection.execute(
        f"SELECT count({of}) > 0 AND coalesce(bool_and(regexp_full_match({of}, {like})"
        f" AND TRY_CAST({of} AS {data_type}) IS NOT NULL), true) FROM {_quoted(table)} WHERE {of} IS NOT NULL"
    ).fetchone()
    return bool(row and row[0])


def _ending(uri: str) -> str:
    name = uri.rpartition("/")[2].lower()
    ending = name.removesuffix(".gz")[max(0, name.removesuffix(".gz").rfind(".")) :]
    return ending if not name.endswith(".gz") or ending in _TEXTS else name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
