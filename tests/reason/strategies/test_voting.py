"""Votes are counted by what was read, not by what was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from framegate.pipelines.reason.asking.answers import parse_answer
from framegate.pipelines.reason.strategies.voting import count_votes, make_seed
from framegate.schemas.qa import Answer, AnswerType, Question
from tests.units import make_answer


def read(question: Question, content: str) -> Answer:
    parsed = parse_answer(content, question, clip_start_seconds=100.0, clip_seconds=60.0)
    blank = replace(make_answer(question, is_parsed=False), answer_first=content)
    if parsed is None:
        return blank
    start, end = parsed.span_seconds or (None, None)
    return replace(
        blank,
        answer=parsed.value,
        answer_letter=parsed.letter,
        answer_number=parsed.number,
        answer_bool=parsed.is_yes,
        span_start_seconds=start,
        span_end_seconds=end,
    )


@pytest.mark.parametrize(
    ("type", "contents", "winner", "num_votes"),
    [
        ("choice", ["B", "A", "(A) red"], "A", 2),
        ("yes_no", ["no", "Yes.", "yes"], "Yes.", 2),
        ("number", ["4", "3", "three"], "3", 2),
        ("text", ["a  red car.", "blue", "A red car"], "a  red car.", 2),
        ("span", ["[0, 10]", "[20, 30]", "[21, 31]"], "[20, 30]", 2),
        ("span", ["[0, 10]", "[10, 20]", "[30, 40]"], "[0, 10]", 1),
        ("span", ["[0, 10]", "[4, 14]", "[7, 17]"], "[4, 14]", 2),  # 6 of 14 is below a half, 7 of 13 is not
        ("number", ["many", "some", "3"], "3", 1),
        ("number", ["2", "1", "3"], "2", 1),  # of equals the first
        ("number", ["many", "some"], "many", 0),
    ],
)
def test_most_win(type: AnswerType, contents: Sequence[str], winner: str, num_votes: int) -> None:
    question = Question(id="q", text="?", type=type, options=("red", "blue") if type == "choice" else ())
    votes = count_votes([read(question, content) for content in contents])
    assert (votes.winner.answer_first, votes.agreement) == (winner, num_votes / len(contents))


def test_seeds_depend_on_all_that_they_are_of() -> None:
    seeds = {
        make_seed(*each) for each in (("a", "h", "s", 0), ("b", "h", "s", 0), ("a", "i", "s", 0), ("a", "h", "t", 0))
    }
    seeds.add(make_seed("a", "h", "s", 1))
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
