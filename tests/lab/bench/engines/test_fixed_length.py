"""Answers of fixed length: what lets random weights stand for a model, with the real gate in between."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.lab.bench.engines.sequence import FixedLengthSequence, read_token_ids
from framegate.pipelines.reason.strategies.sequence import Token
from framegate.schemas.config import GateConfig
from framegate.schemas.qa import Question


def write(gate: GateConfig, logprobs: list[float]) -> FixedLengthSequence:
    """As an engine does: until it is finished. Every token looks like a box or the end of a turn."""
    sequence = FixedLengthSequence(
        request_id="r", question=Question(id="q", text="What?"), clip_start_seconds=0.0, gate=gate, closing=(1, 2)
    )
    for number, logprob in enumerate(logprobs):
        assert not sequence.forced
        sequence.append(Token(number, b"\\boxed{a}", logprob, ends_turn=number % 2 == 0))
        if sequence.finish_reason is not None:
            break
    return sequence


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
    gate = GateConfig.model_validate(
        {
            "strategy": strategy,
            "threshold": threshold,
            "max_answer_tokens": num_answer,
            "max_thinking_tokens": num_thinking,
        }
    )
    logprobs = firsts[:num_answer] + [-1.0] * 60
    answer = write(gate, logprobs).to_answer()
    confidence = math.exp(math.fsum(firsts[:num_answer]) / num_answer)
    thinks = {"direct": False, "always_think": True, "gated": confidence < threshold}[strategy]
    assert answer.verdict.confidence == confidence
    assert answer.verdict.route == ("think" if thinks else "exit")
    assert answer.num_answer_tokens == num_answer
    assert answer.num_thinking_tokens == (num_thinking if thinks else 0)
    assert read_token_ids(answer) == list(range(num_answer + (num_thinking if thinks else 0)))
