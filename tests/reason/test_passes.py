"""Attention over slots equals plain attention, row by row, whoever shares a pass with whom."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pipelines.reason.engines.attention import attend
from pipelines.reason.engines.company import Company
from pipelines.reason.engines.keys_values import KeyValueShape, SlotStore
from pipelines.reason.engines.passes import PrefixPass, RowGroup, RowsPass

CPU = torch.device("cpu")
LAYER = 1  # of two: the other must stay as it is
HEAD_SIZE = 8
SCALING = 1 / math.sqrt(HEAD_SIZE)
HEADS = st.sampled_from([(1, 1), (2, 1), (2, 2), (7, 1), (4, 2), (14, 2)])  # groups of 1, 2 and 7


def stores(num_kv_heads: int) -> tuple[SlotStore, SlotStore]:
    shape = KeyValueShape(num_layers=2, num_heads=num_kv_heads, head_size=HEAD_SIZE, dtype=torch.float32)
    return SlotStore(shape, CPU), SlotStore(shape, CPU)


def naive(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """One sequence: query (heads, N, D) stands at its end, keys and values (kv_heads, T, D); (N, heads, D)."""
    num_heads, num_new, _ = query.shape
    group, num_seen = num_heads // len(keys), keys.shape[1] - num_new
    outputs = torch.empty(num_new, num_heads, HEAD_SIZE)
    for head in range(num_heads):
        for place in range(num_new):
            seen = num_seen + place + 1
            weights = (keys[head // group, :seen] @ query[head, place] * SCALING).softmax(dim=0)
            outputs[place, head] = weights @ values[head // group, :seen]
    return outputs


def draw(*sizes: int) -> torch.Tensor:
    # Wide, so that a single key takes most of the weight and a wrong one is seen.
    return 2 * torch.randn(*sizes)


@settings(max_examples=30, deadline=None)
@given(
    heads=HEADS,
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    first_slot=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_prefixes_see_themselves_causally_and_are_kept(heads, lengths, first_slot, seed):
    torch.manual_seed(seed)
    (num_heads, num_kv_heads), total = heads, sum(lengths)
    store, _ = stores(num_kv_heads)
    store.reserve(first_slot + len(lengths), max(lengths))
    query, key, value = draw(num_heads, total, 8), draw(num_kv_heads, total, 8), draw(num_kv_heads, total, 8)
    output = PrefixPass(store, first_slot, lengths).attend(LAYER, query, key, value, SCALING)
    assert output.shape == (total, num_heads, HEAD_SIZE)
    start = 0
    for slot, length in enumerate(lengths, start=first_slot):
        places = slice(start, start + length)
        expected = naive(query[:, places], key[:, places], value[:, places])
        torch.testing.assert_close(output[places], expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(store.keys[LAYER][slot, :, :, :length].transpose(1, 2), key[:, places])
        assert torch.equal(store.values[LAYER][slot, :, :length], value[:, places])
        assert not store.keys[LAYER][slot, :, :, length:].any()
        start += length
    assert not store.keys[LAYER][:first_slot].any()
    assert not store.keys[0].any()


@dataclass
class Row:
    """A row's clip slot, and how many tokens of its own it has and gets."""

    clip: int
    num_own: int
    num_new: int


@st.composite
def companies(draw) -> tuple[list[int], list[Row], int]:
    """Lengths of prefixes, rows over some of them in any order, and how many of the rows think."""
    lengths = draw(st.lists(st.integers(1, 140), min_size=1, max_size=5))
    num_new = st.integers(1, 7) if draw(st.booleans()) else st.just(1)
    num_rows = draw(st.integers(1, 12))
    num_thinking = draw(st.integers(0, num_rows))
    rows = [
        Row(
            clip=draw(st.integers(0, len(lengths) - 1)),
            num_own=draw(st.integers(0, 150 if place < num_thinking else 20)),
            num_new=draw(num_new),
        )
        for place in range(num_rows)
    ]
    return lengths, rows, num_thinking


