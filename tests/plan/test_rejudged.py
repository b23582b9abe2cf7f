"""A row of the audit sample takes its second answer as its course would have read it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.plan.rejudged import rejudge
from framegate.schemas.deepening import ADDED, Thresholds
from framegate.schemas.qa import Question
from framegate.schemas.tables import JOURNAL, RESULTS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
YES_NO = Question(id="q", text="Did it?", type="yes_no")
CHOICE = Question(id="c", text="Which?", type="choice", options=("red", "blue"))
NUMBER = Question(id="n", text="How many?", type="number")
SPAN = Question(id="s", text="When?", type="span")
TEXT = Question(id="t", text="What?", type="text")
DEFAULTS = {pa.string(): "x", pa.int32(): 1, pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): False}


def stored(question: Question, first: str | None, second: str | None, **values: Any) -> dict[str, Any]:
    """A row of results as an audit leaves it: of a clip from second 10 to 20."""
    row = {field.name: DEFAULTS.get(field.type) for field in RESULTS if not field.nullable}
    about = {"question_id": question.id, "question_hash": question.hash, "question": question.text}
    return {
        **row,
        **about,
        "answer_type": question.type,
        "question_options": list(question.options) or None,
        "video_id": "v" * 16,
        "start_seconds": 10.0,
        "end_seconds": 20.0,
        "answer_first": first,
        "answer_second": second,
        "thinking": True,
        "gate_reason": "audit",
        "status": "answered",
        "threshold": 0.5,
        "written_at": NOON,
        "thinking_text": "hm",
        "num_thinking_tokens": 7,
        **values,
    }


def judge(*rows: dict[str, Any], **of_question: float) -> list[dict[str, Any]]:
    tables = [
        *rejudge(pa.Table.from_pylist([*rows], schema=RESULTS), Thresholds(default=0.99, of_question=of_question))
    ]
    assert all(table.schema.equals(JOURNAL) for table in tables)
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("question", "first", "second", "expected"),
    [
        (YES_NO, "yes", "no", {"answer": "no", "answer_bool": False}),
        (CHOICE, "A", "(B) blue", {"answer": "blue", "answer_letter": "B"}),
        (NUMBER, "3", "4.50", {"answer": "4.5", "answer_number": 4.5}),
        (TEXT, "a dog", " a  cat ", {"answer": "a cat"}),
        (SPAN, "[0, 1]", "[2, 4]", {"span_start_seconds": 12.0, "span_end_seconds": 14.0}),
        (SPAN, "[0, 1]", "[2, 40]", {"span_start_seconds": 10.0, "span_end_seconds": 11.0, "status": "answered"}),
        (SPAN, None, "[2, 40]", {"answer": None, "status": "out_of_range"}),
        (YES_NO, "yes", "perhaps", {"answer": "yes", "answer_bool": True, "status": "answered"}),
        (YES_NO, "yes", None, {"answer": "yes"}),
        (YES_NO, "perhaps", "perhaps not", {"answer": None, "status": "unparsed"}),
    ],
)
def test_the_second_answer_counts_where_it_can_be_read(
    question: Question, first: str | None, second: str | None, expected: dict[str, Any]
) -> None:
    [row] = judge(stored(question, first, second))
    assert {name: row[name] for name in expected} == expected
    assert (row["gate_reason"], row["threshold"], row["thinking"]) == ("unsure", 0.99, True)


def test_nothing_was_spent_on_it_and_nobody_deepened_it() -> None:
    [row] = judge(stored(YES_NO, "yes", "no", engine_seconds=3.0))
    assert [row[name] for name in ADDED] == [0.0] * len(ADDED)
    assert (row["deepened_at"], row["deepened_run_id"]) == (None, None)
    assert (row["row_kind"], row["thinking_text"], row["num_thinking_tokens"]) == ("deepened", "hm", 7)


def test_each_question_has_its_own_threshold_and_each_video_its_own_rows() -> None:
    rows = [stored(YES_NO, "yes", "no"), stored(NUMBER, "1", "2"), stored(NUMBER, "1", "2", video_id="w" * 16)]
    judged = judge(*rows, **{NUMBER.hash: 0.9})
    assert [(row["video_id"][0], row["threshold"]) for row in judged] == [("v", 0.99), ("v", 0.9), ("w", 0.9)]
