"""Plain attention, one query after the other: the oracle of attention over slots."""

from __future__ import annotations

import math

import torch
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape, SlotStore

CPU = torch.device("cpu")
LAYER = 1  # of two: the other must stay as it is
HEAD_SIZE = 8
SCALING = 1 / math.sqrt(HEAD_SIZE)
HEADS = st.sampled_from([(1, 1), (2, 1), (2, 2), (7, 1), (4, 2), (14, 2)])  # groups of 1, 2 and 7


def make_stores(num_kv_heads: int, dtype: torch.dtype = torch.float32) -> tuple[SlotStore, SlotStore]:
    shape = KeyValueShape(num_layers=2, num_heads=num_kv_heads, head_size=HEAD_SIZE, dtype=dtype)
    return SlotStore(shape, CPU), SlotStore(shape, CPU)


def draw(*sizes: int) -> torch.Tensor:
    """Wide, so that a single key takes most of the weight and a wrong one is seen."""
    return 2 * torch.randn(*sizes)


def fill(*stores: SlotStore) -> None:
    """What others have left behind in the slots: it must be hidden."""
    for store in stores:
        for tensor in (*store.keys, *store.values):
            tensor.copy_(draw(*tensor.shape))


def copies(store: SlotStore) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(keys.clone(), values.clone()) for keys, values in zip(store.keys, store.values, strict=True)]


def attend_plainly(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
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


def attend_in_slots(
    clips: SlotStore,
    before: list[tuple[torch.Tensor, torch.Tensor]],
    *,
    slot: int,
    clip_slot: int,
    num_prefix: int,
    num_own: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """A row's new tokens behind its own ones and its clip's prefix. The new keys and values go into `before`."""
    old_keys, old_values = before[LAYER]
    end = num_own + key.shape[1]
    old_keys[slot, :, :, num_own:end] = key.transpose(1, 2)
    old_values[slot, :, num_own:end] = value
    keys = torch.cat([clips.keys[LAYER][clip_slot, :, :, :num_prefix], old_keys[slot, :, :, :end]], dim=2)
    values = torch.cat([clips.values[LAYER][clip_slot, :, :num_prefix], old_values[slot, :, :end]], dim=1)
    return attend_plainly(query, keys.transpose(1, 2), values)


def assert_same(store: SlotStore, expected: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for (keys, values), (stored_keys, stored_values) in zip(
        expected, zip(store.keys, store.values, strict=True), strict=True
    ):
        assert torch.equal(stored_keys, keys)
        assert torch.equal(stored_values, values)
