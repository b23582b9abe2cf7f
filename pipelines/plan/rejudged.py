"""Rows of the audit sample that a higher threshold would not have let go: they have thought already, and both answers
stand in them. The second one becomes the answer, without a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.deepened_rows import DEEPENED_KIND
from framegate.pipelines.reason.asking.answers import ParsedAnswer, parse_answer
from framegate.pipelines.reason.asking.box import is_fallback
from framegate.schemas.deepening import ADDED, Thresholds
from framegate.schemas.qa import Question
from framegate.schemas.tables import JOURNAL


def rejudge(rows: pa.Table, thresholds: Thresholds) -> Iterator[pa.Table]:
    """`rows` in RESULTS, audited and below their threshold, by video; for each video its rows as they are to be, in
    JOURNAL. Nothing was spent on them."""
    of_video: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        of_video.setdefault(row["video_id"], []).append(_rejudged(row, thresholds))
    for judged in of_video.values():
        yield pa.Table.from_pylist(judged, schema=JOURNAL)


def _rejudged(row: Mapping[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    offered = [_parse(row, row[name]) for name in ("answer_second", "answer_first")]
    parsed = next((one for one in offered if one is not None and one.is_in_range), None)
    start_seconds, end_seconds = parsed.span_seconds if parsed and parsed.span_seconds else (None, None)
    is_unparsed = not any(offered)
    return {
        **row,
        "row_kind": DEEPENED_KIND,
        "answer": parsed.value if parsed else None,
        "answer_letter": parsed.letter if parsed else None,
        "answer_number": parsed.number if parsed else None,
        "answer_bool": parsed.is_yes if parsed else None,
        "span_start_seconds": start_seconds,
        "span_end_seconds": end_seconds,
        "status": "answered" if parsed else "unparsed" if is_unparsed else "out_of_range",
        "gate_reason": "unsure",
        "threshold": thresholds.of(row["question_hash"]),
        **dict.fromkeys(ADDED, 0.0),
    }


def _parse(row: Mapping[str, Any], content: str | None) -> ParsedAnswer | None:
    """As the course of the question does."""
    if content is None or is_fallback(content):
        return None
    question = Question(
        id=row["question_id"],
        text=row["question"],
        type=row["answer_type"],
        options=tuple(row["question_options"] or ()),
    )
    start_seconds = row["start_seconds"]
    seconds = row["end_seconds"] - start_seconds
    return parse_answer(content, question, clip_start_seconds=start_seconds, clip_seconds=seconds)
