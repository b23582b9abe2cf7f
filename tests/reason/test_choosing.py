"""The next token of each row: the likeliest or the forced one, with its log-probability under the raw logits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.sampler import Chooser

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 20), st.sampled_from([7, 300])), min_size=1, max_size=4),
    is_rounded=st.booleans(),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_each_row_gets_its_token_whatever_the_steps_before_it_were(steps, is_rounded, seed, data):
    torch.manual_seed(seed)
    chooser = Chooser(CPU)
    for num_rows, num_tokens in steps:
        logits = 5 * torch.randn(num_rows, num_tokens)
        logits = logits.bfloat16() if is_rounded else logits
        forced = data.draw(
            st.lists(st.none() | st.integers(0, num_tokens - 1), min_size=num_rows, max_size=num_rows), "forced"
        )
        expected = logits.double().log_softmax(dim=-1)
        for row, one in enumerate(chooser.choose(logits, forced)):
            wanted = forced[row]
            assert one.token_id == (int(logits[row].float().argmax()) if wanted is None else wanted)
            assert one.logprob == pytest.approx(float(expected[row, one.token_id]), abs=1e-4)
            assert one.logprob <= 0


def test_a_row_that_overflowed_says_so_and_its_neighbour_does_not():
    logits = torch.randn(2, 50)
    logits[0, 3] = torch.nan
    spoilt, good = Chooser(CPU).choose(logits, [None, None])
    assert math.isnan(spoilt.logprob)
    assert math.isfinite(good.logprob)
