"""Prefills over slots equal plain attention, row by row, whoever shares a pass with whom."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.prefill import PrefixPass, SuffixPass
from tests.reason.engines.own.plain_attention import (
    HEAD_SIZE,
    HEADS,
    LAYER,
    SCALING,
    assert_same,
    attend_in_slots,
    attend_plainly,
    copies,
    draw,
    fill,
    make_stores,
)


@settings(max_examples=30, deadline=None)
@given(
    heads=HEADS,
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    first_slot=st.integers(0, 3),
    at_once=st.booleans(),
    seed=st.integers(0, 99),
)
def test_prefixes_see_themselves_causally_and_are_kept(heads, lengths, first_slot, at_once, seed):
    """`at_once`: by torch's own attention, as where that is quicker."""
    torch.manual_seed(seed)
    (num_heads, num_kv_heads), total = heads, sum(lengths)
    store, _ = make_stores(num_kv_heads)
    store.reserve(first_slot + len(lengths), max(lengths))
    query, key, value = draw(num_heads, total, 8), draw(num_kv_heads, total, 8), draw(num_kv_heads, total, 8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("framegate.pipelines.reason.engines.own.prefill.attends_at_once", lambda like: at_once)
        output = PrefixPass(store, first_slot, lengths).attend(
            LAYER, *(each.transpose(0, 1) for each in (query, key, value)), SCALING
        )
    assert output.shape == (total, num_heads, HEAD_SIZE)
    start = 0
    for slot, length in enumerate(lengths, start=first_slot):
        places = slice(start, start + length)
        expected = attend_plainly(query[:, places], key[:, places], value[:, places])
        torch.testing.assert_close(output[places], expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(store.keys[LAYER][slot, :, :, :length].transpose(1, 2), key[:, places])
        assert torch.equal(store.values[LAYER][slot, :, :length], value[:, places])
        assert not store.keys[LAYER][slot, :, :, length:].any()
        start += length
    assert not store.keys[LAYER][:first_slot].any()
    assert not store.keys[0].any()


@settings(max_examples=60, deadline=None)
@given(
    heads=HEADS,
    lengths=st.lists(st.integers(1, 140), min_size=1, max_size=4),
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=10),
    first_row=st.sampled_from([0, 3]),
    part_tokens=st.sampled_from([1, 8, 256]),
    at_once=st.booleans(),
    seed=st.integers(0, 99),
)
def test_words_of_questions_see_their_clip_and_their_own_row(
    heads, lengths, rows, first_row, part_tokens, at_once, seed
):
    """Rows are (clip, number of tokens), clips in any order: several parts of one clip, and one row with many.
    `at_once`: by torch's own attention, as where that is quicker."""
    torch.manual_seed(seed)
    num_heads, num_kv_heads = heads
    clip_slots = [clip % len(lengths) for clip, _ in rows]
    num_new = [count for _, count in rows]
    clips, own = make_stores(num_kv_heads)
    clips.reserve(len(lengths), max(lengths))
    own.reserve(first_row + len(rows), max(num_new))
    fill(clips, own)
    before_clips, before = copies(clips), copies(own)
    total = sum(num_new)
    query, key, value = draw(num_heads, total, 8), draw(num_kv_heads, total, 8), draw(num_kv_heads, total, 8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("framegate.pipelines.reason.engines.own.prefill._PART_TOKENS", part_tokens)
        suffix_pass = SuffixPass(
            clips, own, first_row=first_row, num_new=num_new, clip_slots=clip_slots, prefix_tokens=lengths
        )
        patched.setattr("framegate.pipelines.reason.engines.own.prefill.attends_at_once", lambda like: at_once)
        output = suffix_pass.attend(LAYER, *(each.transpose(0, 1) for each in (query, key, value)), SCALING)
    assert output.shape == (total, num_heads, HEAD_SIZE)
    start = 0
    for place, (clip, count) in enumerate(zip(clip_slots, num_new, strict=True)):
        tokens = slice(start, start + count)
        expected = attend_in_slots(
            clips,
            before,
            slot=first_row + place,
            clip_slot=clip,
            num_prefix=lengths[clip],
            num_own=0,
            query=query[:, tokens],
            key=key[:, tokens],
            value=value[:, tokens],
        )
        torch.testing.assert_close(output[tokens], expected, rtol=1e-4, atol=1e-5)
        start += count
    assert_same(own, before)  # with the new tokens, and nothing else was touched
    assert_same(clips, before_clips)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_overflows_in_one_question_is_nothing_to_its_neighbour(dtype):
    """Two questions of a clip run together; the second one's scores of the first one's keys are beyond float16."""
    torch.manual_seed(0)
    clips, own = make_stores(1, dtype)
    clips.reserve(1, 16)
    own.reserve(2, 3)
    fill(clips, own)
    query, key, value = (draw(6, num_heads, HEAD_SIZE).to(dtype) for num_heads in (2, 1, 1))
    suffix_pass = SuffixPass(clips, own, first_row=0, num_new=[3, 3], clip_slots=[0, 0], prefix_tokens=[16])
    expected = suffix_pass.attend(LAYER, query, key, value, SCALING)[3:]
    query[3:], key[:3] = query[3:] * 100, 1000.0
    wide = suffix_pass.attend(LAYER, query, key, value, SCALING)[3:]
    assert wide.isfinite().all()
    key[:3] = 0.0
    assert torch.equal(suffix_pass.attend(LAYER, query, key, value, SCALING)[3:], wide)
    assert not torch.equal(wide, expected)
