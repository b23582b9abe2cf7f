"""The view `videos`: one row for each version of each video that an output has seen, and what became of it.

It is made when a statement mentions it: the log of videos is read for it, which other queries need not wait for.
"""

from __future__ import annotations

from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.last_look import last_look
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import CURRENT, read_video_log
from framegate.schemas.tables import VIDEO_STATES, meaning

# DuckDB leaves a join out where no column of it is asked for, as its keys are unique: then no answer is read.
_VIEW: Final = """
    CREATE TEMP VIEW videos AS
    SELECT v.*, v.size_bytes AS video_size_bytes, v.state = 'gone' AS is_gone,
        CASE WHEN v.state = 'gone' THEN v.since END AS gone_since,
        coalesce(a.num_rows, 0) AS num_answers, coalesce(f.num_rows, 0) AS num_failures
    FROM video_log AS v
    LEFT JOIN (SELECT video_id, count(*) AS num_rows FROM answers GROUP BY video_id) AS a USING (video_id)
    LEFT JOIN (SELECT video_id, count(*) AS num_rows FROM failures GROUP BY video_id) AS f USING (video_id)"""
_MORE: Final = {
    "video_size_bytes": "size of the video",
    "is_gone": "storage does not have it any more",
    "gone_since": "when a run found it gone; null: it is not",
    "num_answers": "its rows in answers, of all config_ids",
    "num_failures": "its rows in failures",
}


def read_known_videos(output: Output) -> pa.Table:
    """One row for each version of each video that the output has seen, with the columns of VIDEO_STATES and those of
    manifests as they are now. `last_seen` of what is current is when the last run looked. Raises StorageError."""
    rows = read_video_log(output).rows()
    place, last = rows.schema.get_field_index("last_seen"), last_look(output)
    look = pa.repeat(pa.scalar(last, rows.schema.field(place).type), rows.num_rows)
    since = rows.column("since")
    is_later = pc.call_function("coalesce", [pc.call_function("greater", [look, since]), pa.scalar(False)])
    seen = pc.call_function("if_else", [is_later, look, since])
    is_current = pc.call_function("equal", [rows.column("state"), CURRENT])
    column = pc.call_function("if_else", [is_current, seen, rows.column("last_seen")])
    return rows.set_column(place, rows.schema.field(place), column)


def create_videos(connection: duckdb.DuckDBPyConnection, known: pa.Table) -> None:
    """`known`: what `read_known_videos` gave."""
    connection.register("video_log", known.replace_schema_metadata(None))
    connection.execute(_VIEW)
    meanings = {**{field.name: meaning(field) for field in VIDEO_STATES}, **_MORE}
    for name, text in meanings.items():
        quoted = text.replace("'", "''")
        connection.execute(f"COMMENT ON COLUMN videos.{name} IS '{quoted}'")
