"""Where the keys and values of everything that runs lie: allocated ahead, never concatenated.

The cache has two stores. A clip's prefix is kept once, whoever asks about it; what an ask adds (its suffix, what the
model writes) is kept in a slot of its own. Keys stand transposed, head_size x tokens: one new query per row against
them is then a matrix product whose right side lies as the CPU's bf16 kernels want it, 3 times as fast as the usual
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from framegate.pipelines.reason.engines.own.request import Clip, Request
from framegate.pipelines.reason.engines.own.slots import Move, SlotTable

_STEP_TOKENS = 64  # capacities grow in these steps
_STEP_SLOTS = 4


@dataclass(frozen=True, kw_only=True)
class KeyValueShape:
    """What one token takes in a model: `num_layers` times keys and values of `num_heads` x `head_size`."""

    num_layers: int
    num_heads: int
    head_size: int
    dtype: torch.dtype

    @property
    def token_bytes(self) -> int:
        return self.num_layers * self.num_heads * self.head_size * 2 * self.dtype.itemsize


class SlotStore:
    """Keys (slots, kv_heads, head_size, capacity) and values (slots, kv_heads, capacity, head_size) of every layer.

    Slots and capacity grow when asked for; only `clear` gives memory back. A place that was not written since its slot
    was free is zero: masked places are multiplied by a probability of 0, and 0 * NaN would spread.
    """

    def __init__(self, shape: KeyValueShape, device: torch.device) -> None:
        self._shape = shape
        self._device = device
        self.num_slots = 0
        self.capacity = 0
        self.version = 0  # counts up whenever `keys` and `values` become other tensors
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._allocate(0, 0)

    def reserve(self, num_slots: int, num_tokens: int) -> None:
        """Make room for `num_slots` slots of `num_tokens` tokens; what is there stays.

        Where memory does not suffice, all contents are lost, and `clear` must follow.
        """
        num_slots, capacity = self._sizes(num_slots, num_tokens)
        if (num_slots, capacity) != (self.num_slots, self.capacity):
            self._allocate(num_slots, capacity)

    def bytes_after(self, num_slots: int, num_tokens: int) -> int:
        """The store's size after such a `reserve`."""
        num_slots, capacity = self._sizes(num_slots, num_tokens)
        return num_slots * capacity * self._shape.token_bytes

    def clear(self) -> None:
        """Give all memory back."""
        self.keys, self.values = [], []
        self._allocate(0, 0)

    def apply(self, moves: Iterable[Move], num_tokens: int) -> None:
        """Copy between slots; `num_tokens` is the most that any of them holds."""
        for move in moves:
            for keys, values in zip(self.keys, self.values, strict=True):
                _move(keys[..., :num_tokens], move)
                _move(values[:, :, :num_tokens], move)

    def erase(self, slot: int, num_tokens: int) -> None:
        """Zero a slot that is free now and held at most `num_tokens`."""
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[slot, ..., :num_tokens] = 0
            values[slot, :, :num_tokens] = 0

    def _sizes(self, num_slots: int, num_tokens: int) -> tuple[int, int]:
        return (
            max(round_up(num_slots, _STEP_SLOTS), self.num_slots),
            max(round_up(num_tokens), self.capacity),
        )

    def _allocate(self, num_slots: int, capacity: int) -> None:
        shape = self._shape
        old, self.num_slots, self.capacity = self.num_slots, num_slots, capacity
        self.version += 1
        keys, values, self.keys, self.values = self.keys[::-1], self.values[::-1], [], []
        for _ in range(shape.num_layers):  # one layer after the other: the peak is one layer above the result
            new_keys = self._zeros(num_slots, shape.num_heads, shape.head_size, capacity)
            new_values = self._zeros(num_slots, shape.num_heads, capacity, shape.head_size)
            if keys:
                old_keys, old_values = keys.pop(), values.pop()
                kept = old_keys.shape[3]
                new_keys[:old, ..., :kept] = old_keys[:old, ..., :kept]
                new_values[:old, :, :kept] = old_values[:old, :, :kept]
            self.keys.append(new_keys)
            self.values.append(new_values)

    def _zeros(self, *sizes: int) -> torch.Tensor:
        return torch.zeros(sizes, dtype=self._shape.dtype, device=self._device)


