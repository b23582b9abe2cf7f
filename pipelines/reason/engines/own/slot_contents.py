"""What has a slot now: the clips and rows in memory, with their keys and values and how far each has come.

Keeps the slots' numbers and the two stores in step. Knows tokens as counts and of a model the size of its keys and
values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape, SlotStore, round_up
from framegate.pipelines.reason.engines.own.slots import Move, SlotTable


@dataclass(kw_only=True)
class ResidentRow:
    """How many tokens of its own are in the cache, and the position of the next one."""

    num_own: int
    next_position: int

    def take(self, num_tokens: int) -> None:
        self.num_own += num_tokens
        self.next_position += num_tokens


class ResidentClip(NamedTuple):
    """How long a clip's prefix is, and the position of what follows it."""

    num_tokens: int
    next_position: int


class Residents:
    """Clips and rows by the numbers of their owner. `memory_bytes` bounds their keys and values; None does not."""

    def __init__(self, shape: KeyValueShape, device: torch.device, *, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        self.clip_store = SlotStore(shape, device)
        self.row_store = SlotStore(shape, device)
        self.clear()

    def clear(self) -> None:
        """Forget every clip and row, and give their memory back."""
        self._table = SlotTable()
        self._rows: dict[int, ResidentRow] = {}
        self._clips: dict[int, ResidentClip] = {}
        self.changes = 0  # counts up whenever a row or clip comes, goes or moves
        self.clip_store.clear()
        self.row_store.clear()

    @property
    def numbers(self) -> Sequence[int]:
        """Of the rows, in slot order: first those that think."""
        return self._table.rows

    @property
    def num_thinking(self) -> int:
        return self._table.num_thinking

    @property
    def rows(self) -> list[ResidentRow]:
        """In slot order."""
        return [self._rows[number] for number in self._table.rows]

    @property
    def clip_slots(self) -> list[int]:
        """The slot of each row's clip, in the order of the rows' slots."""
        return self._table.clip_slots

    @property
    def prefix_tokens(self) -> list[int]:
        """Of the clips, in slot order."""
        return [self._clips[number].num_tokens for number in self._table.clips]

    @property
    def num_keys(self) -> int:
        """Tokens in the cache that a step of all rows reads at least: their own, and prefixes that are asked about."""
        return self._count_keys(set(self.clip_slots))

    @property
    def num_row_keys(self) -> int:
        """Tokens that the rows of such a step attend to: the same, a prefix once for each of its rows."""
        return self._count_keys(self.clip_slots)

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int) -> bool:
        """Whether the budget allows so many more rows and clips, of at most so many tokens each."""
        if self._memory_bytes is None:
            return True
        clip_bytes = self.clip_store.bytes_after(len(self._clips) + num_clips, clip_tokens)
        row_bytes = self.row_store.bytes_after(len(self._rows) + num_rows, row_tokens)
        return clip_bytes + row_bytes <= self._memory_bytes

    def reserve_clips(self, num_clips: int, num_tokens: int) -> int:
        """Make room for so many more clips, of at most so many tokens; the slot of the first."""
        self.clip_store.reserve(len(self._clips) + num_clips, num_tokens)
        return len(self._clips)

    def add_clip(self, number: int, clip: ResidentClip) -> None:
        self._table.add_clip(number)
        self._clips[number] = clip
        self.changes += 1

    def reserve_rows(self, num_rows: int, num_tokens: int) -> int:
        """Make room for so many more rows, of at most so many own tokens in all; the slot of the first."""
        self.row_store.reserve(len(self._rows) + num_rows, num_tokens)
        return len(self._rows)

    def add_row(self, number: int, clip: int) -> ResidentRow:
        """A row that has no tokens of its own yet."""
        self._table.add_row(number, clip)
        self._rows[number] = ResidentRow(num_own=0, next_position=self._clips[clip].next_position)
        self.changes += 1
        return self._rows[number]

    def begin_thinking(self, row: int) -> None:
        """From now on the row is one of those that hold many tokens."""
        self._move_rows(self._table.begin_thinking(row))

    def remove_row(self, row: int) -> None:
        num_tokens = self._move_rows(self._table.remove_row(row))
        del self._rows[row]
        self.row_store.erase(len(self._rows), num_tokens)

    def remove_clip(self, clip: int) -> None:
        """Free a clip that no row asks about any more."""
        self.clip_store.apply(self._table.remove_clip(clip), self.clip_store.capacity)
        del self._clips[clip]
        self.clip_store.erase(len(self._clips), self.clip_store.capacity)
        self.changes += 1

    def _count_keys(self, clip_slots: Iterable[int]) -> int:
        prefix_tokens = self.prefix_tokens
        return sum(row.num_own for row in self._rows.values()) + sum(prefix_tokens[slot] for slot in clip_slots)

    def _move_rows(self, moves: Sequence[Move]) -> int:
        """Copy as many tokens as any row holds; how many."""
        num_tokens = round_up(max(row.num_own for row in self._rows.values()))
        self.row_store.apply(moves, num_tokens)
        self.changes += 1
        return num_tokens
