"""What stands in a box becomes an answer of the question's type, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.answers import answer_region, parse_answer
from framegate.schemas.qa import Question

CHOICE = Question(id="c", text="Which?", type="choice", options=("a red crate", "a blue crate", "none"))
YES_NO = Question(id="y", text="Did it?", type="yes_no")
NUMBER = Question(id="n", text="How many?", type="number")
TEXT = Question(id="t", text="What?", type="text")
SPAN = Question(id="s", text="When?", type="span")


def read(content: str, question: Question, clip_start_seconds: float = 0.0) -> str | None:
    parsed = parse_answer(content, question, clip_start_seconds=clip_start_seconds)
    return None if parsed is None else parsed.value


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("b)", "B"),
        (" B: a blue crate", "B"),
        ("(B) a blue crate", "B"),
        ("\\text{B}", "B"),
        ("a blue crate", "B"),
        ("A Blue Crate.", "B"),
        ("D", None),
        ("(Z) something", None),
        ("a green crate", None),
        ("", None),
    ],
)
def test_a_choice_is_read_from_its_letter_or_its_text(content, expected):
    assert read(content, CHOICE) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        ("Yes, it did", "yes"),
        ("yes or no", None),
        ("not sure", None),
        ("unknown", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_yes_and_no_are_read_and_nothing_else_is_ever_no(content, expected):
    assert read(content, YES_NO) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("3", "3"),
        ("3.0", "3"),
        ("-2.50", "-2.5"),
        ("-0", "0"),
        ("1,234", "1234"),
        ("007", "7"),
        ("about 12 times", "12"),
        ("three", "3"),
        ("3 or 4", None),
        ("many", None),
        ("x3", None),
    ],
)
def test_a_number_is_read_where_there_is_exactly_one(content, expected):
    assert read(content, NUMBER) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[1.5, 4]", "[31.5, 34]"),
        ("1.5 - 4", "[31.5, 34]"),
        ("(0, 0)", "[30, 30]"),
        ("0:01 to 0:04.25", "[31, 34.25]"),
        ("2s, 3s", "[32, 33]"),
        ("[4, 1]", None),
        ("4", None),
        ("[a, b]", None),
        ("[-1, 2]", None),
    ],
)
def test_a_span_of_the_clip_becomes_seconds_of_the_video(content, expected):
    parsed = parse_answer(content, SPAN, clip_start_seconds=30.0)
    assert (parsed and parsed.value) == expected
    if parsed is not None:
        start_seconds, end_seconds = parsed.span_seconds
        assert 30 <= start_seconds <= end_seconds


def test_text_keeps_its_words():
    assert read("  a  red\ncrate ", TEXT) == "a red crate"
    assert read("   ", TEXT) is None


@given(st.text(max_size=40), st.sampled_from([CHOICE, YES_NO, NUMBER, TEXT, SPAN]))
def test_no_content_breaks_the_reader_and_its_result_is_of_the_type(content, question):
    parsed = parse_answer(content, question, clip_start_seconds=0.0)
    if parsed is None:
        return
    if question is CHOICE:
        assert parsed.value in ("A", "B", "C")
    if question is YES_NO:
        assert parsed.value in ("yes", "no")
    if question is NUMBER:
        float(parsed.value)
    assert (parsed.span_seconds is not None) == (question is SPAN)


@given(st.integers(-(10**9), 10**9), st.integers(0, 999))
def test_a_number_keeps_its_value(whole, thousandths):
    text = f"{whole}.{thousandths:03d}"
    assert float(read(text, NUMBER)) == float(text)


@pytest.mark.parametrize(
    ("content", "region"),
    [("B", "B"), ("(B) a blue crate", "B"), ("B. a blue crate", "B"), (" B ", "B"), ("a blue crate", "a blue crate")],
)
def test_the_gate_measures_a_choice_by_its_letter(content, region):
    start, end = answer_region(content, CHOICE)
    assert content[start:end] == region


def test_the_gate_measures_other_types_by_the_whole_content():
    assert answer_region("(B) two words", TEXT) == (0, len("(B) two words"))
