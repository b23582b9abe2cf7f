"""Thoughts in chunks: what is carried over, what is counted, and that chunks change nothing of what is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.strategies.bounded_thinking import MAX_OPENING_TOKENS
from framegate.pipelines.reason.strategies.protocol import TokenBudget
from tests.asking import YES_NO
from tests.reason.strategies.chunk_course import FIRST, Course, bounded, gate_of, same, tokens_of


def test_a_thought_that_ends_in_its_first_chunk_is_the_gates() -> None:
    written = tokens_of(*FIRST, "<think>", "hm", "</think>", "\\boxed{no}")
    one = Course(bounded(), written)
    assert same(one.answer, Course(gate_of(bounded()), written).answer)
    assert (one.answer.num_chunks, len(one.asks), one.answer.answer) == (1, 1, "no")
    assert (one.asks[0].carried, one.asks[0].label) == ((), "")


def test_a_chunk_begins_with_the_first_answer_the_opening_and_the_last_tokens_of_the_one_before() -> None:
    written = tokens_of(*FIRST, "\n", "<think>", *"abcdefgh", "</think>", "\\boxed{no}")
    found = Course(bounded(), written)
    ids = [token.id for token in written]
    assert found.num_written == [3 + 4, 4, 4]
    first, second, third = found.asks
    assert second.carried == tuple(ids[:5] + ids[5:7])  # the first chunk is \n <think> a b
    assert third.carried == tuple(ids[:5] + ids[9:11])
    assert (second.clip, second.suffix, second.frames) == (first.clip, first.suffix, first.frames)
    assert [ask.label for ask in found.asks] == ["", "chunk 2", "chunk 3"]
    assert (found.answer.thinking_text, found.answer.answer, found.answer.num_chunks) == ("abcdefgh", "no", 3)
    assert found.answer.num_thinking_tokens == 12
    assert found.token_ids == ids


def test_a_thought_without_an_opening_carries_its_end_alone() -> None:
    written = tokens_of(*FIRST, *"abcdefgh", "\\boxed{no}")
    assert Course(bounded(), written).asks[1].carried == (10, 11, 12, 15, 16)


def test_an_opening_far_off_is_none() -> None:
    blank = [" "] * MAX_OPENING_TOKENS
    strategy = bounded(chunk=40, carry=2, thinking=100)
    far = Course(strategy, tokens_of(*FIRST, *blank, "<think>", *["a"] * 40))
    assert far.asks[1].carried == (10, 11, 12, 51, 52)
    near = Course(strategy, tokens_of(*FIRST, *blank[1:], "<think>", *["a"] * 40))
    assert near.asks[1].carried == (*range(10, 13 + MAX_OPENING_TOKENS), 51, 52)


def test_where_nothing_is_forgotten_the_context_is_that_of_plain_thinking() -> None:
    """Two tokens of opening and three carried ones are more than a chunk: each stands there once."""
    written = tokens_of(*FIRST, "\n", "<think>", "a", "b", "c", "</think>", "\\boxed{no}")
    second = Course(bounded(carry=3), written).asks[1]
    assert second.carried == tuple(token.id for token in written[:7])


@pytest.mark.parametrize(
    "pieces",
    [
        (*"abc", b"\xc3", b"\xa9", *"d", "\\boxed{no}"),
        (*"ab", "\\boxed{", "n", "o", "}"),
        (*"abc", "\\boxe", "d{", "no", "}"),
        (*"abc", "</thi", "nk>", "\\boxed{no}"),
        (*"abcd", "\\boxed{\\text{n", "o", "}", "}"),
    ],
    ids=["in a character", "in a box", "in an opening", "in a closing", "in a nested box"],
)
def test_what_lies_across_the_end_of_a_chunk_is_read_as_one(pieces: Sequence[bytes | str]) -> None:
    written = tokens_of(*FIRST, *pieces)
    found, plain = Course(bounded(), written), Course(gate_of(bounded()), written)
    assert found.answer.num_chunks == 2
    assert found.answer.answer == "no"
    assert same(found.answer, plain.answer)
    carried = found.asks[1].carried
    assert carried == tuple(token.id for token in (*written[:3], *written[5:7])), "verbatim, a half box among them"


def test_a_turn_that_ends_within_a_later_chunk_is_the_end() -> None:
    found = Course(bounded(), tokens_of(*FIRST, *"abcdef"))
    assert (found.answer.finish_reason, found.answer.answer, found.answer.num_chunks) == ("ended", "yes", 2)
    assert found.answer.num_thinking_tokens == 7


@pytest.mark.parametrize("thinking", [4, 7, 8, 9, 12])
def test_the_closing_is_forced_where_the_tokens_of_all_chunks_are_spent(thinking: int) -> None:
    strategy = bounded(thinking=thinking)
    written = tokens_of(*FIRST, *["a"] * thinking, "no", "}")
    found = Course(strategy, written)
    num_chunks = -(-thinking // 4)
    assert (found.answer.finish_reason, found.answer.answer) == ("thinking_budget", "no")
    assert (found.answer.num_chunks, len(found.asks)) == (num_chunks, num_chunks), "no chunk is begun for the closing"
    assert found.answer.num_thinking_tokens == thinking + 1 + 2
    assert same(found.answer, Course(gate_of(strategy), written).answer)


def test_budgets_are_one_for_each_chunk_and_bound_the_context_of_each() -> None:
    strategy = bounded(chunk=100, carry=40, thinking=250, answer=16)
    closing, kept = (FORCED_CLOSING,), 16 + MAX_OPENING_TOKENS + 40
    assert strategy.budgets(YES_NO) == [
        TokenBudget(num_tokens=16 + 100),
        TokenBudget(num_tokens=100, num_carried=kept),
        TokenBudget(num_tokens=50 + 16, forced_texts=closing, num_carried=kept),
    ]
    [plain] = gate_of(strategy).budgets(YES_NO)
    assert sum(budget.num_tokens for budget in strategy.budgets(YES_NO)) == plain.num_tokens
    assert bounded(chunk=250, thinking=250).budgets(YES_NO) == gate_of(bounded(thinking=250)).budgets(YES_NO)
    never = replace(YES_NO, think="never")
    assert strategy.budgets(never) == gate_of(strategy).budgets(never) == [TokenBudget(num_tokens=16)]
    assert replace(strategy, defers=True).budgets(YES_NO) == [TokenBudget(num_tokens=16)]


PIECES = st.lists(
    st.sampled_from(
        [
            *(b"<think>", b"</think>", b"</th", b"ink>", b"\\boxed{", b"\\box", b"ed{", b"yes", b"no", b"{", b"}"),
            *(b"\xc3", b"\xa9", b" ", b"\n", b"Let's analyze", b"hm", b""),
        ]
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(
    first=st.sampled_from([(b"\\boxed{yes}",), (b"\\boxed{", b"no", b"}"), (b"\\boxed{}",), ()]),
    pieces=PIECES,
    chunk=st.integers(2, 45),
    carry=st.integers(1, 44),
    thinking=st.integers(1, 45),
    answer=st.integers(1, 6),
)
def test_chunks_of_any_size_change_nothing_of_what_is_read(first, pieces, chunk, carry, thinking, answer) -> None:
    """Of a text that does not depend on its context."""
    strategy = bounded(chunk=chunk, carry=min(carry, chunk - 1), thinking=thinking, answer=answer)
    written = tokens_of(*first, *pieces)
    found, plain = Course(strategy, written), Course(gate_of(strategy), written)
    assert same(found.answer, plain.answer)
    assert found.token_ids == plain.token_ids
    assert sum(found.num_written) == len(found.token_ids), "each token is written and counted once"
    assert found.answer.num_chunks == (len(found.asks) if found.answer.thinking else None)
    budgets = strategy.budgets(YES_NO)
    assert len(found.asks) <= len(budgets)
    num_before = 0
    for ask, budget, num_written in zip(found.asks, budgets, found.num_written, strict=False):
        assert (ask.budget, len(ask.carried) <= budget.num_carried) == (budget, True)
        assert not ask.carried or ask.carried[-1] == found.token_ids[num_before - 1]
        num_before += num_written
        assert num_written <= answer + chunk + 1 + answer
