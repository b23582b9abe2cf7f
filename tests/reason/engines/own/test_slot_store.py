"""Keys and values in their slots: what is there stays when the store grows, what was never written is zero."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape, SlotStore, round_up
from framegate.pipelines.reason.engines.own.slots import Move

SHAPE = KeyValueShape(num_layers=2, num_heads=3, head_size=4, dtype=torch.float32)
SIZES = st.tuples(st.integers(1, 11), st.integers(1, 200))


def make_store(num_slots: int = 0, num_tokens: int = 0) -> SlotStore:
    store = SlotStore(SHAPE, torch.device("cpu"))
    if num_slots:
        store.reserve(num_slots, num_tokens)
    return store


def num_bytes(store: SlotStore) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in (*store.keys, *store.values))


def fill(store: SlotStore) -> None:
    """A number of its own in every place of every layer."""
    for number, tensor in enumerate((*store.keys, *store.values)):
        tensor.copy_(torch.arange(1, tensor.numel() + 1).view(tensor.shape) + 10_000_000 * number)


def copies(store: SlotStore) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(keys.clone(), values.clone()) for keys, values in zip(store.keys, store.values, strict=True)]


def test_a_token_takes_keys_and_values_of_every_layer():
    assert SHAPE.token_bytes == 2 * 3 * 4 * 2 * 4
    half = KeyValueShape(num_layers=2, num_heads=3, head_size=4, dtype=torch.bfloat16)
    assert half.token_bytes == SHAPE.token_bytes // 2


def test_an_empty_store_holds_nothing_and_has_every_layer():
    store = make_store()
    assert (store.num_slots, store.capacity, num_bytes(store)) == (0, 0, 0)
    assert len(store.keys) == len(store.values) == SHAPE.num_layers


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(SIZES, min_size=1, max_size=4))
def test_what_is_there_stays_as_the_store_grows_and_all_else_is_zero(sizes):
    store = make_store()
    for num_slots, num_tokens in sizes:
        old_slots, old_capacity, before = store.num_slots, store.capacity, copies(store)
        promised = store.bytes_after(num_slots, num_tokens)
        store.reserve(num_slots, num_tokens)
        assert num_bytes(store) == promised
        assert store.num_slots >= max(num_slots, old_slots)
        assert store.capacity >= max(num_tokens, old_capacity)
        for (old_keys, old_values), keys, values in zip(before, store.keys, store.values, strict=True):
            assert keys.shape == (store.num_slots, SHAPE.num_heads, SHAPE.head_size, store.capacity)
            assert values.shape == (store.num_slots, SHAPE.num_heads, store.capacity, SHAPE.head_size)
            assert keys.is_contiguous()
            assert values.is_contiguous()
            assert torch.equal(keys[:old_slots, ..., :old_capacity], old_keys)
            assert torch.equal(values[:old_slots, :, :old_capacity], old_values)
            # The sums of all places and of those that were there are the same: the others hold nothing but zeros.
            assert int(keys.count_nonzero()) == int(old_keys.count_nonzero())
            assert int(values.count_nonzero()) == int(old_values.count_nonzero())
        fill(store)


def test_a_store_that_is_large_enough_is_left_alone():
    store = make_store(5, 100)
    tensors = [*store.keys, *store.values]
    store.reserve(8, 128)
    store.reserve(1, 1)
    assert all(now is before for now, before in zip((*store.keys, *store.values), tensors, strict=True))
    assert store.bytes_after(1, 1) == num_bytes(store)


@settings(max_examples=40, deadline=None)
@given(
    moves=st.lists(
        st.builds(Move, st.integers(0, 3), st.integers(0, 3), st.booleans()).filter(lambda move: move[0] != move[1]),
        max_size=5,
    ),
    num_tokens=st.integers(1, 64),
)
def test_contents_move_between_slots_as_told_in_every_layer(moves, num_tokens):
    store = make_store(4, 64)
    fill(store)
    before, owners = copies(store), [0, 1, 2, 3]
    store.apply(moves, num_tokens)
    for source, target, swap in moves:
        if swap:
            owners[source], owners[target] = owners[target], owners[source]
        else:
            owners[target] = owners[source]
    for (old_keys, old_values), keys, values in zip(before, store.keys, store.values, strict=True):
        assert torch.equal(keys[..., :num_tokens], old_keys[owners][..., :num_tokens])
        assert torch.equal(values[:, :, :num_tokens], old_values[owners][:, :, :num_tokens])
        # What no slot holds is not carried about.
        assert torch.equal(keys[..., num_tokens:], old_keys[..., num_tokens:])
        assert torch.equal(values[:, :, num_tokens:], old_values[:, :, num_tokens:])


def test_an_erased_slot_is_zero_and_no_other_is_touched():
    """NaN times a probability of 0 is NaN: the next in the slot must not meet it behind its mask."""
    store = make_store(4, 64)
    fill(store)
    for tensor in (*store.keys, *store.values):
        tensor[2] = float("nan")
    before = copies(store)
    store.erase(2, 64)
    others = [0, 1, 3]
    for (old_keys, old_values), keys, values in zip(before, store.keys, store.values, strict=True):
        assert not keys[2].any()
        assert not values[2].any()
        assert torch.equal(keys[others], old_keys[others])
        assert torch.equal(values[others], old_values[others])


def test_a_store_tells_when_what_it_holds_lies_elsewhere():
    """Whoever kept addresses (a captured step) must forget them."""
    store = make_store(4, 64)
    version = store.version
    store.reserve(4, 64)
    store.apply([Move(0, 1, swap=True)], 64)
    store.erase(0, 64)
    assert store.version == version
    store.reserve(5, 64)
    assert store.version > version


def test_a_cleared_store_gives_its_memory_back_and_starts_again_from_zero():
    store = make_store(4, 64)
    fill(store)
    store.clear()
    assert (store.num_slots, store.capacity, num_bytes(store)) == (0, 0, 0)
    assert store.bytes_after(1, 1) == 4 * 64 * SHAPE.token_bytes
    store.reserve(2, 10)
    assert all(int(tensor.count_nonzero()) == 0 for tensor in (*store.keys, *store.values))


@pytest.mark.parametrize(("num_tokens", "rounded"), [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_capacities_come_in_steps_of_64_tokens(num_tokens, rounded):
    assert round_up(num_tokens) == rounded
