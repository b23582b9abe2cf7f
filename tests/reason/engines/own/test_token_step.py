"""Token steps over slots equal plain attention, row by row, whoever asks about which clip."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.clip_groups import ClipGroups, StoreSize
from framegate.pipelines.reason.engines.own.token_step import RowGroup, StepPass
from tests.reason.engines.own.plain_attention import (
    CPU,
    HEAD_SIZE,
    HEADS,
    LAYER,
    SCALING,
    assert_same,
    attend_in_slots,
    copies,
    draw,
    fill,
    make_stores,
)


@settings(max_examples=80, deadline=None)
@given(
    heads=HEADS,
    lengths=st.lists(st.integers(1, 140), min_size=1, max_size=5),
    thinking=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 150)), max_size=6),
    answering=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), min_size=1, max_size=8),
    is_rounded=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_new_token_sees_its_clip_and_its_own_row(heads, lengths, thinking, answering, is_rounded, seed):
    """Rows are (clip, tokens of their own). `is_rounded`: in shapes that come again, as graphs want them."""
    torch.manual_seed(seed)
    num_heads, num_kv_heads = heads
    rows = [*thinking, *answering]
    clip_slots, num_own = [clip % len(lengths) for clip, _ in rows], [count for _, count in rows]
    clips, own = make_stores(num_kv_heads)
    clips.reserve(len(lengths), max(lengths))
    own.reserve(len(rows), max(num_own) + 1)
    fill(clips, own)
    before_clips, before = copies(clips), copies(own)
    parts = [(0, len(thinking)), (len(thinking), len(rows))]
    step_pass = StepPass(
        clips,
        own,
        ClipGroups(
            clip_slots,
            lengths,
            num_kv_heads=num_kv_heads,
            device=CPU,
            round_shapes_to=StoreSize(clips.num_slots, clips.capacity) if is_rounded else None,
        ),
        num_own=num_own,
        row_groups=[
            RowGroup(first=first, end=end, num_tokens=max(num_own[first:end]) + 1)
            for first, end in parts
            if first < end
        ],
    )
    query, key, value = (draw(count, len(rows), HEAD_SIZE) for count in (num_heads, num_kv_heads, num_kv_heads))
    output = step_pass.attend(LAYER, *(each.transpose(0, 1) for each in (query, key, value)), SCALING)
    assert output.shape == (len(rows), num_heads, HEAD_SIZE)
    for row, (clip, count) in enumerate(zip(clip_slots, num_own, strict=True)):
        expected = attend_in_slots(
            clips,
            before,
            slot=row,
            clip_slot=clip,
            num_prefix=lengths[clip],
            num_own=count,
            query=query[:, [row]],
            key=key[:, [row]],
            value=value[:, [row]],
        )
        torch.testing.assert_close(output[[row]], expected, rtol=1e-4, atol=1e-5)
    assert_same(own, before)  # with the new tokens, and nothing else was touched
    assert_same(clips, before_clips)


def test_a_pass_that_becomes_another_of_its_shape_does_what_that_one_does():
    """All that differs between two steps of one signature lies in buffers, which a captured step is given anew."""
    torch.manual_seed(1)
    clips, own = make_stores(2)
    clips.reserve(4, 100)
    own.reserve(8, 64)
    fill(clips, own)
    size = StoreSize(clips.num_slots, clips.capacity)

    def make_pass(clip_slots: list[int], lengths: list[int], num_own: list[int]) -> StepPass:
        clip_groups = ClipGroups(clip_slots, lengths, num_kv_heads=2, device=CPU, round_shapes_to=size)
        return StepPass(clips, own, clip_groups, num_own=num_own, row_groups=[RowGroup(first=0, end=4, num_tokens=64)])

    first = make_pass([0, 1, 1, 0], [70, 90], [3, 50, 9, 0])
    second = make_pass([1, 0, 2, 1], [100, 66, 80], [40, 7, 1, 22])
    assert first.signature == second.signature
    query, key, value = (draw(count, 4, HEAD_SIZE) for count in (6, 2, 2))
    before = copies(own)

    def attend(step_pass: StepPass) -> torch.Tensor:
        own.keys[LAYER].copy_(before[LAYER][0])
        own.values[LAYER].copy_(before[LAYER][1])
        return step_pass.attend(LAYER, *(each.transpose(0, 1) for each in (query, key, value)), SCALING)

    expected = attend(second)
    assert not torch.allclose(attend(first), expected)
    first.copy_buffers(second)
    assert torch.equal(attend(first), expected)


@settings(max_examples=60, deadline=None)
@given(
    clip_of_row=st.lists(st.integers(0, 9), min_size=1, max_size=20)
    | st.lists(st.integers(0, 9), max_size=5).map(lambda others: [4] * 60 + others),  # one clip is crowded
    num_kv_heads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 99),
)
def test_each_row_is_multiplied_with_its_own_clip(clip_of_row, num_kv_heads, seed):
    torch.manual_seed(seed)
    clip_groups = ClipGroups(clip_of_row, range(1, 11), num_kv_heads=num_kv_heads, device=CPU)
    by_row, by_clip = draw(len(clip_of_row) * num_kv_heads, 2, 5), draw(10, num_kv_heads, 5, 6)
    result = clip_groups.multiply(by_row, by_clip)
    expected = torch.einsum("rknd,rkdm->rknm", by_row.unflatten(0, (-1, num_kv_heads)), by_clip[clip_of_row])
    torch.testing.assert_close(result, expected.flatten(0, 1), rtol=1e-4, atol=1e-4)
