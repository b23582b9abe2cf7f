"""The rows that a report is made of: those of the night and of the earlier one, each read once and kept as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.report.night import Scope
from framegate.pipelines.results.agreement import agrees_sql
from framegate.pipelines.results.kept_rows import keep_rows, list_columns, quote_name
from framegate.pipelines.results.last_night import Night
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import Views, select
from framegate.schemas.errors import ConfigError
from framegate.schemas.tables import INPUT_PREFIX

NIGHT: Final = "night_rows"
EARLIER: Final = "earlier_rows"
FAILED: Final = "standing_failures"
"""Failures of the config_id that stand, whichever run they are of."""

COMMON_CAMERA: Final = "camera"
"""The column of the manifest that tells cameras apart, where nobody says which one does."""

_NEWER: Final = {
    "answer_letter": "VARCHAR",
    "answer_first_value": "VARCHAR",
    "answer_second_value": "VARCHAR",
    "first_answer_seconds": "DOUBLE",
    "thinking_seconds": "DOUBLE",
    "clip_started_at": "TIMESTAMP WITH TIME ZONE",
    "clip_ended_at": "TIMESTAMP WITH TIME ZONE",
    "copied_from": "INTEGER",
}
"""Columns that outputs of earlier versions lack."""

_COLUMNS: Final = (
    "video_id", "video_uri", "clip_index", "start_seconds", "end_seconds", "question_id", "question_hash", "question",
    "answer_type", "answer", "answer_first", "answer_second", "confidence_first", "confidence_second", "thinking",
    "gate_reason", "num_answer_tokens", "num_thinking_tokens", "engine_seconds", "status", "threshold", "strategy",
    "model", "span_start_seconds", "span_end_seconds", "run_id", "written_at",
)  # fmt: skip

# A second answer that could be read, of a row whose first one could be, too: only such a row says whether thinking
# changed its mind. Rows of earlier versions have the first answer as it stood in its box.
_COMPARED: Final = "thinking AND status = 'answered' AND confidence_first IS NOT NULL AND answer_second IS NOT NULL"
_AGREES: Final = (
    f"CASE WHEN {_COMPARED} THEN coalesce({agrees_sql()}, lower(trim(answer_first)) = lower(trim(answer_second))) END"
)
_FAILURES: Final = """
    SELECT video_id, video_uri, {camera} AS camera, reason, message, attempts, run_id, written_at
    FROM failures WHERE config_id = {config}"""
_FOLDER: Final = "regexp_extract(split_part(video_uri, '#', 1), '([^/]+)/[^/]*$', 1)"


@dataclass(frozen=True, kw_only=True)
class NightRows:
    """The kept tables, and the column of cameras: by its name in the manifest, None where the video's folder is it."""

    views: Views
    by: str | None
    config_id: str | None

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a SELECT over NIGHT, EARLIER, FAILED and the views. Raises StorageError."""
        return select(self.views, sql).to_pylist()

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of an aggregation."""
        (row,) = self.ask(sql)
        return row

    def camera_of(self, view: str) -> str:
        """SQL for the camera of a row of a view that has `video_uri`; null where the view lacks the column."""
        if self.by is None:
            return _FOLDER
        is_there = INPUT_PREFIX + self.by in list_columns(self.views, view)
        return f"{quote_name(INPUT_PREFIX + self.by)}::VARCHAR" if is_there else "NULL::VARCHAR"


def read_rows(views: Views, scope: Scope, *, by: str | None) -> NightRows:
    """Keeps the rows of both nights, and the failures that stand.

    Raises ConfigError where `by` is no column of the manifest, StorageError.
    """
    columns = list_columns(views, "answers")
    night = NightRows(views=views, by=_choose_camera(columns, by), config_id=scope.config_id)
    camera = night.camera_of("answers")
    keep_rows(views, NIGHT, _rows_of(columns, camera, scope.answered))
    keep_rows(views, EARLIER, _rows_of(columns, camera, scope.earlier))
    config = text_literal(scope.config_id or "")
    keep_rows(views, FAILED, _FAILURES.format(camera=night.camera_of("failures"), config=config))
    return night


def _choose_camera(columns: Iterable[str], by: str | None) -> str | None:
    known = [name.removeprefix(INPUT_PREFIX) for name in columns if name.startswith(INPUT_PREFIX)]
    if by is None:
        return COMMON_CAMERA if COMMON_CAMERA in known else None
    if by not in known:
        raise ConfigError(
            f"'{by}' is no column of the manifests of this output, by which a report could tell cameras apart;"
            f" it has {', '.join(sorted(known)) or 'none'}"
        )
    return by


def _rows_of(columns: Iterable[str], camera: str, night: Night | None) -> str:
    """One config_id, by which files are left out, and runs, by which row groups are; no row of None.

    A night that is named to be compared with may be of another configuration.
    """
    there = {*columns}
    newer = [name if name in there else f"NULL::{type} AS {name}" for name, type in _NEWER.items()]
    runs = () if night is None else night.runs
    ids = ", ".join(text_literal(run["run_id"]) for run in runs) or "NULL"
    listed = ", ".join([*_COLUMNS, *newer, f"{camera} AS camera"])
    config_id = text_literal(night.last.get("config_id") or "" if night is not None else "")
    inner = f"SELECT {listed} FROM answers WHERE config_id = {config_id} AND run_id IN ({ids})"
    return f"SELECT *, {_AGREES} AS agrees FROM ({inner})"
