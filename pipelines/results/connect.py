"""`framegate.connect`: the views of an output on a DuckDB connection of the caller's own."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb

from framegate.pipelines.results.view_makers import VIEW_NAMES
from framegate.pipelines.results.views import read_output
from framegate.schemas.rules import load_rules


def connect(
    output: str,
    *,
    storage_options: Mapping[str, object] | None = None,
    config_id: str | None = None,
    job: str | None = None,
    rules: str | Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with all views and macros of docs/output.md, of the output as it is now.

        con = framegate.connect("s3://index/cameras", rules="rules.yaml")
        con.sql("FROM events WHERE question_id = 'crate' AND answer = 'black'").df()
        con.sql("FROM current").to_arrow_table()

    `config_id` and `job` (a job file's name) keep to one configuration. `rules` is a file of composite events.
    The views see each file at the version that was listed: where one changes meanwhile, a query fails, and a new
    connection sees the new one. Nothing of the output can be written through it. Beyond that it is an ordinary
    connection: it can read other files, tables and data frames.

    Raises ObjectNotFound where there is no output, ConfigError where rules are wrong, StorageError.
    """
    known = None if rules is None else load_rules(rules, taken=VIEW_NAMES)
    connection = duckdb.connect()
    try:
        views = read_output(connection, output, storage_options or {}, config_id=config_id, job=job, rules=known)
        views.comment()
        # DuckDB makes this folder when it first needs one, and removes it with the connection.
        spill = os.path.join(tempfile.gettempdir(), f"framegate-sql-{secrets.token_hex(8)}")
        connection.execute("SET temp_directory = $spill", {"spill": spill})
    except BaseException:
        connection.close()
        raise
    return connection
