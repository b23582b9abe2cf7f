"""Which slot each row and each clip stands in: numbers of slots alone, no tensors.

A row is what runs: one sequence over one clip. Busy slots are always 0 .. n-1, so that a forward pass reads them in
place, without gathering. Rows that think stand in front: they hold many tokens and the others a few, and each kind is
then read only as far as it is filled. Paused rows stand behind all that take part in token steps. The table says which
slots must be copied for that, as moves.

    0 .. think | first answers | paused .. n-1
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

Row = TypeVar("Row", bound=Hashable)
Clip = TypeVar("Clip", bound=Hashable)


class Move(NamedTuple):
    """Copy what slot `source` holds to slot `target`; with `swap`, the other way round as well."""

    source: int
    target: int
    swap: bool = False


class SlotTable(Generic[Row, Clip]):
    """Rows and clips are any values that differ. A clip stays until it is removed, with rows or without."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._row_slots: dict[Row, int] = {}
        self._clips: list[Clip] = []
        self._clip_slots: dict[Clip, int] = {}
        self._clip_of_row: dict[Row, Clip] = {}
        self.num_thinking = 0
        self.num_paused = 0

    @property
    def rows(self) -> Sequence[Row]:
        """In slot order: first those that think, at the end those that are paused."""
        return self._rows

    @property
    def num_stepping(self) -> int:
        """Rows that are not paused."""
        return len(self._rows) - self.num_paused

    @property
    def clips(self) -> Sequence[Clip]:
        """In slot order."""
        return self._clips

    @property
    def clip_slots(self) -> list[int]:
        """The slot of each row's clip, in the order of the rows' slots."""
        return [self._clip_slots[self._clip_of_row[row]] for row in self._rows]

    def add_clip(self, clip: Clip) -> int:
        """The slot of a clip that has none yet."""
        assert clip not in self._clip_slots, f"clip {clip} is in a slot already"
        self._clip_slots[clip] = len(self._clips)
        self._clips.append(clip)
        return self._clip_slots[clip]

    def add_row(self, row: Row, clip: Clip) -> list[Move]:
        """A row that has no slot yet gets the one behind all that step; the first of the paused ones makes room."""
        assert row not in self._row_slots, f"row {row} is in a slot already"
        assert clip in self._clip_slots, f"clip {clip} is in no slot"
        self._clip_of_row[row] = clip
        slot, end = self.num_stepping, len(self._rows)
        self._rows.append(row)
        moves: list[Move] = []
        self._fill(end, slot, moves)
        self._put(row, slot)
        return moves

    def begin_thinking(self, row: Row) -> list[Move]:
        """The row, paused or not, joins those in front; the first of the others takes its slot."""
        assert self._row_slots[row] >= self.num_thinking, f"row {row} thinks already"
        moves: list[Move] = []
        if self._row_slots[row] >= self.num_stepping:
            self._swap(row, self.num_stepping, moves)
            self.num_paused -= 1
        self._swap(row, self.num_thinking, moves)
        self.num_thinking += 1
        return moves

    def pause(self, row: Row) -> list[Move]:
        """The row, which does not think, joins those behind; the last of the others takes its slot."""
        assert self.num_thinking <= self._row_slots[row] < self.num_stepping, f"row {row} cannot be paused"
        moves: list[Move] = []
        self._swap(row, self.num_stepping - 1, moves)
        self.num_paused += 1
        return moves

    def remove_row(self, row: Row) -> list[Move]:
        """Free the row's slot; the moves, one after the other, that close the gap."""
        gap = self._row_slots.pop(row)
        del self._clip_of_row[row]
        moves: list[Move] = []
        num_stepping = self.num_stepping
        if gap < self.num_thinking:
            self.num_thinking -= 1
            gap = self._fill(gap, self.num_thinking, moves)
        if gap < num_stepping:
            gap = self._fill(gap, num_stepping - 1, moves)
        else:
            self.num_paused -= 1
        self._fill(gap, len(self._rows) - 1, moves)
        self._rows.pop()
        return moves

    def remove_clip(self, clip: Clip) -> list[Move]:
        """Free the clip's slot. None of its rows may be left."""
        assert clip not in self._clip_of_row.values(), f"clip {clip} still has rows"
        gap, last = self._clip_slots.pop(clip), self._clips.pop()
        if last == clip:
            return []
        self._clips[gap] = last
        self._clip_slots[last] = gap
        return [Move(len(self._clips), gap)]

    def _fill(self, gap: int, source: int, moves: list[Move]) -> int:
        """Move the row at `source` into the gap; the new gap."""
        if source != gap:
            self._put(self._rows[source], gap)
            moves.append(Move(source, gap))
        return source

    def _swap(self, row: Row, slot: int, moves: list[Move]) -> None:
        """The row and the one at `slot` change places."""
        before = self._row_slots[row]
        if before != slot:
            self._put(self._rows[slot], before)
            self._put(row, slot)
            moves.append(Move(before, slot, swap=True))

    def _put(self, row: Row, slot: int) -> None:
        self._rows[slot] = row
        self._row_slots[row] = slot
