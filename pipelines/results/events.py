"""The view `events`: the clips of one video that have the same answer to a question, merged into intervals.

Consecutive and overlapping clips belong together, and such that a gap of at most `max_gap_seconds` lies between. A gap
is a stretch without a clip of that answer, whatever was answered there. The answer to a question of type span is an
interval itself: it is taken in the place of the clip's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from framegate.pipelines.results.current import local_columns
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.view_sql import quoted

TOUCHING_SECONDS: Final = 0.001
"""Ends and starts of neighbouring clips are sums of floats: less than that is no gap."""

_SERIES: Final = "config_id, video_id, video_uri, question_id, question_hash, answer_type, answer"
_ORDER: Final = "ORDER BY start_seconds, end_seconds, clip_index"
SPANS: Final = """
    SELECT {kept}, CASE WHEN answer_type = 'span' THEN 'span' ELSE answer END AS answer,
        CASE WHEN answer_type = 'span' THEN span_start_seconds ELSE start_seconds END AS start_seconds,
        CASE WHEN answer_type = 'span' THEN span_end_seconds ELSE end_seconds END AS end_seconds,
        CASE WHEN answer_type = 'span' THEN seconds_after(clip_started_at, span_start_seconds - start_seconds)
            ELSE clip_started_at END AS started_at,
        CASE WHEN answer_type = 'span' THEN seconds_after(clip_started_at, span_end_seconds - start_seconds)
            ELSE clip_ended_at END AS ended_at
    FROM current WHERE status = 'answered' AND answer IS NOT NULL"""
"""Answers of `current` with the interval that each is about."""

_EVENTS: Final = """
    WITH said AS ({said}), marked AS (
        SELECT *, CASE WHEN start_seconds <= {max_gap} + max(end_seconds) OVER (
            PARTITION BY {series} {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) THEN 0 ELSE 1 END AS begins
        FROM said
    ), numbered AS (
        SELECT *, sum(begins) OVER (
            PARTITION BY {series} {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS event_number
        FROM marked
    ), merged AS (
        SELECT {series}, max(answer_number) AS answer_number, min(start_seconds) AS start_seconds,
            max(end_seconds) AS end_seconds, min(started_at) AS started_at, max(ended_at) AS ended_at,
            count(*) AS num_clips, min(clip_index) AS first_clip_index, max(clip_index) AS last_clip_index,
            min(confidence) AS min_confidence, avg(confidence) AS mean_confidence{inputs}
        FROM numbered GROUP BY {series}, event_number
    )
    SELECT config_id, video_id, video_uri, question_id, question_hash, answer_type, answer, answer_number,
        start_seconds, end_seconds, end_seconds - start_seconds AS duration_seconds, started_at, ended_at,
        {local}, num_clips, first_clip_index, last_clip_index, min_confidence, mean_confidence{input_names}
    FROM merged"""

MEANINGS: Final = {
    "answer": "of all its clips; span where the answers are intervals",
    "start_seconds": "where it begins, in seconds of the video",
    "end_seconds": "where it ends",
    "duration_seconds": "from start to end, gaps that are bridged included",
    "started_at": "when that was; null: not known",
    "ended_at": "when that was; null: not known",
    "local_date": "date on which it began, in the output's time zone",
    "local_hour": "hour of the day in which it began there",
    "num_clips": "clips with that answer",
    "min_confidence": "the least confidence of their answers",
    "mean_confidence": "the mean of them",
}


def create_events(opened: Opened, time_zone: str) -> None:
    """Makes the view, without bridges, and the macro `events(max_gap_seconds)`. `current` is there."""
    inputs = input_columns(opened.columns("current"))
    view = events_sql("0", inputs, time_zone)
    opened.connection.execute(f"CREATE TEMP VIEW events AS {view}")
    macro = events_sql("max_gap_seconds", inputs, time_zone)
    opened.connection.execute(f"CREATE TEMP MACRO events(max_gap_seconds) AS TABLE {macro}")


def events_sql(max_gap: str, inputs: Iterable[str], time_zone: str) -> str:
    """A SELECT of `current`. `max_gap`: SQL of the seconds that are bridged."""
    names = [quoted(name) for name in inputs]
    kept = [
        "config_id, video_id, video_uri, question_id, question_hash, answer_type, clip_index, answer_number",
        "confidence",
        *names,
    ]
    return _EVENTS.format(
        said=SPANS.format(kept=", ".join(kept)),
        max_gap=f"({max_gap} + {TOUCHING_SECONDS})",
        series=_SERIES,
        order=_ORDER,
        inputs="".join(f", max({name}) AS {name}" for name in names),
        input_names="".join(f", {name}" for name in names),
        local=", ".join(local_columns("started_at", "", time_zone)),
    )


def input_columns(columns: Iterable[str]) -> list[str]:
    """Those of manifests."""
    return [name for name in columns if name.startswith("input_")]
