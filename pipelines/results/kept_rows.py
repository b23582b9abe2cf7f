"""Rows of the views that several statements are asked of: read once, and kept for as long as the connection is open."""

from __future__ import annotations

import duckdb

from framegate.pipelines.results.views import Views, one_sentence, select
from framegate.schemas.errors import QueryError


def list_columns(views: Views, view: str) -> tuple[str, ...]:
    """The columns of a view, in order; none where there is no such view. Raises StorageError."""
    try:
        return tuple(select(views, f"SELECT * FROM {quote_name(view)} LIMIT 0").column_names)
    except QueryError:
        return ()


def keep_rows(views: Views, name: str, sql: str) -> None:
    """Makes the rows of a SELECT of ours a table, which spills to the disk where memory does not hold it.

    Raises QueryError; VersionChanged or ObjectNotFound where a file is not the one that was listed; StorageError.
    """
    views.make_mentioned(sql)
    try:
        views.connection.execute(f"CREATE OR REPLACE TEMP TABLE {quote_name(name)} AS {sql}")
    except duckdb.Error as error:
        if (met := views.files.take_error()) is not None:
            raise met from error
        raise QueryError(one_sentence(error)) from error


def quote_name(name: str) -> str:
    """A name of a column or a view as it stands in SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
