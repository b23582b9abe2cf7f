"""The view `clips`: one row for each clip that was asked about, with its picture, whatever asked it."""

from __future__ import annotations

from framegate.pipelines.results.current import local_columns
from framegate.pipelines.results.opened import Opened

_KEY = "video_id, clip_policy, clip_index"


def create_clips(opened: Opened, time_zone: str) -> None:
    """Makes the view. `stored_clips` is there: each config_id has a row of its own for a clip."""
    has_several = len({name.partition("/config_id=")[2].partition("/")[0] for name in opened.tables["clips"].files}) > 1
    sql = clips_sql(time_zone, has_several=has_several and opened.config_id is None)
    opened.connection.execute(f"CREATE TEMP VIEW clips AS {sql}")


def clips_sql(time_zone: str, *, has_several: bool) -> str:
    """A SELECT of `stored_clips`. Of several rows of a clip it takes the newest, with an embedding if one has it."""
    local = ", ".join(local_columns("clip_started_at", "clip_", time_zone))
    newest = "CASE WHEN embedding IS NULL THEN 1 ELSE 0 END, written_at DESC"
    one = f" QUALIFY row_number() OVER (PARTITION BY {_KEY} ORDER BY {newest}) = 1" if has_several else ""
    return f"SELECT *, {local} FROM stored_clips{one}"
