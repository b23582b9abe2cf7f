"""What has a slot: requests, clips, keys and values stay together, and the budget counts what stores would hold."""

from __future__ import annotations

import pytest
import torch

from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape, KVCache
from framegate.pipelines.reason.engines.own.request import Clip, Request
from tests.reason.engines.own.asks import make_ask, make_clip

SHAPE = KeyValueShape(num_layers=2, num_heads=1, head_size=2, dtype=torch.float32)
SLOT_BYTES = 64 * SHAPE.token_bytes


class Slots:
    """A cache, and clips and rows by number: their keys and values hold these numbers."""

    def __init__(self, memory_bytes: int | None = None) -> None:
        self.cache = KVCache(SHAPE, torch.device("cpu"), memory_bytes=memory_bytes)
        self.clips: dict[int, Clip] = {}
        self.rows: dict[int, Request] = {}

    @property
    def numbers(self) -> list[int]:
        """Of the rows, in slot order."""
        return [next(number for number, row in self.rows.items() if row is one) for one in self.cache.rows]

    def place(self, clip: int, rows: list[int], *, num_prefix: int = 10, num_own: int = 5) -> None:
        self.clips[clip] = Clip(source=make_clip(clip), num_prefix_tokens=num_prefix)
        slot = self.cache.reserve_clips(1, num_prefix)
        self.cache.add_clip(self.clips[clip], next_position=100 * clip)
        write(self.cache.clip_store, slot, clip, num_prefix)
        for row in rows:
            ask = make_ask(self.clips[clip].source, 64)
            self.rows[row] = Request(ask=ask, clip=self.clips[clip], suffix_ids=(), max_own_tokens=64)
            slot = self.cache.reserve_rows(1, 64)
            self.cache.add_row(self.rows[row])
            self.rows[row].advance(num_own)
            write(self.cache.row_store, slot, row, num_own)


def write(store, slot: int, number: int, num_tokens: int) -> None:
    for keys, values in zip(store.keys, store.values, strict=True):
        keys[slot, ..., :num_tokens] = number
        values[slot, :, :num_tokens] = number


def owners(store, num_slots: int) -> list[int]:
    """Whose number each busy slot holds; free slots hold nothing at all."""
    assert not any(tensor[num_slots:].any() for tensor in (*store.keys, *store.values))
    firsts = {tuple(keys[:num_slots, 0, 0, 0].int().tolist()) for keys in store.keys}
    firsts |= {tuple(values[:num_slots, 0, 0, 0].int().tolist()) for values in store.values}
    [numbers] = firsts
    return list(numbers)


def test_contents_follow_rows_and_clips_and_nothing_stays_behind():
    slots = Slots()
    cache = slots.cache
    slots.place(1, [11, 12, 13])
    slots.place(2, [21])
    cache.begin_thinking(slots.rows[21])
    cache.begin_thinking(slots.rows[13])
    assert (slots.numbers, cache.num_thinking) == ([21, 13, 12, 11], 2)
    assert owners(cache.row_store, 4) == slots.numbers
    for row in (11, 13, 12):
        cache.remove_row(slots.rows[row])
        assert owners(cache.row_store, len(slots.numbers)) == slots.numbers
    cache.remove_clip(slots.clips[1])
    assert owners(cache.clip_store, 1) == [2]
    assert (cache.clip_slots, cache.prefix_tokens) == ([0], [10])
    cache.remove_row(slots.rows[21])
    cache.remove_clip(slots.clips[2])
    assert owners(cache.row_store, 0) == owners(cache.clip_store, 0) == []


def test_contents_follow_rows_that_pause_and_what_comes_stands_before_them():
    slots = Slots()
    cache = slots.cache
    slots.place(1, [11, 12, 13])
    cache.pause(slots.rows[11])
    cache.pause(slots.rows[12])
    assert (slots.numbers, cache.num_stepping) == ([13, 12, 11], 1)
    slots.place(2, [21, 22, 23], num_prefix=30, num_own=7)
    assert (slots.numbers, cache.num_stepping) == ([13, 21, 22, 23, 11, 12], 4)
    assert owners(cache.row_store, 6) == slots.numbers
    assert cache.num_keys == 10 + 5 + 30 + 3 * 7, "a step reads nothing of what is paused"
    cache.begin_thinking(slots.rows[12])
    assert (slots.numbers[0], slots.numbers[-1], cache.num_thinking, cache.num_stepping) == (12, 11, 1, 5)
    for row in (21, 12, 11, 23):
        cache.remove_row(slots.rows[row])
        assert owners(cache.row_store, len(slots.numbers)) == slots.numbers
    assert (sorted(slots.numbers), cache.num_stepping) == ([13, 22], 2)


def test_a_step_reads_a_prefix_once_and_attends_to_it_for_each_row():
    slots = Slots()
    cache = slots.cache
    slots.place(1, [11, 12], num_prefix=10, num_own=5)
    slots.place(2, [21], num_prefix=30, num_own=7)
    slots.place(3, [31], num_prefix=100)
    cache.remove_row(slots.rows[31])  # a clip that nobody asks about
    assert cache.num_keys == 10 + 2 * 5 + 30 + 7
    assert cache.num_row_keys == (10 + 5) * 2 + 30 + 7


def test_a_row_goes_on_where_its_clip_ends():
    slots = Slots()
    cache = slots.cache
    slots.place(3, [31], num_own=4)
    [row] = cache.rows
    assert (row.num_own_tokens, row.next_position) == (4, 304)


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"num_rows": 4, "row_tokens": 64, "num_clips": 4, "clip_tokens": 64}, True),  # 4 slots each
        ({"num_rows": 5, "row_tokens": 64, "num_clips": 1, "clip_tokens": 64}, False),
        ({"num_rows": 1, "row_tokens": 65, "num_clips": 1, "clip_tokens": 64}, False),
        ({"num_rows": 1, "row_tokens": 64, "num_clips": 1, "clip_tokens": 65}, False),
        ({"num_rows": 1, "row_tokens": 128, "num_clips": 0, "clip_tokens": 0}, True),
    ],
)
def test_the_budget_counts_whole_slots_of_both_stores(asked, fits):
    assert Slots(8 * SLOT_BYTES).cache.fits(**asked) == fits
    assert Slots(None).cache.fits(**asked)


def test_what_is_there_counts_and_slots_that_were_left_serve_again():
    slots = Slots(8 * SLOT_BYTES)
    cache = slots.cache
    slots.place(1, [11, 12, 13])
    one_row = {"num_rows": 1, "row_tokens": 64, "num_clips": 0, "clip_tokens": 0}
    assert cache.fits(**one_row)
    assert not cache.fits(**{**one_row, "num_rows": 2})
    cache.remove_row(slots.rows[11])
    assert cache.fits(**{**one_row, "num_rows": 2})
    cache.clear()
    assert cache.fits(num_rows=4, row_tokens=64, num_clips=4, clip_tokens=64)


def test_whoever_comes_goes_or_moves_is_counted():
    slots = Slots()
    cache = slots.cache
    seen = [cache.num_changes]
    for change in (
        lambda: slots.place(1, [11, 12]),
        lambda: cache.begin_thinking(slots.rows[12]),
        lambda: cache.remove_row(slots.rows[12]),
        lambda: cache.remove_row(slots.rows[11]),
        lambda: cache.remove_clip(slots.clips[1]),
    ):
        change()
        assert cache.num_changes > seen[-1]
        seen.append(cache.num_changes)
