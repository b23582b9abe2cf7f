"""What has a slot: numbers, keys and values stay together, and the budget counts what the stores would then hold."""

from __future__ import annotations

import pytest
import torch

from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape
from framegate.pipelines.reason.engines.own.slot_contents import ResidentClip, Residents

SHAPE = KeyValueShape(num_layers=2, num_heads=1, head_size=2, dtype=torch.float32)
SLOT_BYTES = 64 * SHAPE.token_bytes


def make_residents(memory_bytes: int | None = None) -> Residents:
    return Residents(SHAPE, torch.device("cpu"), memory_bytes=memory_bytes)


def place(residents: Residents, clip: int, rows: list[int], *, num_prefix: int = 10, num_own: int = 5) -> None:
    """A clip and rows whose keys and values hold their numbers in every place that is theirs."""
    slot = residents.reserve_clips(1, num_prefix)
    residents.add_clip(clip, ResidentClip(num_prefix, next_position=100 * clip))
    write(residents.clip_store, slot, clip, num_prefix)
    for row in rows:
        slot = residents.reserve_rows(1, 64)
        residents.add_row(row, clip).take(num_own)
        write(residents.row_store, slot, row, num_own)


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
    residents = make_residents()
    place(residents, 1, [11, 12, 13])
    place(residents, 2, [21])
    residents.begin_thinking(21)
    residents.begin_thinking(13)
    assert (list(residents.numbers), residents.num_thinking) == ([21, 13, 12, 11], 2)
    assert owners(residents.row_store, 4) == list(residents.numbers)
    for row in (11, 13, 12):
        residents.remove_row(row)
        assert owners(residents.row_store, len(residents.numbers)) == list(residents.numbers)
    residents.remove_clip(1)
    assert owners(residents.clip_store, 1) == [2]
    assert (residents.clip_slots, residents.prefix_tokens) == ([0], [10])
    residents.remove_row(21)
    residents.remove_clip(2)
    assert owners(residents.row_store, 0) == owners(residents.clip_store, 0) == []


def test_a_step_reads_a_prefix_once_and_attends_to_it_for_each_row():
    residents = make_residents()
    place(residents, 1, [11, 12], num_prefix=10, num_own=5)
    place(residents, 2, [21], num_prefix=30, num_own=7)
    place(residents, 3, [31], num_prefix=100)
    residents.remove_row(31)  # a clip that nobody asks about
    assert residents.num_keys == 10 + 2 * 5 + 30 + 7
    assert residents.num_row_keys == (10 + 5) * 2 + 30 + 7


def test_a_row_goes_on_where_its_clip_ends():
    residents = make_residents()
    place(residents, 3, [31], num_own=4)
    [row] = residents.rows
    assert (row.num_own, row.next_position) == (4, 304)


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
    assert make_residents(8 * SLOT_BYTES).fits(**asked) == fits
    assert make_residents(None).fits(**asked)


def test_what_is_there_counts_and_slots_that_were_left_serve_again():
    residents = make_residents(8 * SLOT_BYTES)
    place(residents, 1, [11, 12, 13])
    one_row = {"num_rows": 1, "row_tokens": 64, "num_clips": 0, "clip_tokens": 0}
    assert residents.fits(**one_row)
    assert not residents.fits(**{**one_row, "num_rows": 2})
    residents.remove_row(11)
    assert residents.fits(**{**one_row, "num_rows": 2})
    residents.clear()
    assert residents.fits(num_rows=4, row_tokens=64, num_clips=4, clip_tokens=64)


def test_whoever_comes_goes_or_moves_is_counted():
    residents = make_residents()
    seen = [residents.changes]
    for change in (
        lambda: place(residents, 1, [11, 12]),
        lambda: residents.begin_thinking(12),
        lambda: residents.remove_row(12),
        lambda: residents.remove_row(11),
        lambda: residents.remove_clip(1),
    ):
        change()
        assert residents.changes > seen[-1]
        seen.append(residents.changes)
