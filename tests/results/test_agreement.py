"""Two answers to one question are compared by its type, in SQL."""

from __future__ import annotations

import duckdb
import pytest

from framegate.pipelines.results.agreement import STRICT, Tolerance, agrees_sql, differs_sql

WIDE = Tolerance(number_tolerance=0.1, span_overlap=0.2)


def compare(answer_type: str, first: str | None, second: str | None, tolerance: Tolerance = STRICT) -> object:
    row = "SELECT ? AS answer_type, ? AS answer_first_value, ? AS answer_second_value, ? AS answer_second,"
    sql = f"{row} true AS thinking, 'unsure' AS gate_reason, 'old' AS answer"
    both = f"SELECT {agrees_sql(tolerance)}, {differs_sql(tolerance)} FROM ({sql})"
    [(agrees, differs)] = duckdb.execute(both, [answer_type, first, second, second]).fetchall()
    assert differs == (second is not None and agrees is not True)
    return agrees


@pytest.mark.parametrize(
    ("answer_type", "first", "second", "expected"),
    [
        ("choice", "red crate", "Red crate", True),
        ("choice", "red crate", "blue crate", False),
        ("yes_no", "yes", "no", False),
        ("number", "3", "3.0", True),
        ("number", "3", "4", False),
        ("number", "0", "0", True),
        ("number", "1e400", "1e400", True),
        ("number", "-2", "2", False),
        ("span", "[1, 2]", "[1, 2]", True),
        ("span", "[1, 3]", "[2, 4]", False),
        ("span", "[0, 4]", "[1, 4]", True),
        ("span", "[0, 1]", "[5, 6]", False),
        ("span", "[0, 1]", "at noon", False),
        ("number", "3", "three", False),
        ("text", "A red crate.", "a  red crate", True),
        ("text", "rot: größer", "Rot, GRÖSSER", False),
        ("text", "Größer", "größer!", True),
        ("text", "a red crate", "a blue crate", False),
    ],
)
def test_by_type(answer_type: str, first: str, second: str, expected: bool) -> None:
    assert compare(answer_type, first, second) is expected
    assert compare(answer_type, second, first) is expected


def test_a_tolerance_is_said() -> None:
    assert (compare("number", "100", "109"), compare("number", "100", "109", WIDE)) == (False, True)
    assert (compare("span", "[1, 3]", "[2, 4]"), compare("span", "[1, 3]", "[2, 4]", WIDE)) == (False, True)


def test_what_cannot_be_read_changes_nothing() -> None:
    assert compare("yes_no", "yes", None) is None
    assert compare("yes_no", None, None) is None


def test_a_first_answer_that_cannot_be_read_is_another_one() -> None:
    assert compare("yes_no", None, "no") is None  # and `differs` is true: see `compare`


@pytest.mark.parametrize(("reason", "expected"), [("unsure", False), ("audit", None)])
def test_rows_of_earlier_versions_have_the_second_answer_as_the_final_one(reason: str, expected: object) -> None:
    sql = f"""SELECT 'yes_no' AS answer_type, 'yes' AS answer_first_value, NULL::VARCHAR AS answer_second_value,
        'no' AS answer_second, true AS thinking, '{reason}' AS gate_reason, 'no' AS answer"""
    assert duckdb.sql(f"SELECT {agrees_sql()} FROM ({sql})").fetchall() == [(expected,)]
