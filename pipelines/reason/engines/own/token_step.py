"""Attention in a token step: one new token per running row.

Each row attends to two places at once: the prefix of its clip, read once for all rows of that clip, and its own slot.
One softmax spans both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own.clip_groups import ClipGroups
from framegate.pipelines.reason.engines.own.kv_cache import SlotStore, round_up
from framegate.pipelines.reason.engines.own.prefill import make_bias, multiply_scores


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """Rows [first, end) of a pass hold at most `num_tokens` tokens each, the new ones included."""

    first: int
    end: int
    num_tokens: int


class StepPass:
    """One new token for each of the rows in slots 0, 1, ...: row i has `num_own[i]` tokens of its own already.

    `row_groups` cover all rows.
    """

    def __init__(
        self,
        clips: SlotStore,
        rows: SlotStore,
        clip_groups: ClipGroups,
        *,
        num_own: Sequence[int],
        row_groups: Sequence[RowGroup],
    ) -> None:
        device = rows.keys[0].device
        self._clips, self._rows, self._clip_groups, self._row_groups = clips, rows, clip_groups, row_groups
        self._token_rows = torch.arange(len(num_own), device=device)
        self._token_columns = torch.tensor(num_own, device=device)
        self._num_own_seen = round_up(max(group.num_tokens for group in row_groups))
        own_seen_RS = torch.arange(self._num_own_seen, device=device) <= self._token_columns[:, None]
        hidden_RL = ~torch.cat([clip_groups.prefix_seen_RP, own_seen_RS], dim=-1)
        self._bias_RL = make_bias(hidden_RL, rows.keys[0])

    @property
    def signature(self) -> Hashable:
        """Equal for passes that differ only in the contents of their buffers."""
        return self._num_own_seen, tuple(self._row_groups), self._clip_groups.signature

    def copy_buffers(self, other: StepPass) -> None:
        """Become `other`, a pass of the same signature, in place."""
        for mine, its in zip(self._buffers, other._buffers, strict=True):
            mine.copy_(its)

    @property
    def _buffers(self) -> list[torch.Tensor]:
        return [self._token_rows, self._token_columns, self._bias_RL, *self._clip_groups.buffers]

    def attend(
        self, layer: int, query_NHD: torch.Tensor, key_NKD: torch.Tensor, value_NKD: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        num_rows, num_heads, head_size = query_NHD.shape
        num_kv_heads = key_NKD.shape[1]
        own_keys, own_values = self._rows.keys[layer], self._rows.values[layer]
        own_keys[self._token_rows, :, :, self._token_columns] = key_NKD
        own_values[self._token_rows, :, self._token_columns] = value_NKD
        # One matrix for each row and kv head: the queries of its group of heads.
        query = (query_NHD * scaling).reshape(num_rows * num_kv_heads, -1, head_size)
        scores = self._scores(layer, query, own_keys)
        scores.view(num_rows, num_heads, -1).add_(self._bias_RL[:, None])
        weights = scores.softmax(dim=-1).to(query.dtype)
        return self._weigh(layer, weights, own_values).view(num_rows, num_heads, head_size)

    def _scores(self, layer: int, query: torch.Tensor, own_keys: torch.Tensor) -> torch.Tensor:
        """(rows x kv_heads, queries, prefix + own tokens); zeros where a group holds fewer tokens than another."""
        num_prefix = self._clip_groups.num_prefix_tokens
        parts = [self._clip_groups.multiply(query, self._clips.keys[layer][..., :num_prefix], multiply_scores)]
        for rows, slots, num_tokens in self._parts(query):
            own = multiply_scores(query[rows], own_keys[slots, :, :, :num_tokens].flatten(0, 1))
            parts.append(F.pad(own, (0, self._num_own_seen - num_tokens)) if num_tokens < self._num_own_seen else own)
        own = parts[1] if len(parts) == 2 else torch.cat(parts[1:])
        return torch.cat([parts[0], own], dim=-1)

    def _weigh(self, layer: int, weights: torch.Tensor, own_values: torch.Tensor) -> torch.Tensor:
        """(rows x kv_heads, queries, head_size): the values under the weights."""
        num_prefix = self._clip_groups.num_prefix_tokens
        output = self._clip_groups.multiply(weights[..., :num_prefix], self._clips.values[layer][:, :, :num_prefix])
        for rows, slots, num_tokens in self._parts(weights):
            values = own_values[slots, :, :num_tokens].flatten(0, 1)
            output[rows] += torch.bmm(weights[rows, :, num_prefix : num_prefix + num_tokens], values)
        return output

    def _parts(self, by_row: torch.Tensor) -> Iterator[tuple[slice, slice, int]]:
        """Per group: where its rows stand in (rows x kv_heads, ...), their slots, and how many tokens to read."""
        num_kv_heads = len(by_row) // self._clip_groups.num_rows
        for group in self._row_groups:
            rows = slice(group.first * num_kv_heads, group.end * num_kv_heads)
            yield rows, slice(group.first, group.end), round_up(group.num_tokens)
