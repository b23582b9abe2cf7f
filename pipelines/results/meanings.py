"""What the columns of all views mean, as comments: `SELECT column_name, comment FROM duckdb_columns()`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from framegate.pipelines.results import calibration_table, current, drift_table, events, label_table, questions
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.view_makers import FOLDERS
from framegate.pipelines.results.view_sql import comment, quoted, text_literal
from framegate.schemas.tables import meaning

_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "current": current.DERIVED,
    "drift": drift_table.MEANINGS,
    "events": events.MEANINGS,
    "questions": questions.MEANINGS,
    "wide": {},
    "labels": label_table.MEANINGS,
    "calibrations": calibration_table.MEANINGS,
}


def comment_all(opened: Opened, views: Container[str]) -> None:
    """Stores them. Every one of `views` is there; a person's own table may have the name of another one."""
    for view, (folder, schema) in (*FOLDERS.items(), ("failures", FOLDERS["failure_history"])):
        comment(opened.connection, view, schema, opened.tables[folder])
    of_results = {field.name: meaning(field) for field in FOLDERS["answers"][1]}
    for view, own in _OWN.items():
        if view not in views:
            continue
        meanings = {**of_results, **current.DERIVED, **own}
        for name in opened.columns(view):
            if name in meanings:
                sql = f"COMMENT ON COLUMN {view}.{quoted(name)} IS {text_literal(meanings[name])}"
                opened.connection.execute(sql)
