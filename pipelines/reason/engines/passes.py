"""What one forward pass of the language model sees and leaves: the other half of attention, which knows the slots.

Two kinds. A PrefixPass runs whole prefixes, packed one behind the other, and leaves their keys and values in the clips'
slots. A RowsPass adds tokens to running rows (their questions' words, or one token each) and attends to two places at
once: the prefix of the row's clip, read once for all rows of that clip, and the row's own slot; one softmax spans
both. Knows nothing of what the tokens say.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from pipelines.reason.engines.company import Company
from pipelines.reason.engines.keys_values import SlotStore, round_up

_QUERY_BLOCK = 128


class TextPass(Protocol):
    """One forward pass, from attention's side. Tokens of all rows stand packed: N of them."""

    def attend(
        self, layer: int, query_HND: torch.Tensor, key_KND: torch.Tensor, value_KND: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Store the new keys and values of a layer and attend: (N, heads, head_size)."""
        ...


class PrefixPass:
    """Prefixes of `lengths` tokens into clip slots first_slot, first_slot + 1, ...; each sees itself, causally."""

    def __init__(self, store: SlotStore, first_slot: int, lengths: Sequence[int]) -> None:
        self._store = store
        self._first_slot = first_slot
        self._lengths = lengths

    def attend(
        self, layer: int, query_HND: torch.Tensor, key_KND: torch.Tensor, value_KND: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        keys, values = self._store.keys[layer], self._store.values[layer]
        outputs: list[torch.Tensor] = []
        start = 0
        for slot, length in enumerate(self._lengths, start=self._first_slot):
            query, key, value = (packed[:, start : start + length] for packed in (query_HND, key_KND, value_KND))
            keys[slot, :, :, :length] = key.transpose(1, 2)
            values[slot, :, :length] = value
            if query.device.type == "cpu":
                output = _attend_causally(query * scaling, keys[slot], values[slot])
            else:
                output = F.scaled_dot_product_attention(
                    query[None],
                    key[None],
                    value[None],
                    is_causal=True,
                    scale=scaling,
                    enable_gqa=len(query) != len(key),
                )[0]
            outputs.append(output.transpose(0, 1))
            start += length
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """Rows [first, end) of a pass hold at most `num_tokens` tokens each, the new ones included."""

    first: int
    end: int
    num_tokens: int


class RowsPass:
    """New tokens for the rows in slots first_row, first_row + 1, ...: `num_new[i]` of them after `num_own[i]` own ones.

    `groups` cover all rows. Tokens come and leave packed, row after row.
    """

    def __init__(
        self,
        clips: SlotStore,
        rows: SlotStore,
        company: Company,
        *,
        first_row: int,
        num_own: Sequence[int],
        num_new: Sequence[int],
        groups: Sequence[RowGroup],
        num_own_seen: int | None = None,
    ) -> None:
        """`num_own_seen`: how many own tokens to attend to, where more than needed shall make a shape that recurs."""
        device = rows.keys[0].device
        self._clips, self._rows, self._company = clips, rows, company
        self._first_row, self._groups = first_row, groups
        self._width = max(num_new)
        own, new = np.asarray(num_own), np.asarray(num_new)
        row_of_token = np.repeat(np.arange(len(new)), new)
        place_in_row = np.arange(len(row_of_token)) - np.repeat(np.cumsum(new) - new, new)
        self._token_rows = torch.from_numpy(row_of_token + first_row).to(device)
        self._token_columns = torch.from_numpy(own[row_of_token] + place_in_row).to(device)
        self._num_own_seen = num_own_seen or round_up(int((own + new).max()))
        self._unpack: torch.Tensor | None = None
        if self._width > 1:
            # Padding repeats token 0; what it computes is never packed again.
            padded = np.zeros((len(new), self._width), dtype=np.int64)
            padded[row_of_token, place_in_row] = np.arange(len(row_of_token))
            self._unpack = torch.from_numpy(padded.reshape(-1)).to(device)
            self._pack = torch.from_numpy(row_of_token * self._width + place_in_row).to(device)
        last_seen = torch.from_numpy(own[:, None] + np.arange(self._width)).to(device)
        own_seen_RTS = torch.arange(self._num_own_seen, device=device) <= last_seen[..., None]
        prefix_seen_RTP = company.prefix_seen_RP[:, None].expand(-1, self._width, -1)
        self._hidden_RTL = ~torch.cat([prefix_seen_RTP, own_seen_RTS], dim=-1)[:, None]

    @property
    def signature(self) -> Hashable:
        """Equal for passes of one new token per row that do the same but for what their buffers hold."""
        return self._first_row, self._num_own_seen, tuple(self._groups), self._company.signature

    def copy_buffers(self, other: RowsPass) -> None:
        """Become `other`, a pass of the same signature, in place."""
        for mine, its in zip(self._buffers, other._buffers, strict=True):
            mine.copy_(its)

    @property
    def _buffers(self) -> list[torch.Tensor]:
        return [self._token_rows, self._token_columns, self._hidden_RTL, *self._company.buffers]

    def attend(
        self, layer: int, query_HND: torch.Tensor, key_KND: torch.Tensor, value_KND: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        num_heads, _, head_size = query_HND.shape
        num_kv_heads, num_rows, width = key_KND.shape[0], self._company.num_rows, self._width
        group = num_heads // num_kv_heads
        own_keys, own_values = self._rows.keys[layer], self._rows.values[layer]
        own_keys[self._token_rows, :, :, self._token_columns] = key_KND.transpose(0, 1)
        own_values[self._token_rows, :, self._token_columns] = value_KND.transpose(0, 1)

        query_NHD = query_HND.transpose(0, 1) * scaling
        if self._unpack is not None:
            query_NHD = query_NHD[self._unpack]
        # (rows x kv_heads, group x width, head_size): one matrix of queries for each row and kv head
        query = query_NHD.reshape(num_rows, width, num_kv_heads, group, head_size).permute(0, 2, 3, 1, 4)
        query = query.reshape(num_rows * num_kv_heads, group * width, head_size)

        scores = self._scores(layer, query, own_keys)
        hidden = self._hidden_RTL
        scores.view(num_rows, num_kv_heads * group, width, -1).masked_fill_(hidden, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1).to(query.dtype)
        output = self._weigh(layer, weights, own_values)

        output = output.view(num_rows, num_kv_heads, group, width, head_size).permute(0, 3, 1, 2, 4)
        output_NHD = output.reshape(num_rows * width, num_heads, head_size)
        return output_NHD if self._unpack is None else output_NHD[self._pack]

    def _scores(self, layer: int, query: torch.Tensor, own_keys: torch.Tensor) -> torch.Tensor:
        """(rows x kv_heads, queries, prefix + own tokens); where a group holds fewer tokens than others, anything."""
        num_prefix = self._company.num_prefix_tokens
        prefix = self._company.multiply(query, self._clips.keys[layer][..., :num_prefix], _product)
        scores = prefix.new_empty(len(query), query.shape[1], num_prefix + self._num_own_seen)
        scores[..., :num_prefix] = prefix
        for rows, slots, num_tokens in self._parts(query):
            keys = own_keys[slots, :, :, :num_tokens].flatten(0, 1)
            scores[rows, :, num_prefix : num_prefix + num_tokens] = _product(query[rows], keys)
        return scores

    def _weigh(self, layer: int, weights: torch.Tensor, own_values: torch.Tensor) -> torch.Tensor:
        """(rows x kv_heads, queries, head_size): the values under the weights."""
        num_prefix = self._company.num_prefix_tokens
        output = self._company.multiply(weights[..., :num_prefix], self._clips.values[layer][:, :, :num_prefix])
        for rows, slots, num_tokens in self._parts(weights):
            values = own_values[slots, :, :num_tokens].flatten(0, 1)
            output[rows] += torch.bmm(weights[rows, :, num_prefix : num_prefix + num_tokens], values)
        return output

    def _parts(self, by_row: torch.Tensor) -> Iterator[tuple[slice, slice, int]]:
        """Per group: where its rows stand in (rows x kv_heads, ...), their slots, and how many tokens to read."""
        num_kv_heads = len(by_row) // self._company.num_rows
        for group in self._groups:
            rows = slice(group.first * num_kv_heads, group.end * num_kv_heads)
            slots = slice(self._first_row + group.first, self._first_row + group.end)
            yield rows, slots, round_up(group.num_tokens)


def _attend_causally(query_HTD: torch.Tensor, keys_KDT: torch.Tensor, values_KTD: torch.Tensor) -> torch.Tensor:
    """A sequence that sees itself, as plain matrix products over blocks of queries: (heads, tokens, head_size).

    On CPUs without AMX torch's flash kernel takes 2 to 3 times as long in bf16: it packs both sides anew per block.
    """
    num_heads, num_tokens, head_size = query_HTD.shape
    num_kv_heads = len(keys_KDT)
    output = torch.empty_like(query_HTD)
    for start in range(0, num_tokens, _QUERY_BLOCK):
        end = min(start + _QUERY_BLOCK, num_tokens)
        block = query_HTD[:, start:end].reshape(num_kv_heads, -1, head_size)
        scores = torch.bmm(block, keys_KDT[:, :, :end]).view(num_heads, end - start, end)
        later = torch.ones(end - start, end - start, dtype=torch.bool).triu_(1)
        scores[:, :, start:].masked_fill_(later, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1).view(num_kv_heads, -1, end)
        output[:, start:end] = torch.bmm(weights, values_KTD[:, :end]).view(num_heads, end - start, head_size)
    return output


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """A batch of matrix products; scores keep fp32 where the device can give it."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left, right)
