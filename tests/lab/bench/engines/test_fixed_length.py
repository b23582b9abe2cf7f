"""Answers of fixed length: what lets random weights stand for a model, with the real gate in between."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.lab.bench.engines.fixed_length import FixedLength, make_fixed_length, read_token_ids
from framegate.pipelines.reason.strategies.protocol import FinishedAsk, Token
from framegate.schemas.qa import Answer, Question
from tests.asking import make_clip


def write(strategy: FixedLength, logprobs: list[float]) -> Answer:
    """As an engine does: until it is over. Every token looks like a box or the end of a turn."""
    (ask,) = strategy.begin(make_clip(), Question(id="q", text="What?"))
    course = ask.make_course()
    course.start({})
    for number, logprob in enumerate(logprobs):
        assert not course.forced
        assert number < ask.budget.num_tokens
        course.append(Token(number, b"\\boxed{a}", logprob, ends_turn=number % 2 == 0))
        if course.is_over:
            break
    return strategy.after([FinishedAsk(ask=ask, course=course)], num_open=0)


@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.floats(0, 1),
    st.lists(st.floats(-8, 0), min_size=12, max_size=12),
    st.sampled_from(["direct", "gated", "always_think"]),
)
def test_lengths_are_those_that_were_asked_whatever_is_written(
    num_answer: int, num_thinking: int, threshold: float, firsts: list[float], strategy: str
) -> None:
    fixed_length = make_fixed_length(
        strategy, threshold, num_answer_tokens=num_answer, num_thinking_tokens=num_thinking
    )
    logprobs = firsts[:num_answer] + [-1.0] * 60
    answer = write(fixed_length, logprobs)
    confidence = math.exp(math.fsum(firsts[:num_answer]) / num_answer)
    thinks = {"direct": False, "always_think": True, "gated": confidence < threshold}[strategy]
    assert answer.verdict.confidence == confidence
    assert answer.verdict.route == ("think" if thinks else "exit")
    assert answer.num_answer_tokens == num_answer
    assert answer.num_thinking_tokens == (num_thinking if thinks else 0)
    assert read_token_ids(answer) == list(range(num_answer + (num_thinking if thinks else 0)))
