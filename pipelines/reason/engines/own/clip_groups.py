"""Which rows ask about which clip, as index tables: they bring the queries of one clip together, so that its keys and
values are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from framegate.pipelines.reason.engines.own.kv_cache import round_up

_LEVEL_COST = 16  # another product costs about as much as so many rows in it
_CLIP_STEP, _PREFIX_STEP = 8, 512  # where few different shapes are wanted


class StoreSize(NamedTuple):
    """How many slots there are to read, and how many tokens each holds."""

    num_slots: int
    capacity: int


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Up to `rows_per_clip` rows of each clip in these slots; `gather` picks (clips x kv_heads x rows_per_clip)."""

    clips: slice
    rows_per_clip: int
    gather: torch.Tensor


class ClipGroups:
    """Rows by clip: `clip_slots[i]` is the slot of row i's clip, `prefix_tokens[c]` the length of the prefix in slot c.

    They stay valid until a row comes, goes or moves. Clips have different numbers of rows, and one product needs the
    same number of each: rows beyond the usual number go into further products, over the clips with more rows alone.
    """

    def __init__(
        self,
        clip_slots: Sequence[int],
        prefix_tokens: Sequence[int],
        *,
        num_kv_heads: int,
        device: torch.device,
        round_shapes_to: StoreSize | None = None,
    ) -> None:
        """With `round_shapes_to`, the size of the store, there is one product, of a shape that other steps have too."""
        slots, lengths = np.asarray(clip_slots), np.asarray(prefix_tokens)
        self.num_rows = len(slots)
        counts = np.bincount(slots)
        order = np.argsort(slots, kind="stable")
        places = np.empty(len(slots), dtype=np.int64)  # of each row among those of its clip
        places[order] = np.arange(len(slots)) - np.repeat(np.cumsum(counts) - counts, counts)
        heads = np.arange(num_kv_heads)
        scatter = np.empty((len(slots), num_kv_heads), dtype=np.int64)
        self._levels: list[_Level] = []
        num_before = 0
        width = _choose_width(counts) if round_shapes_to is None else 1 << int(counts.max() - 1).bit_length()
        for first_place in range(0, int(counts.max()), width):
            larger = np.flatnonzero(counts > first_place)
            first, end = int(larger[0]), int(larger[-1]) + 1
            if round_shapes_to is not None:
                first, end = 0, min(round_up(end, _CLIP_STEP), round_shapes_to.num_slots)
            here = np.flatnonzero((places >= first_place) & (places < first_place + width))
            rows = np.full((end - first, width), here[0])  # free places repeat a row; their products are not read
            rows[slots[here] - first, places[here] - first_place] = here
            gather = rows[:, None, :] * num_kv_heads + heads[:, None]
            scatter[here] = num_before + (
                ((slots[here] - first)[:, None] * num_kv_heads + heads) * width + (places[here] - first_place)[:, None]
            )
            num_before += gather.size
            self._levels.append(
                _Level(
                    clips=slice(first, end),
                    rows_per_clip=width,
                    gather=torch.from_numpy(gather.reshape(-1)).to(device),
                )
            )
        self._scatter = torch.from_numpy(scatter.reshape(-1)).to(device)
        self.num_prefix_tokens = round_up(int(lengths[slots].max()))
        if round_shapes_to is not None:
            self.num_prefix_tokens = min(round_up(self.num_prefix_tokens, _PREFIX_STEP), round_shapes_to.capacity)
        self.prefix_seen_RP = torch.from_numpy(np.arange(self.num_prefix_tokens) < lengths[slots][:, None]).to(device)

    @property
    def signature(self) -> Hashable:
        """Equal for groups whose products have the same shapes."""
        levels = tuple((level.clips.start, level.clips.stop, level.rows_per_clip) for level in self._levels)
        return self.num_rows, self.num_prefix_tokens, levels

    @property
    def buffers(self) -> list[torch.Tensor]:
        """The tensors that differ between groups of one signature."""
        return [self._scatter, *(level.gather for level in self._levels)]

    def multiply(
        self,
        by_row: torch.Tensor,
        by_clip: torch.Tensor,
        product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.bmm,
    ) -> torch.Tensor:
        """Each row's matrices times those of its clip.

        `by_row` (rows x kv_heads, n, k), `by_clip` (clip slots, kv_heads, k, m): (rows x kv_heads, n, m).
        """
        num_queries = by_row.shape[1]
        parts: list[torch.Tensor] = []
        for level in self._levels:
            together = by_row.index_select(0, level.gather).view(-1, level.rows_per_clip * num_queries, by_row.shape[2])
            multiplied = product(together, by_clip[level.clips].flatten(0, 1))
            parts.append(multiplied.view(-1, num_queries, by_clip.shape[3]))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).index_select(0, self._scatter)


def _choose_width(counts: np.ndarray) -> int:
    """The rows per clip and product that make the least work, counted in rows: free places and further products."""
    most = int(counts.max())
    widths = {most, *(1 << power for power in range(most.bit_length()))}
    return min(sorted(widths), key=lambda width: _work(counts, most, width))


def _work(counts: np.ndarray, most: int, width: int) -> int:
    work = 0
    for first_place in range(0, most, width):
        larger = np.flatnonzero(counts > first_place)
        work += (int(larger[-1]) + 1 - int(larger[0])) * width + _LEVEL_COST
    return work
