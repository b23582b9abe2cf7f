"""The next token of each row: the likeliest or the forced one, with its log-probability under the raw logits."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.sampler import Draw, Sampler

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
    sampler = Sampler(CPU)
    for num_rows, num_tokens in steps:
        logits = 5 * torch.randn(num_rows, num_tokens)
        logits = logits.bfloat16() if is_rounded else logits
        forced = data.draw(
            st.lists(st.none() | st.integers(0, num_tokens - 1), min_size=num_rows, max_size=num_rows), "forced"
        )
        expected = logits.double().log_softmax(dim=-1)
        for row, one in enumerate(sampler.sample(logits, forced)):
            wanted = forced[row]
            assert one.id == (int(logits[row].float().argmax()) if wanted is None else wanted)
            assert one.logprob == pytest.approx(float(expected[row, one.id]), abs=1e-4)
            assert one.logprob <= 0


def test_a_row_that_overflowed_says_so_and_its_neighbour_does_not():
    logits = torch.randn(2, 50)
    logits[0, 3] = torch.nan
    spoilt, good = Sampler(CPU).sample(logits, [None, None])
    assert math.isnan(spoilt.logprob)
    assert math.isfinite(good.logprob)


@settings(max_examples=40, deadline=None)
@given(
    num_rows=st.integers(1, 20), num_tokens=st.sampled_from([2, 7, 300]), spread=st.sampled_from([0.0, 3.0, 200.0]),
    seed=st.integers(0, 99), data=st.data(),
)  # fmt: skip
def test_rows_are_told_their_own_entropy_and_margin(num_rows, num_tokens, spread, seed, data):
    """Also of tokens that are as probable as others, certain, or forced, and then less probable than another."""
    torch.manual_seed(seed)
    logits = spread * torch.randn(num_rows, num_tokens)
    places = sorted(data.draw(st.sets(st.integers(0, num_rows - 1)), "places"))
    forced = [data.draw(st.none() | st.integers(0, num_tokens - 1)) for _ in range(num_rows)]
    tokens = Sampler(CPU).sample(logits, forced, told_places=places)
    probabilities = logits.double().softmax(dim=-1)
    for row, token in enumerate(tokens):
        if row not in places:
            assert (token.entropy, token.margin) == (None, None)
            continue
        others = [float(p) for place, p in enumerate(probabilities[row]) if place != token.id]
        assert token.margin == pytest.approx(float(probabilities[row, token.id]) - max(others), abs=1e-5)
        assert token.entropy == pytest.approx(float(torch.special.entr(probabilities[row]).sum()), abs=1e-4)
        assert token.entropy >= 0
        assert -1 <= token.margin <= 1


def test_drawn_tokens_come_as_often_as_their_probability_says():
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0, 0.5]]).repeat(20, 1)
    for temperature in (0.5, 1.0, 2.0):
        chance, counts = random.Random(1), torch.zeros(5)
        for _ in range(100):
            draws = [Draw(place, temperature, 1.0, chance.random()) for place in range(20)]
            for token in Sampler(CPU).sample(logits, [None] * 20, draws):
                counts[token.id] += 1
        torch.testing.assert_close(counts / 2000, (logits[0] / temperature).softmax(dim=-1), rtol=0, atol=0.04)


@settings(max_examples=60, deadline=None)
@given(
    num_tokens=st.sampled_from([1, 5, 300, 1000]),
    top_p=st.floats(0.01, 1.0),
    number=st.floats(0, 1, exclude_max=True),
    spread=st.sampled_from([0.1, 5.0]),
    seed=st.integers(0, 99),
)
def test_only_the_most_probable_tokens_are_drawn(num_tokens, top_p, number, spread, seed):
    """The smallest set that has the probability `top_p`: without its last token it has less."""
    torch.manual_seed(seed)
    logits = spread * torch.randn(3, num_tokens)
    [_, token, _] = Sampler(CPU).sample(logits, [None] * 3, [Draw(1, 1.0, top_p, number)])
    probabilities = logits[1].double().softmax(dim=-1)
    more_probable = probabilities[probabilities > probabilities[token.id]].sum()
    assert more_probable < top_p + 1e-5
    assert token.logprob == pytest.approx(float(probabilities[token.id].log()), abs=1e-4)


def test_draws_are_those_of_the_cumulative_probability():
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().repeat(5, 1)
    numbers = [0.05, 0.15, 0.35, 0.65, 0.999999]
    draws = [Draw(place, 1.0, 1.0, number) for place, number in enumerate(numbers)]
    assert [token.id for token in Sampler(CPU).sample(logits, [None] * 5, draws)] == [0, 1, 2, 3, 3]
    draws = [draw._replace(top_p=0.6) for draw in draws]  # 3 and 2, with 4/7 and 3/7
    assert [token.id for token in Sampler(CPU).sample(logits, [None] * 5, draws)] == [3, 3, 3, 2, 2]


def test_draws_and_entropies_belong_to_their_rows_in_a_large_batch():
    torch.manual_seed(0)
    logits = torch.randn(21, 50)
    places = [1, 7, 8, 20]
    tokens = Sampler(CPU).sample(logits, [None] * 21, [Draw(8, 1.0, 1.0, 0.5), Draw(17, 1.0, 1.0, 0.5)], places)
    logprobs = logits.log_softmax(dim=-1)
    for place, token in enumerate(tokens):
        assert (token.entropy is not None) == (place in places)
        if token.entropy is not None:
            assert token.entropy == pytest.approx(float(-(logprobs[place].exp() * logprobs[place]).sum()), abs=1e-4)
        if place not in (8, 17):
            assert token.id == int(logits[place].argmax())


def test_a_forced_token_stands_above_a_draw():
    logits = torch.randn(2, 9)
    [first, _] = Sampler(CPU).sample(logits, [4, None], [Draw(0, 1.0, 1.0, 0.5)])
    assert first.id == 4


def test_a_token_without_probability_adds_nothing_to_the_entropy():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    [token] = Sampler(CPU).sample(logits, [None], [], [0])
    assert token.entropy == pytest.approx(math.log(2), abs=1e-6)