@settings(max_examples=80, deadline=None)
@given(heads=HEADS, company=companies(), first_row=st.sampled_from([0, 0, 3]), seed=st.integers(0, 99))
def test_rows_see_their_clip_and_themselves_and_nobody_else(heads, company, first_row, seed):
    torch.manual_seed(seed)
    (num_heads, num_kv_heads), (lengths, rows, num_thinking) = heads, company
    clips, own = stores(num_kv_heads)
    clips.reserve(len(lengths), max(lengths))
    own.reserve(first_row + len(rows), max(row.num_own + row.num_new for row in rows))
    for store in (clips, own):  # what others have left behind in the slots must be hidden too
        for tensor in (*store.keys, *store.values):
            tensor.copy_(draw(*tensor.shape))
    kept = [(keys.clone(), values.clone()) for keys, values in zip(own.keys, own.values, strict=True)]

    total = sum(row.num_new for row in rows)
    query, key, value = draw(num_heads, total, 8), draw(num_kv_heads, total, 8), draw(num_kv_heads, total, 8)
    parts = [(start, end) for start, end in ((0, num_thinking), (num_thinking, len(rows))) if start < end]
    rows_pass = RowsPass(
        clips,
        own,
        Company([row.clip for row in rows], lengths, num_kv_heads=num_kv_heads, device=CPU),
        first_row=first_row,
        num_own=[row.num_own for row in rows],
        num_new=[row.num_new for row in rows],
        groups=[
            RowGroup(first=start, end=end, num_tokens=max(row.num_own + row.num_new for row in rows[start:end]))
            for start, end in parts
        ],
    )
    output = rows_pass.attend(LAYER, query, key, value, SCALING)

    assert output.shape == (total, num_heads, HEAD_SIZE)
    start = 0
    for slot, row in enumerate(rows, start=first_row):
        places = slice(start, start + row.num_new)
        length, old_keys, old_values = lengths[row.clip], *kept[LAYER]
        seen_keys = [clips.keys[LAYER][row.clip, :, :, :length], old_keys[slot, :, :, : row.num_own]]
        seen_values = [clips.values[LAYER][row.clip, :, :length], old_values[slot, :, : row.num_own]]
        keys = torch.cat([*(part.transpose(1, 2) for part in seen_keys), key[:, places]], dim=1)
        values = torch.cat([*seen_values, value[:, places]], dim=1)
        expected = naive(query[:, places], keys, values)
        torch.testing.assert_close(output[places], expected, rtol=1e-4, atol=1e-5)
        # The new tokens are kept behind the row's own, and nothing else is touched.
        end = row.num_own + row.num_new
        old_keys[slot, :, :, row.num_own : end] = key[:, places].transpose(1, 2)
        old_values[slot, :, row.num_own : end] = value[:, places]
        start += row.num_new
    for (old_keys, old_values), keys, values in zip(kept, own.keys, own.values, strict=True):
        assert torch.equal(keys, old_keys)
        assert torch.equal(values, old_values)


@settings(max_examples=60, deadline=None)
@given(
    clip_of_row=st.lists(st.integers(0, 9), min_size=1, max_size=20)
    | st.lists(st.integers(0, 9), max_size=5).map(lambda others: [4] * 60 + others),  # one clip is crowded
    num_kv_heads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 99),
)
def test_each_row_is_multiplied_with_its_own_clip(clip_of_row, num_kv_heads, seed):
    torch.manual_seed(seed)
    company = Company(clip_of_row, range(1, 11), num_kv_heads=num_kv_heads, device=CPU)
    by_row, by_clip = draw(len(clip_of_row) * num_kv_heads, 2, 5), draw(10, num_kv_heads, 5, 6)
    result = company.multiply(by_row, by_clip)
    expected = torch.einsum("rknd,rkdm->rknm", by_row.unflatten(0, (-1, num_kv_heads)), by_clip[clip_of_row])
    torch.testing.assert_close(result, expected.flatten(0, 1), rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    num_heads=st.sampled_from([1, 2, 5]),
    lengths=st.lists(st.sampled_from([1, 4, 16, 24, 64, 100]), min_size=1, max_size=9),
    seed=st.integers(0, 99),
)
def test_vision_windows_see_themselves_alone(num_heads, lengths, seed):
    torch.manual_seed(seed)
    total = sum(lengths)
    query, key, value = (draw(1, num_heads, total, HEAD_SIZE) for _ in range(3))
    borders = torch.tensor([0, *lengths]).cumsum(0)
    output, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING, cu_seq_lens_q=borders)
    expected = torch.cat(
        [
            F.scaled_dot_product_attention(*(part[:, :, start:end] for part in (query, key, value)), scale=SCALING)
            for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
        ],
        dim=2,
    )
    torch.testing.assert_close(output, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_scores", [1 << 13, 1 << 14, 16], ids=["some at a time", "all at once", "too long"])
def test_vision_windows_are_the_same_however_many_go_at_a_time(monkeypatch, num_scores):
    torch.manual_seed(0)
    query, key, value = (draw(1, 2, 5 * 36, HEAD_SIZE) for _ in range(3))
    borders = torch.arange(0, 5 * 36 + 1, 36)
    expected, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING, cu_seq_lens_q=borders)
    monkeypatch.setattr("pipelines.reason.engines.attention._MAX_SCORES", num_scores)
    output, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING, cu_seq_lens_q=borders)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_a_whole_image_in_one_window_sees_all_of_itself():
    torch.manual_seed(0)
    query, key, value = (draw(1, 2, 30, HEAD_SIZE) for _ in range(3))
    output, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING)
    expected = F.scaled_dot_product_attention(query, key, value, scale=SCALING).transpose(1, 2)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
