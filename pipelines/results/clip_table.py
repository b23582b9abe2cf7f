"""The view `clips`: one row for each clip that was asked about, with its picture, whatever asked it."""

from __future__ import annotations

from collections.abc import Iterable

from framegate.pipelines.results.current import local_columns
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.view_sql import quoted

_KEY = "video_id, clip_policy, clip_index"


def create_clips(opened: Opened, time_zone: str) -> None:
    """Makes the view. `stored_clips` is there: each config_id has a row of its own for a clip."""
    has_several = len({name.partition("/config_id=")[2].partition("/")[0] for name in opened.tables["clips"].files}) > 1
    columns = opened.columns("stored_clips")
    sql = clips_sql(columns, time_zone, has_several=has_several and opened.config_id is None)
    opened.connection.execute(f"CREATE TEMP VIEW clips AS {sql}")


def clips_sql(columns: Iterable[str], time_zone: str, *, has_several: bool) -> str:
    """A SELECT of `stored_clips` with these columns. Of several rows of a clip it takes the newest, with an embedding
    if one has it."""
    local = ", ".join(local_columns("clip_started_at", "clip_", time_zone))
    newest = "CASE WHEN embedding IS NULL THEN 1 ELSE 0 END, written_at DESC"
    shown = ", ".join(map(quoted, columns))
    if not has_several:
        return f"SELECT {shown}, {local} FROM stored_clips"
    rank = f"row_number() OVER (PARTITION BY {_KEY} ORDER BY {newest}) AS rank"
    return f"SELECT {shown}, {local} FROM (SELECT *, {rank} FROM stored_clips) AS ranked WHERE rank = 1"
