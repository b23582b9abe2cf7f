"""The view `videos`: one row for each version of each video that an output has seen, and what became of it.

It is made when a statement mentions it: the log of videos is read for it, which other queries need not wait for.
"""

from __future__ import annotations

from typing import Final

import duckdb
import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import read_video_log
from framegate.schemas.tables import VIDEO_STATES, meaning

# DuckDB leaves a join out where no column of it is asked for, as its keys are unique: then no answer is read.
_VIEW: Final = """
    CREATE TEMP VIEW videos AS
    SELECT v.*, CASE WHEN v.state = 'gone' THEN v.since END AS gone_since,
        coalesce(a.num_rows, 0) AS num_answers, coalesce(f.num_rows, 0) AS num_failures
    FROM video_log AS v
    LEFT JOIN (SELECT video_id, count(*) AS num_rows FROM answers GROUP BY video_id) AS a USING (video_id)
    LEFT JOIN (SELECT video_id, count(*) AS num_rows FROM failures GROUP BY video_id) AS f USING (video_id)"""
_MORE: Final = {
    "gone_since": "when a run found it gone; null: it is not",
    "num_answers": "its rows in answers, of all config_ids",
    "num_failures": "its rows in failures",
}


def create_videos(connection: duckdb.DuckDBPyConnection, output: Output) -> None:
    """Raises StorageError."""
    rows: pa.Table = read_video_log(output).rows().replace_schema_metadata(None)
    connection.register("video_log", rows)
    connection.execute(_VIEW)
    meanings = {**{field.name: meaning(field) for field in VIDEO_STATES}, **_MORE}
    for name, text in meanings.items():
        quoted = text.replace("'", "''")
        connection.execute(f"COMMENT ON COLUMN videos.{name} IS '{quoted}'")
