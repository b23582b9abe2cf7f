"""Answers fall into classes that no compared night has chosen."""

from __future__ import annotations

import duckdb
import pytest

from framegate.pipelines.drift.classes import MAX_TEXTS, class_join, find_classes, texts_by_question, texts_sql
from framegate.schemas.qa import Question

DOOR = Question(id="door", text="Is it open?", type="choice", options=("open", "B", "it's gone"))
ANYONE = Question(id="anyone", text="Anyone?", type="yes_no")
PEOPLE = Question(id="people", text="How many?", type="number")
COLOUR = Question(id="colour", text="Which?", type="text")
WHEN = Question(id="when", text="When?", type="span")
CLASSES = find_classes([DOOR, ANYONE, PEOPLE, COLOUR, WHEN], {COLOUR.hash: ["red", "dark blue"]})


def class_of(question: Question, answer: str) -> str | None:
    join, number = class_join(CLASSES, "answer", "value")
    rows = "SELECT ? AS question_hash, ? AS answer_type, ? AS answer, TRY_CAST(answer AS DOUBLE) AS value"
    found = duckdb.execute(f"SELECT {number} FROM ({rows}) {join}", [question.hash, question.type, answer]).fetchall()
    [(place,)] = found
    return None if place is None else CLASSES.names[question.hash][place]


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        (DOOR, "open", "open"),
        (DOOR, "it's gone", "it's gone"),
        (DOOR, "A", "open"),  # a row of an earlier version
        (DOOR, "B", "B"),  # an option that is called like a letter is itself
        (DOOR, "ajar", None),
        (ANYONE, "yes", "yes"),
        (ANYONE, "no", None),
        (PEOPLE, "-2", "below 0"),
        (PEOPLE, "0", "0"),
        (PEOPLE, "2.5", "2"),
        (PEOPLE, "4", "3 to 4"),
        (PEOPLE, "999", "100 to 999"),
        (PEOPLE, "1e6", "1000 or more"),
        (PEOPLE, "many", None),
        (COLOUR, " Dark Blue", "dark blue"),
        (COLOUR, "green", None),
        (WHEN, "[1, 2]", None),
    ],
)
def test_an_answer_is_of_one_class_or_none(question: Question, answer: str, expected: str | None) -> None:
    assert class_of(question, answer) == expected


def test_texts_are_the_frequent_ones_of_enough_videos() -> None:
    rows = " UNION ALL ".join(
        f"SELECT 'h' AS question_hash, 'text' AS answer_type, 'v' || range AS video_id, '{text}' AS night_answer"
        f" FROM range({number})"
        for number, text in enumerate(("rare", "Some ", "a", "b", "c", "d", "e"), start=8)
    )
    texts = texts_by_question(duckdb.sql(texts_sql(rows)).to_arrow_table().to_pylist())
    assert texts == {"h": ["e", "d", "c", "b", "a"]}
    assert len(texts["h"]) == MAX_TEXTS
    few = texts_by_question(duckdb.sql(texts_sql(rows + " LIMIT 17")).to_arrow_table().to_pylist())
    assert few == {}


def test_no_class_at_all_is_no_error() -> None:
    join, number = class_join(find_classes([WHEN], {}), "answer", "value")
    row = "SELECT 'h' AS question_hash, 'span' AS answer_type, 'x' AS answer, NULL::DOUBLE AS value"
    sql = f"SELECT {number} FROM ({row}) {join}"
    assert duckdb.sql(sql).fetchall() == [(None,)]
