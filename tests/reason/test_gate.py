"""The gate and the strategies, as tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.strategies.choose import STRATEGIES, choose_strategy
from framegate.pipelines.reason.strategies.gate import judge, measure_confidence
from framegate.schemas.qa import Verdict


@pytest.mark.parametrize(
    ("first", "confidence", "route", "reason"),
    [
        ("box", 1.0, "exit", "confident"),
        ("box", 0.97, "exit", "confident"),
        ("box", 0.9699, "think", "unsure"),
        ("box", 0.0, "think", "unsure"),
        ("empty_box", None, "think", "empty_box"),
        ("no_box", None, "think", "no_box"),
        ("fallback", None, "think", "fallback"),
    ],
)
def test_the_gate_table(first, confidence, route, reason):
    assert judge(first, confidence, 0.97) == Verdict(route=route, reason=reason, confidence=confidence)


@pytest.mark.parametrize(("first", "confidence"), [("box", None), ("no_box", 0.5), ("fallback", 1.0)])
def test_a_confidence_goes_with_a_box_and_with_nothing_else(first, confidence):
    with pytest.raises(ValueError, match="confidence"):
        judge(first, confidence, 0.97)


@pytest.mark.parametrize(
    ("strategy", "think", "confidence", "route", "reason"),
    [
        ("direct", "auto", 0.1, "exit", "never"),
        ("always_think", "auto", 0.99, "think", "always"),
        ("gated", "auto", 0.99, "exit", "confident"),
        ("gated", "auto", 0.1, "think", "unsure"),
        ("gated", "never", 0.1, "exit", "never"),
        ("gated", "always", 0.99, "think", "always"),
        ("direct", "always", 0.99, "think", "always"),
        ("always_think", "never", 0.1, "exit", "never"),
    ],
)
def test_a_questions_own_wish_wins_over_the_jobs_strategy(strategy, think, confidence, route, reason):
    decide = choose_strategy(strategy, think)
    assert decide("box", confidence, 0.97) == Verdict(route=route, reason=reason, confidence=confidence)


@pytest.mark.parametrize("first", ["empty_box", "no_box", "fallback"])
def test_every_strategy_has_a_verdict_where_there_is_nothing_to_measure(first):
    for decide in STRATEGIES.values():
        assert decide(first, None, 0.97).confidence is None


def test_an_unknown_strategy_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'maybe', known: direct, always_think, gated"):
        choose_strategy("maybe", "auto")


def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities():
    assert measure_confidence([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=20))
def test_confidence_lies_between_the_least_and_the_most_probable_token(logprobs):
    confidence = measure_confidence(logprobs)
    assert math.exp(min(logprobs)) * (1 - 1e-9) <= confidence <= math.exp(max(logprobs)) * (1 + 1e-9)


def test_no_tokens_have_no_confidence():
    with pytest.raises(ValueError, match="at least one"):
        measure_confidence([])
