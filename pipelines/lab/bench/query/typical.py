"""Eight queries that are asked often, and one of failures: the same SQL for the views and for plain DuckDB.

`{answers}` and `{failures}` stand for a view, or for `read_parquet` of a glob.
"""

from __future__ import annotations

from typing import Final

from framegate.pipelines.lab.bench.query.synthetic_rows import Archive, question_id, video_id

STANDING: Final = "standing failures"
"""The one query that is not the same for both: the view leaves out what was answered since."""


def typical_queries(archive: Archive) -> dict[str, str]:
    """SQL by name. Each gives few rows, so that what is measured is the reading."""
    question, camera = question_id(archive.num_questions - 1), archive.cameras[-1]
    night = archive.num_nights - 1
    one = video_id(archive.videos_of(night, archive.num_cameras - 1)[0])
    return {
        "count": "SELECT count(*) AS n FROM {answers}",
        "think rates": (
            "SELECT question_id, avg(thinking::int) AS rate, avg(num_thinking_tokens) AS tokens"
            " FROM {answers} GROUP BY 1 ORDER BY 1"
        ),
        "question and camera": (
            "SELECT answer, count(*) AS n, avg(confidence_first) AS confidence FROM {answers}"
            f" WHERE question_id = '{question}' AND camera = '{camera}' GROUP BY 1 ORDER BY 1"
        ),
        "one question": (
            f"SELECT camera, max(try_cast(answer AS int)) AS most FROM {{answers}} WHERE question_id = '{question}'"
            " GROUP BY 1 ORDER BY 1"
        ),
        "one video": f"SELECT clip_index, question_id, answer FROM {{answers}} WHERE video_id = '{one}' ORDER BY 1, 2",
        "last night": (
            "SELECT camera, status, count(*) AS n, count(DISTINCT video_id) AS videos FROM {answers}"
            f" WHERE run_id = '{archive.run_id(night)}' GROUP BY ALL ORDER BY ALL"
        ),
        "engine hours": ("SELECT run_id, sum(engine_seconds) / 3600 AS hours FROM {answers} GROUP BY 1 ORDER BY 1"),
        "least sure": (
            "SELECT video_uri, start_seconds, question_id, answer, confidence_first FROM {answers}"
            " WHERE thinking ORDER BY confidence_first, video_uri, start_seconds, question_id LIMIT 100"
        ),
        STANDING: "SELECT reason, count(*) AS n FROM {failures} GROUP BY 1 ORDER BY 1",
    }
