"""What the columns of all views mean, as comments: `SELECT column_name, comment FROM duckdb_columns()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framegate.pipelines.results import current, events, questions
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.view_makers import FOLDERS
from framegate.pipelines.results.view_sql import comment, quoted, text_literal
from framegate.schemas.tables import meaning

_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "current": current.DERIVED,
    "events": events.MEANINGS,
    "questions": questions.MEANINGS,
    "wide": {},
}


def comment_all(opened: Opened) -> None:
    """Stores them. Every view is there."""
    for view, (folder, schema) in (*FOLDERS.items(), ("failures", FOLDERS["failure_history"])):
        comment(opened.connection, view, schema, opened.tables[folder])
    of_results = {field.name: meaning(field) for field in FOLDERS["answers"][1]}
    for view, own in _OWN.items():
        meanings = {**of_results, **current.DERIVED, **own}
        for name in opened.columns(view):
            if name in meanings:
                sql = f"COMMENT ON COLUMN {view}.{quoted(name)} IS {text_literal(meanings[name])}"
                opened.connection.execute(sql)
