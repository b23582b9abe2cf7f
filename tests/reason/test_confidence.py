"""How sure an answer is, from the probabilities of its tokens."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.confidence import measure_confidence


def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities():
    assert measure_confidence([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=20))
def test_confidence_lies_between_the_least_and_the_most_probable_token(logprobs):
    confidence = measure_confidence(logprobs)
    assert math.exp(min(logprobs)) * (1 - 1e-9) <= confidence <= math.exp(max(logprobs)) * (1 + 1e-9)


def test_no_tokens_have_no_confidence():
    with pytest.raises(ValueError, match="at least one"):
        measure_confidence([])
