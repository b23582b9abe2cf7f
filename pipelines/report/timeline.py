"""When something happened at each camera: clips of the night with the same answer, merged to intervals.

What happens is what is not the usual: a yes; the interval of a span; of a choice, every answer but the question's most
frequent one. Numbers and texts are no events. Clips of one camera that touch, overlap or lie less than GAP_SECONDS
apart are one event.
"""

from __future__ import annotations

from typing import Any, Final

from framegate.pipelines.report.figures import Event, Timeline
from framegate.pipelines.report.rows import NIGHT, NightRows

MAX_LABELS: Final = 6  # colours that can be told apart
MAX_EVENTS: Final = 2000
GAP_SECONDS: Final = 1.0

_NO_CLOCK: Final = (
    "No clip of this night has a wall-clock time. The job's input.started_at says which column of the manifest has it."
)
_NO_EVENT: Final = "Nothing but the usual: no question was answered with yes, with a span, or other than mostly."

_USUAL: Final = f"""
    SELECT question_hash, mode(answer) AS usual FROM {NIGHT}
    WHERE answer_type = 'choice' AND status = 'answered' GROUP BY 1"""
_HAPPENED: Final = f"""
    SELECT camera, answer_type,
        CASE WHEN answer_type = 'choice' THEN question_id || ': ' || answer ELSE question_id END AS label,
        coalesce(confidence_second, confidence_first) AS confidence,
        clip_started_at + to_microseconds(((coalesce(span_start_seconds, start_seconds) - start_seconds)
            * 1e6)::BIGINT) AS began,
        CASE WHEN span_end_seconds IS NULL THEN clip_ended_at ELSE
            clip_started_at + to_microseconds(((span_end_seconds - start_seconds) * 1e6)::BIGINT) END AS ended
    FROM {NIGHT} LEFT JOIN ({_USUAL}) USING (question_hash)
    WHERE status = 'answered' AND clip_started_at IS NOT NULL AND clip_ended_at IS NOT NULL AND (
        (answer_type = 'yes_no' AND answer = 'yes') OR (answer_type = 'choice' AND answer <> usual)
        OR (answer_type = 'span' AND span_start_seconds IS NOT NULL))"""
_EVENTS: Final = f"""
    WITH happened AS ({_HAPPENED}),
    reached AS (
        SELECT *, max(ended) OVER (PARTITION BY camera, label ORDER BY began, ended
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS so_far
        FROM happened
    ), numbered AS (
        SELECT *, sum((so_far IS NULL OR epoch(began) > epoch(so_far) + {GAP_SECONDS})::INT)
            OVER (PARTITION BY camera, label ORDER BY began, ended) AS event
        FROM reached
    )
    SELECT camera, label, any_value(answer_type) AS answer_type, min(began) AS started_at, max(ended) AS ended_at,
        count(*) AS num_clips, min(confidence) AS least_confidence
    FROM numbered GROUP BY camera, label, event ORDER BY started_at, camera, label"""
_RANK: Final = {"yes_no": 0, "span": 1, "choice": 2}


def find_timeline(rows: NightRows) -> Timeline:
    """The labels with the most events, those of questions for yes or no first. Raises StorageError."""
    (clock,) = rows.ask(f"SELECT count(clip_started_at) AS num_known FROM {NIGHT}")
    found = rows.ask(_EVENTS) if clock["num_known"] else []
    labels = _choose_labels(found)
    events = [
        Event(**{name: value for name, value in row.items() if name != "answer_type"})
        for row in found
        if row["label"] in labels
    ]
    return Timeline(
        labels=labels,
        events=tuple(events[:MAX_EVENTS]),
        num_more=len(found) - min(len(events), MAX_EVENTS),
        why_empty=None if events else _NO_EVENT if clock["num_known"] else _NO_CLOCK,
    )


def _choose_labels(found: list[dict[str, Any]]) -> tuple[str, ...]:
    numbers: dict[tuple[int, str], int] = {}
    for row in found:
        key = _RANK[row["answer_type"]], row["label"]
        numbers[key] = numbers.get(key, 0) + 1
    ordered = sorted(numbers, key=lambda key: (key[0], -numbers[key], key[1]))
    return tuple(label for _, label in ordered[:MAX_LABELS])
