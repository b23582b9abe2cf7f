"""Attacks by the words of questions: those that look the same, and those of which nothing is seen."""

from __future__ import annotations

from typing import Any

import pytest

from framegate.schemas.job import parse_questions
from tests.security.job_attacks import refused

TWINS: list[Any] = [
    pytest.param("open", "open ", "'open '", id="trailing-space"),
    pytest.param("open", " open", "' open'", id="leading-space"),
    pytest.param("open door", "open  door", "'open  door'", id="two-spaces"),
    pytest.param("open door", "open\u00a0door", "\\xa0", id="no-break-space"),
    pytest.param("open door", "open\tdoor", "\\t", id="tab"),
    pytest.param("open", "open\u200b", "\\u200b", id="zero-width-space"),
    pytest.param("open", "op\u200den", "\\u200d", id="zero-width-joiner"),
    pytest.param("open", "\ufeffopen", "\\ufeff", id="byte-order-mark"),
    pytest.param("open", "op\u00aden", "\\xad", id="soft-hyphen"),
    pytest.param("open", "op\u202een", "\\u202e", id="bidi-override"),
    pytest.param("open", "open\ufe0f", "\\ufe0f", id="variation-selector"),
    pytest.param("open", "op\u034fen", "\\u034f", id="grapheme-joiner"),
    pytest.param("caf\u00e9", "cafe\u0301", "e\\u0301", id="composed-and-decomposed"),
    pytest.param("open", "ｏｐｅｎ", "\\uff4f", id="full-width"),
    pytest.param("fine", "\ufb01ne", "\\ufb01", id="ligature"),
    pytest.param("1", "\u2460", "\\u2460", id="number-in-a-circle"),
    pytest.param("open", "open\u2800", "\\u2800", id="braille-blank-behind"),
    pytest.param("open door", "open\u2800door", "\\u2800", id="braille-blank-for-a-space"),
    pytest.param("open", "op\u2065en", "\\u2065", id="ignorable-without-a-meaning-yet"),
    pytest.param("open", "op\ufff0en", "\\ufff0", id="ignorable-of-the-specials"),
    pytest.param("open", "open\U000e0fff", "\\U000e0fff", id="ignorable-of-the-tags"),
    pytest.param("open", "open\x7f", "\\x7f", id="delete"),
]


@pytest.mark.parametrize(("one", "other", "shown"), TWINS)
@pytest.mark.parametrize("kind", ["options", "ids"])
def test_twins_are_refused_and_what_is_not_seen_is_shown(kind: str, one: str, other: str, shown: str) -> None:
    if kind == "options":
        bank = [{"id": "q", "text": "Which?", "type": "choice", "options": [one, other]}]
    else:
        bank = [{"id": id, "text": f"Is it {n}?", "type": "yes_no"} for n, id in enumerate((one, other))]
    sentence = refused(lambda: parse_questions(bank), "differ only in white space")
    assert shown in sentence


@pytest.mark.parametrize(
    ("one", "other"), [("open", "Open"), ("a", "\u0430"), ("no where", "nowhere"), ("1 0", "10"), ("\u7ea2", "\u7eff")]
)
def test_texts_that_can_be_told_apart_are_no_twins(one: str, other: str) -> None:
    [question] = parse_questions([{"id": "q", "text": "Which?", "type": "choice", "options": [one, other]}])
    assert question.options == (one, other)


@pytest.mark.parametrize("nothing", ["\u200b", "\u2800", "\ufeff \u2060", "\u3164"], ids=ascii)
@pytest.mark.parametrize("key", ["id", "text", "options"])
def test_words_of_which_nothing_is_seen_are_refused(key: str, nothing: str) -> None:
    question: dict[str, Any] = {"id": "q", "text": "Which?", "type": "choice", "options": ["a", "b"]}
    question[key] = ["a", nothing] if key == "options" else nothing
    refused(lambda: parse_questions([question]), ("must be a word", "must be the question's words", "must be text"))


def test_questions_whose_words_look_the_same_are_refused() -> None:
    bank = [{"id": f"q{n}", "text": text} for n, text in enumerate(("What is here?", "What is\u200b here?"))]
    refused(lambda: parse_questions(bank), "'q0' and 'q1' ask the same")


def test_a_name_in_an_error_is_short() -> None:
    twice = [{"id": "i" * 100_000, "text": text} for text in ("One?", "Two?")]
    refused(lambda: parse_questions(twice), "stands twice")
    same = [{"id": id * 100_000, "text": "One?"} for id in "ab"]
    refused(lambda: parse_questions(same), "ask the same")