class KVCache:
    """Two stores, of clips and of rows, and who stands in which slot. `memory_bytes` bounds the stores and the rows'
    value controls; None does not.

    Rows are requests. What the cache sets of requests and clips is said in `request`.
    """

    def __init__(self, shape: KeyValueShape, device: torch.device, *, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        self._table: SlotTable[Request, Clip] = SlotTable()
        self.clip_store = SlotStore(shape, device)
        self.row_store = SlotStore(shape, device)
        self.num_changes = 0  # counts up whenever a row or clip comes, goes or moves

    def clear(self) -> None:
        """Forget every clip and row, and give their memory back."""
        for clip in self._table.clips:
            clip.is_in_slot = False
        self._table = SlotTable()
        self.clip_store.clear()
        self.row_store.clear()
        self.num_changes += 1

    @property
    def rows(self) -> Sequence[Request]:
        """In slot order: first those that think, at the end those that are paused."""
        return self._table.rows

    @property
    def num_stepping(self) -> int:
        """Rows that take part in token steps, in the first slots: all but the paused ones."""
        return self._table.num_stepping

    @property
    def num_thinking(self) -> int:
        return self._table.num_thinking

    @property
    def clip_slots(self) -> list[int]:
        """The slot of each row's clip, in the order of the rows' slots."""
        return self._table.clip_slots

    @property
    def prefix_tokens(self) -> list[int]:
        """Of the clips, in slot order."""
        return [clip.num_prefix_tokens for clip in self._table.clips]

    @property
    def num_keys(self) -> int:
        """Tokens that a step reads at least: its rows' own, and each prefix that they ask about once."""
        return self._count_keys(set(self.clip_slots[: self.num_stepping]))

    @property
    def num_row_keys(self) -> int:
        """Tokens that the rows of such a step attend to: the same, with a prefix once for each of its rows."""
        return self._count_keys(self.clip_slots[: self.num_stepping])

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int, control_bytes: int = 0) -> bool:
        """Whether the budget allows so many more rows and clips, of at most so many tokens each, and so many bytes of
        value controls for these rows."""
        if self._memory_bytes is None:
            return True
        clip_bytes = self.clip_store.bytes_after(len(self._table.clips) + num_clips, clip_tokens)
        row_bytes = self.row_store.bytes_after(len(self._table.rows) + num_rows, row_tokens)
        control_bytes += sum(row.control_bytes for row in self.rows)
        return clip_bytes + row_bytes + control_bytes <= self._memory_bytes

    def reserve_clips(self, num_clips: int, num_tokens: int) -> int:
        """Make room for so many more clips, of at most so many tokens; the slot of the first."""
        self.clip_store.reserve(len(self._table.clips) + num_clips, num_tokens)
        return len(self._table.clips)

    def add_clip(self, clip: Clip, *, next_position: int) -> None:
        self._table.add_clip(clip)
        clip.is_in_slot, clip.next_position = True, next_position
        self.num_changes += 1

    def reserve_rows(self, num_rows: int, num_tokens: int) -> int:
        """Make room for so many more rows, of at most so many own tokens; the slot of the first, if all are added."""
        self.row_store.reserve(len(self._table.rows) + num_rows, num_tokens)
        return self.num_stepping

    def add_row(self, row: Request) -> None:
        """A row that has no tokens of its own yet, in the slot behind all that step. Its clip must be in a slot."""
        moves = self._table.add_row(row, row.clip)
        row.num_own_tokens, row.next_position, row.is_in_front = 0, row.clip.next_position, False
        num_tokens = self._move_rows(moves, self._rows_behind)
        if moves:
            self.row_store.erase(self.num_stepping - 1, num_tokens)

    def begin_thinking(self, row: Request) -> None:
        """From now on the row, paused or not, is one of those that hold many tokens."""
        behind = self._rows_behind
        self._move_rows(self._table.begin_thinking(row), behind)
        row.is_in_front = True

    def pause(self, row: Request) -> None:
        """The row keeps its slot and takes no part in token steps, until it begins to think."""
        self._move_rows(self._table.pause(row), self._rows_behind)

    def remove_row(self, row: Request) -> None:
        most_tokens = self._move_rows(self._table.remove_row(row), (*self.rows, row))
        self.row_store.erase(len(self._table.rows), most_tokens)

    def remove_clip(self, clip: Clip) -> None:
        """Free a clip that no row asks about any more."""
        self.clip_store.apply(self._table.remove_clip(clip), self.clip_store.capacity)
        self.clip_store.erase(len(self._table.clips), self.clip_store.capacity)
        clip.is_in_slot = False
        self.num_changes += 1

    def _count_keys(self, clip_slots: Iterable[int]) -> int:
        prefix_tokens = self.prefix_tokens
        num_own = sum(row.num_own_tokens for row in self.rows[: self.num_stepping])
        return num_own + sum(prefix_tokens[slot] for slot in clip_slots)

    @property
    def _rows_behind(self) -> Sequence[Request]:
        """All but those that think: they hold few tokens."""
        return self.rows[self.num_thinking :]

    def _move_rows(self, moves: Sequence[Move], rows: Sequence[Request]) -> int:
        """Apply moves of some of these rows, over the length of the longest, and return that length.

        One token more: a graph of a token step may have run a paused row along.
        """
        num_tokens = round_up(max(row.num_own_tokens for row in rows) + 1)
        self.row_store.apply(moves, num_tokens)
        self.num_changes += 1
        return num_tokens


def round_up(number: int, step: int = _STEP_TOKENS) -> int:
    """To the next step: few different sizes mean few kernels to prepare, and none per token."""
    return -(-number // step) * step


def _move(stored: torch.Tensor, move: Move) -> None:
    if move.swap:
        kept = stored[move.target].clone()
        stored[move.target] = stored[move.source]
        stored[move.source] = kept
    else:
        stored[move.target] = stored[move.source]
