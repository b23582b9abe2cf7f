"""What a row of vLLM's batch is drawn by: one number for each token of the model's choice."""

from __future__ import annotations

import random
from functools import partial

from framegate.pipelines.reason.engines.vllm.sequence import begin, begin_packed, pack_course
from framegate.pipelines.reason.strategies.protocol import Sampling, Token
from tests.reason.engines.own.asks import Written

SAMPLING = Sampling(temperature=0.7, top_p=0.9, seed=7)


def test_a_number_is_kept_until_its_token_counts_and_forced_tokens_take_none() -> None:
    running = begin(partial(Written, 4, opening="say"), {"say": [5, 6]}, 8, SAMPLING)
    chance = random.Random(7)
    for _ in range(2):
        assert running.next_number() is None, "forced"
        running.feed(Token(5, b"", 0.0))
    for _ in range(2):
        expected = chance.random()
        assert [running.next_number() for _ in range(3)] == [expected] * 3, "a prompt that is read in parts"
        running.feed(Token(1, b"", 0.0))
    assert running.is_over
    assert running.next_number() is None


def test_what_is_not_sampled_takes_none_and_a_packed_course_is_sampled_alike() -> None:
    assert begin(partial(Written, 4), {}, 8).next_number() is None
    packed = begin_packed(pack_course(partial(Written, 4), {}, 8, SAMPLING))
    assert (packed.sampling, packed.next_number()) == (SAMPLING, random.Random(7).random())
