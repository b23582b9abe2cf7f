"""What stands in a box becomes an answer of the question's type, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.answers import ParsedAnswer, answer_region, parse_answer
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
        ("B", "a blue crate"),
        ("(B)", "a blue crate"),
        ("B.", "a blue crate"),
        ("b)", "a blue crate"),
        (" B: a blue crate", "a blue crate"),
        ("(B) a blue crate", "a blue crate"),
        ("\\text{B}", "a blue crate"),
        ("a blue crate", "a blue crate"),
        ("A Blue Crate.", "a blue crate"),
        ("D", None),
        ("(Z) something", None),
        ("a green crate", None),
        ("", None),
    ],
)
def test_a_choice_is_read_from_its_letter_or_its_text(content, expected):
    assert read(content, CHOICE) == expected


def test_an_answer_has_a_type_of_its_own():
    choice = parse_answer("(c)", CHOICE, clip_start_seconds=0.0)
    assert choice == ParsedAnswer(value="none", letter="C")
    assert parse_answer("No.", YES_NO, clip_start_seconds=0.0) == ParsedAnswer(value="no", is_yes=False)
    assert parse_answer("1,250.50 kg", NUMBER, clip_start_seconds=0.0) == ParsedAnswer(value="1250.5", number=1250.5)
    assert parse_answer("a dog", TEXT, clip_start_seconds=0.0) == ParsedAnswer(value="a dog")


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
        ("about 3", "3"),
        ("~3", "3"),
        ("at least 3", "3"),
        ("3 cars", "3"),
        ("45km/h", "45"),
        ("12 kg", "12"),
        ("2m", "2"),
        ("40%", "40"),
        ("-5\u00b0C", "-5"),
        ("\u20ac20", "20"),
        ("None", "0"),
        ("nothing.", "0"),
        ("nobody", "0"),
        ("no idea", None),
        ("none or one", "1"),
        ("3-5", None),
        ("3 to 5", None),
        ("between 3 and 5", None),
        ("3,5", None),
        ("1/2", None),
        ("3rd", None),
        ("MP4", None),
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
        ("0:01 to 0:04.25", "[31, 34.25]"),
        ("2s, 3s", "[32, 33]"),
        ("4", None),
        ("[a, b]", None),
        ("[-1, 2]", None),
    ],
)
def test_a_span_of_the_clip_becomes_seconds_of_the_video(content, expected):
    parsed = parse_answer(content, SPAN, clip_start_seconds=30.0, clip_seconds=5.0)
    assert (parsed and parsed.value) == expected
    if parsed is not None:
        start_seconds, end_seconds = parsed.span_seconds
        assert 30 <= start_seconds < end_seconds
        assert parsed.is_in_range


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[4, 1]", None),
        ("[2, 2]", None),
        ("[5.2, 7]", None),
        ("[0, 6]", None),
        ("[5, 5.4]", None),
        ("[31, 33]", None),  # seconds of the video in place of those of the clip
        ("[4, 5.4]", "[34, 35]"),  # the clip's end, rounded up
        ("[0, 5]", "[30, 35]"),
    ],
)
def test_a_span_outside_its_clip_is_out_of_range(content, expected):
    parsed = parse_answer(content, SPAN, clip_start_seconds=30.0, clip_seconds=5.0)
    assert parsed.is_in_range == (expected is not None)
    if expected:
        assert parsed.value == expected


def test_text_keeps_its_words():
    assert read("  a  red\ncrate ", TEXT) == "a red crate"
    assert read("   ", TEXT) is None


@given(st.text(max_size=40), st.sampled_from([CHOICE, YES_NO, NUMBER, TEXT, SPAN]))
def test_no_content_breaks_the_reader_and_its_result_is_of_the_type(content, question):
    parsed = parse_answer(content, question, clip_start_seconds=0.0)
    if parsed is None:
        return
    if question is CHOICE:
        assert parsed.letter in ("A", "B", "C")
        assert parsed.value == CHOICE.options["ABC".index(parsed.letter)]
    if question is YES_NO:
        assert parsed.value == ("yes" if parsed.is_yes else "no")
    if question is NUMBER:
        assert float(parsed.value) == parsed.number
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
