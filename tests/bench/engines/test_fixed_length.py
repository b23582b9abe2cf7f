"""Answers of fixed length: what lets random weights stand for a model, with the real gate in between."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bench.engines.run import choose_threshold
from pipelines.bench.engines.sequence import FixedLengthSequence, read_token_ids
from pipelines.reason.sequence import Token
from schemas.config import GateConfig
from schemas.qa import Question


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


@given(st.sets(st.floats(0.001, 0.999), min_size=1, max_size=50), st.floats(0, 1))
def test_a_threshold_makes_the_wanted_share_think(confidences: set[float], think_rate: float) -> None:
    threshold = choose_threshold(list(confidences), think_rate)
    num_thinking = sum(confidence < threshold for confidence in confidences)
    ordered = sorted(confidences)
    wanted = round(think_rate * len(ordered))
    assert num_thinking == wanted or ordered[wanted - 1] == threshold  # neighbours too close for a number in between
    assert 0 <= threshold <= 1


@pytest.mark.parametrize(("rate", "threshold"), [(0.0, 0.0), (0.5, 0.5), (0.25, 0.3), (1.0, 1.0)])
def test_a_threshold_stands_between_two_of_the_measured(rate: float, threshold: float) -> None:
    assert choose_threshold([0.8, 0.2, 0.4, 0.6], rate) == pytest.approx(threshold)
