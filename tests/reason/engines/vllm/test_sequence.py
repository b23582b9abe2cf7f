"""Courses as vLLM runs them: made again elsewhere, fed token by token, and never more than one of them lost."""

from __future__ import annotations

from collections import deque

import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.engines.vllm.sequence import TokenTable, begin, begin_packed, pack_course
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Token
from framegate.pipelines.reason.strategies.two_answers import TwoAnswerCourse
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Question
from tests.asking import make_clip

TOKENS = TokenTable(pieces=[b"", b"hm"], end_ids=frozenset({0}))


class OddCourse:
    """Writes on for ever; what is named in `broken` raises from the second token on."""

    def __init__(self, broken: str = "", *, is_over: bool = False) -> None:
        self.broken = broken
        self.tokens: list[int] = []
        self.starts_over = is_over

    def _give(self, name, value):
        if name == self.broken and self.tokens:
            raise ValueError(f"no {name} today")
        return value

    @property
    def forced(self):
        return self._give("forced", deque())

    @property
    def is_over(self):
        return self._give("is_over", self.starts_over)

    @property
    def is_thinking(self):
        return self._give("is_thinking", False)

    def start(self, encoded) -> None:
        pass

    def append(self, token) -> None:
        self.tokens.append(token.id)
        self._give("append", None)


@pytest.mark.parametrize("broken", ["append", "forced", "is_over", "is_thinking"])
def test_whatever_a_course_raises_ends_its_ask_alone(broken):
    running = begin(lambda: OddCourse(broken), {}, 9)
    running.feed(TOKENS.make_token(1, -0.1))
    assert str(running.error) == f"no {broken} today"
    assert (running.is_over, running.forced_id) == (True, None)


def test_a_course_that_is_over_before_its_first_token_is_refused():
    with pytest.raises(EngineError, match="over before its first token"):
        begin(lambda: OddCourse(is_over=True), {}, 9)


def test_a_course_that_goes_on_beyond_its_budget_is_ended():
    running = begin(OddCourse, {}, 2)
    running.feed(TOKENS.make_token(1, -0.1))
    assert (running.error, running.is_over) == (None, False)
    running.feed(TOKENS.make_token(1, -0.1))
    assert str(running.error) == "the ask goes on beyond the 2 tokens of its budget"
    assert running.is_over


def test_a_course_that_is_packed_is_made_again_elsewhere():
    question = Question(id="q", text="Which?", type="choice", options=("red", "blue"))
    gated = Gated(threshold=0.3, max_answer_tokens=3, max_thinking_tokens=1)
    (ask,) = gated.begin(make_clip(), question)
    tokens = TokenTable(pieces=[b"", b"\\boxed{B}", b"hm", b"</think>", b"\\boxed{"], end_ids=frozenset({0}))
    running = begin_packed(pack_course(ask.make_course, {FORCED_CLOSING: [3, 4]}, 9))
    assert isinstance(running.course, TwoAnswerCourse)
    assert running.course.question == question
    running.feed(tokens.make_token(1, -2.0))
    assert running.course.verdict is not None
    assert (running.course.verdict.reason, running.is_over, running.was_thinking) == ("unsure", False, False)
    running.feed(tokens.make_token(2, 1e-7))
    assert (list(running.course.forced), running.forced_id, running.was_thinking) == ([3, 4], 3, True)
    running.feed(tokens.make_token(3, -0.1))
    assert running.forced_id == 4


def test_a_token_that_ends_the_turn_writes_nothing_and_no_probability_is_above_one():
    tokens = TokenTable(pieces=[b"x", b"y"], end_ids=frozenset({0}))
    assert tokens.make_token(0, 1e-7) == Token(0, b"", 0.0, ends_turn=True)
    assert tokens.make_token(1, -0.5) == Token(1, b"y", -0.5)
