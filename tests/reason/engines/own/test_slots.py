"""Slots as integers alone: whatever comes and goes, none is lost, doubled or left behind, and contents follow."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from framegate.pipelines.reason.engines.own.slots import Move, SlotTable


class Shelf:
    """A store of whole contents: a name per slot, moved as `SlotStore` moves tensors."""

    def __init__(self) -> None:
        self.contents: list[str | None] = []

    def put(self, slot: int, content: str) -> None:
        self.contents += [None] * (slot + 1 - len(self.contents))
        self.contents[slot] = content

    def apply(self, moves: list[Move]) -> None:
        for source, target, swap in moves:
            kept = self.contents[target]
            self.contents[target] = self.contents[source]
            if swap:
                self.contents[source] = kept


class SlotTableMachine(RuleBasedStateMachine):
    """Clips and rows in any order; what must hold is read off the table after every step."""

    clips = Bundle("clips")

    @initialize()
    def begin(self) -> None:
        self.table = SlotTable()
        self.row_shelf, self.clip_shelf = Shelf(), Shelf()
        self.clip_of_row: dict[int, int] = {}
        self.thinking: set[int] = set()
        self.paused: set[int] = set()
        self.known_clips: set[int] = set()
        self.num_given = 0

    def _next_number(self) -> int:
        self.num_given += 1
        return self.num_given

    @rule(target=clips)
    def add_clip(self) -> int:
        clip = self._next_number()
        slot = self.table.add_clip(clip)
        assert slot == len(self.known_clips)
        self.known_clips.add(clip)
        self.clip_shelf.put(slot, f"clip {clip}")
        return clip

    @rule(clip=clips, num_rows=st.integers(1, 4))
    def add_rows(self, clip: int, num_rows: int) -> None:
        for _ in range(num_rows):
            row = self._next_number()
            self.row_shelf.put(len(self.clip_of_row), "")
            self.row_shelf.apply(self.table.add_row(row, clip))
            self.clip_of_row[row] = clip
            self.row_shelf.put(self.table.num_stepping - 1, f"row {row}")

    @rule(choice=st.randoms(use_true_random=False))
    def begin_thinking(self, choice) -> None:
        calm = sorted(self.clip_of_row.keys() - self.thinking)
        if calm:
            row = choice.choice(calm)
            self.row_shelf.apply(self.table.begin_thinking(row))
            self.thinking.add(row)
            self.paused.discard(row)

    @rule(choice=st.randoms(use_true_random=False))
    def pause(self, choice) -> None:
        calm = sorted(self.clip_of_row.keys() - self.thinking - self.paused)
        if calm:
            row = choice.choice(calm)
            self.row_shelf.apply(self.table.pause(row))
            self.paused.add(row)

    @rule(choice=st.randoms(use_true_random=False))
    def remove_row(self, choice) -> None:
        if self.clip_of_row:
            self._remove(choice.choice(sorted(self.clip_of_row)))

    @rule(clip=consumes(clips))
    def remove_clip_and_its_rows(self, clip: int) -> None:
        for row in [row for row, asked in self.clip_of_row.items() if asked == clip]:
            self._remove(row)
        self.clip_shelf.apply(self.table.remove_clip(clip))
        self.known_clips.remove(clip)

    def _remove(self, row: int) -> None:
        self.row_shelf.apply(self.table.remove_row(row))
        del self.clip_of_row[row]
        self.thinking.discard(row)
        self.paused.discard(row)

    @invariant()
    def every_row_and_clip_has_one_slot_and_there_are_no_gaps(self) -> None:
        assert sorted(self.table.rows) == sorted(self.clip_of_row)
        assert sorted(self.table.clips) == sorted(self.known_clips)

    @invariant()
    def rows_that_think_stand_in_front_and_paused_ones_behind(self) -> None:
        assert self.table.num_thinking == len(self.thinking)
        assert set(self.table.rows[: self.table.num_thinking]) == self.thinking
        assert self.table.num_stepping == len(self.clip_of_row) - len(self.paused)
        assert set(self.table.rows[self.table.num_stepping :]) == self.paused

    @invariant()
    def contents_stand_where_their_owners_do(self) -> None:
        rows, clips = self.table.rows, self.table.clips
        assert self.row_shelf.contents[: len(rows)] == [f"row {row}" for row in rows]
        assert self.clip_shelf.contents[: len(clips)] == [f"clip {clip}" for clip in clips]

    @invariant()
    def rows_find_their_clips(self) -> None:
        found = [self.table.clips[slot] for slot in self.table.clip_slots]
        assert found == [self.clip_of_row[row] for row in self.table.rows]

    def teardown(self) -> None:
        for row in list(self.clip_of_row):
            self.row_shelf.apply(self.table.remove_row(row))
        for clip in list(self.known_clips):
            self.clip_shelf.apply(self.table.remove_clip(clip))
        # All that the table holds, by whatever name, is empty or zero again.
        assert not any(vars(self.table).values()), vars(self.table)


SlotTableMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSlotTable = SlotTableMachine.TestCase


def test_a_row_that_moves_to_the_front_changes_places_with_the_first_behind_it():
    table = SlotTable()
    table.add_clip(9)
    for row in (1, 2, 3):
        table.add_row(row, 9)
    assert table.begin_thinking(3) == [Move(2, 0, swap=True)]
    assert (list(table.rows), table.num_thinking) == ([3, 2, 1], 1)
    assert table.begin_thinking(2) == []


def test_a_row_that_comes_stands_before_the_paused_ones_and_what_goes_on_changes_places_twice():
    table = SlotTable()
    table.add_clip(9)
    for row in (1, 2, 3):
        table.add_row(row, 9)
    assert table.pause(1) == [Move(0, 2, swap=True)]
    assert table.pause(2) == []
    assert (list(table.rows), table.num_stepping) == ([3, 2, 1], 1)
    assert table.add_row(4, 9) == [Move(1, 3)]
    assert (list(table.rows), table.num_stepping) == ([3, 4, 1, 2], 2)
    assert table.begin_thinking(2) == [Move(3, 2, swap=True), Move(2, 0, swap=True)]
    assert (list(table.rows), table.num_stepping, table.num_thinking) == ([2, 4, 3, 1], 3, 1)
    assert table.remove_row(2) == [Move(2, 0), Move(3, 2)]
    assert (list(table.rows), table.num_stepping, table.num_thinking) == ([3, 4, 1], 2, 0)


def test_a_thinker_that_leaves_is_followed_by_the_last_thinker_and_the_last_row():
    table = SlotTable()
    table.add_clip(9)
    for row in (1, 2, 3, 4):
        table.add_row(row, 9)
    for row in (1, 2):
        table.begin_thinking(row)
    assert table.remove_row(1) == [Move(1, 0), Move(3, 1)]
    assert list(table.rows) == [2, 4, 3]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda table: table.add_clip(9), "clip 9 is in a slot already"),
        (lambda table: table.add_row(1, 9), "row 1 is in a slot already"),
        (lambda table: table.add_row(2, 8), "clip 8 is in no slot"),
        (lambda table: table.remove_clip(9), "clip 9 still has rows"),
        (lambda table: [table.begin_thinking(1), table.begin_thinking(1)], "row 1 thinks already"),
        (lambda table: [table.begin_thinking(1), table.pause(1)], "row 1 cannot be paused"),
        (lambda table: [table.pause(1), table.pause(1)], "row 1 cannot be paused"),
    ],
)
def test_what_would_lose_or_double_a_slot_is_refused(act, message):
    table = SlotTable()
    table.add_clip(9)
    table.add_row(1, 9)
    with pytest.raises(AssertionError, match=message):
        act(table)
