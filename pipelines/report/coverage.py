"""Is it complete: of each camera, how many of the videos that are there have all answers, some, a failure, or nothing.

Counted is what the config_id of the report has stored by now, not what one night did. A video is complete where every
question of the bank is answered at its last clip, the same number of clips is answered for all of them, and no failure
of it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from framegate.pipelines.report.figures import Camera, Coverage
from framegate.pipelines.report.night import Scope
from framegate.pipelines.report.rows import FAILED, NIGHT, NightRows
from framegate.pipelines.results.kept_rows import list_columns
from framegate.pipelines.results.view_sql import text_literal

MAX_CAMERAS: Final = 40

_CAMERAS: Final = """
    WITH stored AS (
        SELECT video_id, any_value({answers}) AS camera, count(*) AS num_rows,
            count(*) FILTER (clip_is_last) AS num_last, count(*) FILTER (gate_reason = 'deferred') AS num_deferred
        FROM answers WHERE config_id = {config} AND question_hash IN ({bank}) GROUP BY video_id
    ), failed AS (
        SELECT video_id, any_value(camera) AS camera, count(*) AS num_failed FROM {failures} GROUP BY video_id
    ), there AS (
        SELECT video_id, coalesce(stored.camera, failed.camera, videos_here.camera) AS camera,
            coalesce(num_rows, 0) AS num_rows, coalesce(num_failed, 0) AS num_failed,
            num_deferred,
            coalesce(num_rows % {size} = 0 AND num_last >= {size}, false) AS is_whole
        FROM (SELECT video_id, any_value({videos}) AS camera FROM videos WHERE {is_here} GROUP BY video_id)
            AS videos_here
        LEFT JOIN stored USING (video_id) LEFT JOIN failed USING (video_id)
    )
    SELECT camera, count(*) FILTER (num_rows > 0 AND is_whole AND num_failed = 0) AS num_complete,
        count(*) FILTER (num_rows > 0 AND NOT (is_whole AND num_failed = 0)) AS num_partial,
        count(*) FILTER (num_rows = 0 AND num_failed > 0) AS num_failed,
        count(*) FILTER (num_rows = 0 AND num_failed = 0) AS num_missing,
        coalesce(sum(num_deferred), 0)::BIGINT AS num_deferred
    FROM there GROUP BY camera"""
_NIGHT: Final = f"""
    SELECT camera, count(*) AS num_clips, sum(seconds) / 3600 AS clip_hours
    FROM (SELECT any_value(camera) AS camera, any_value(end_seconds - start_seconds) AS seconds
          FROM {NIGHT} GROUP BY video_id, clip_index) GROUP BY camera"""


def find_coverage(rows: NightRows, scope: Scope) -> Coverage:
    """Raises StorageError."""
    bank = {*(scope.answered.last.get("questions") or {}).values()}
    bank = bank or {row["hash"] for row in rows.ask(f"SELECT DISTINCT question_hash AS hash FROM {NIGHT}")}
    sql = _CAMERAS.format(
        answers=rows.camera_of("answers"),
        failures=FAILED,
        videos=rows.camera_of("videos"),
        is_here=_is_here(rows),
        config=text_literal(scope.config_id or ""),
        bank=", ".join(map(text_literal, sorted(bank))) or "NULL",
        size=max(1, len(bank)),
    )
    tonight = {row["camera"]: row for row in rows.ask(_NIGHT)}
    found = rows.ask(sql)
    cameras = sorted((_camera(row, tonight) for row in found), key=_urgency)
    listed, more = cameras[:MAX_CAMERAS], cameras[MAX_CAMERAS:]
    hidden = [camera for camera in more if camera.num_complete < camera.num_videos]
    return Coverage(
        by=rows.by,
        cameras=(*listed, *hidden),
        num_more=len(more) - len(hidden),
        num_deferred=sum(row["num_deferred"] for row in found),
    )


def _is_here(rows: NightRows) -> str:
    """Of a version that lies in storage now: neither overwritten nor gone."""
    columns = list_columns(rows.views, "videos")
    return "state = 'current'" if "state" in columns else "NOT is_gone"


def _camera(row: Mapping[str, Any], tonight: Mapping[str | None, Mapping[str, Any]]) -> Camera:
    seen = tonight.get(row["camera"], {"num_clips": 0, "clip_hours": 0.0})
    row = {name: value for name, value in row.items() if name != "num_deferred"}
    return Camera(**row, num_clips=seen["num_clips"], clip_hours=seen["clip_hours"])


def _urgency(camera: Camera) -> tuple[int, str]:
    """The camera with the most videos that are not complete comes first."""
    return camera.num_complete - camera.num_videos, camera.camera or ""
