"""Attention in prefills: whole prefixes into the slots of clips, and the suffixes of new rows into those of rows.

A pass is one forward pass of the language model as attention sees it: it knows which keys each token may see, and in
which slots keys and values lie. The pass of one token per row is in `token_step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own.device import attends_at_once
from framegate.pipelines.reason.engines.own.kv_cache import SlotStore

_QUERY_BLOCK = 128
_PART_TOKENS = 256  # what one part of a suffix pass computes then stays in a CPU's cache


class TextPass(Protocol):
    """Attention of one forward pass. The tokens of all rows are packed, one row behind the other: N of them."""

    def attend(
        self, layer: int, query_NHD: torch.Tensor, key_NKD: torch.Tensor, value_NKD: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Store the new keys and values of a layer and attend: (N, heads, head_size)."""
        ...


@runtime_checkable
class WatchingPass(TextPass, Protocol):
    """A pass that is also shown what the last layer starts from."""

    def watch(self, hidden_ND: torch.Tensor) -> None: ...


class PrefixPass:
    """Prefixes of `lengths` tokens into clip slots first_slot, first_slot + 1, ...; each sees itself, causally."""

    def __init__(self, store: SlotStore, first_slot: int, lengths: Sequence[int]) -> None:
        self._store = store
        self._first_slot = first_slot
        self._lengths = lengths
        later_QQ = torch.ones(_QUERY_BLOCK, _QUERY_BLOCK, dtype=torch.bool, device=store.keys[0].device).triu_(1)
        self._later_QQ = make_bias(later_QQ, store.keys[0])

    def attend(
        self, layer: int, query_NHD: torch.Tensor, key_NKD: torch.Tensor, value_NKD: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        keys, values = self._store.keys[layer], self._store.values[layer]
        outputs: list[torch.Tensor] = []
        start = 0
        for slot, length in enumerate(self._lengths, start=self._first_slot):
            query, key, value = (
                packed[start : start + length].transpose(0, 1) for packed in (query_NHD, key_NKD, value_NKD)
            )
            keys[slot, :, :, :length] = key.transpose(1, 2)
            values[slot, :, :length] = value
            if not attends_at_once(query):
                output = _attend_causally(query * scaling, keys[slot], values[slot], self._later_QQ)
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


class SuffixPass:
    """The suffixes of new rows in slots first_row, first_row + 1, ...: `num_new[i]` tokens each.

    Each row sees the prefix of its clip, in slot `clip_slots[i]`, and itself. Neighbouring rows of one clip are run
    together, so that the prefix is read once for them.
    """

    def __init__(
        self,
        clips: SlotStore,
        rows: SlotStore,
        *,
        first_row: int,
        num_new: Sequence[int],
        clip_slots: Sequence[int],
        prefix_tokens: Sequence[int],
    ) -> None:
        self._clips, self._rows = clips, rows
        device = rows.keys[0].device
        counts = torch.tensor(num_new, device=device)
        places = torch.arange(sum(num_new), device=device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        self._token_rows = torch.arange(first_row, first_row + len(num_new), device=device).repeat_interleave(counts)
        self._token_columns = places
        self._parts: list[_Part] = []
        start = 0
        for slot, lengths in _part_rows(clip_slots, num_new):
            end = start + sum(lengths)
            rows_T, columns_T = self._token_rows[start:end], places[start:end]
            is_other = rows_T[:, None] != rows_T
            self._parts.append(
                _Part(
                    tokens=slice(start, end),
                    clip_slot=slot,
                    num_prefix_tokens=prefix_tokens[slot],
                    bias_TT=make_bias(is_other | (columns_T[:, None] < columns_T), rows.keys[0]),
                )
            )
            start = end

    def attend(
        self, layer: int, query_NHD: torch.Tensor, key_NKD: torch.Tensor, value_NKD: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        num_tokens, num_heads, head_size = query_NHD.shape
        self._rows.keys[layer][self._token_rows, :, :, self._token_columns] = key_NKD
        self._rows.values[layer][self._token_rows, :, self._token_columns] = value_NKD
        query_HND, key_KND, value_KND = (packed.transpose(0, 1) for packed in (query_NHD, key_NKD, value_NKD))
        output_NHD = query_HND.new_empty(num_tokens, num_heads, head_size)
        # A mask and shared heads are more than the quick kernels of CUDA take.
        is_at_once = query_NHD.device.type == "cpu" and attends_at_once(query_NHD)
        attend = _attend_at_once if is_at_once else _attend_in_products
        for part in self._parts:
            output_HTD = attend(
                query_HND[:, part.tokens] * scaling,
                self._clips.keys[layer][part.clip_slot, :, :, : part.num_prefix_tokens],
                self._clips.values[layer][part.clip_slot, :, : part.num_prefix_tokens],
                key_KND[:, part.tokens],
                value_KND[:, part.tokens],
                part.bias_TT,
            )
            output_NHD[part.tokens] = output_HTD.transpose(0, 1)
        return output_NHD


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Tokens of some rows of one clip. `bias_TT` hides from each token those that it must not see."""

    tokens: slice
    clip_slot: int
    num_prefix_tokens: int
    bias_TT: torch.Tensor


def _part_rows(clip_slots: Sequence[int], num_new: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Neighbouring rows of one clip, at most `_PART_TOKENS` tokens but at least one row: its slot, their lengths."""
    lengths: list[int] = []
    for row, (slot, count) in enumerate(zip(clip_slots, num_new, strict=True)):
        lengths.append(count)
        is_last = row + 1 == len(num_new) or clip_slots[row + 1] != slot
        if is_last or sum(lengths) + num_new[row + 1] > _PART_TOKENS:
            yield slot, lengths
            lengths = []


def _attend_in_products(
    query_HTD: torch.Tensor,
    prefix_keys_KDP: torch.Tensor,
    prefix_values_KPD: torch.Tensor,
    key_KTD: torch.Tensor,
    value_KTD: torch.Tensor,
    bias_TT: torch.Tensor,
) -> torch.Tensor:
    """Attention to a prefix and, under a bias, to the tokens themselves: (heads, tokens, head_size)."""
    num_heads, num_tokens, head_size = query_HTD.shape
    num_prefix = prefix_keys_KDP.shape[2]
    query = query_HTD.reshape(len(key_KTD), -1, head_size)
    own = multiply_scores(query, key_KTD.transpose(1, 2))
    own.view(num_heads, num_tokens, -1).add_(bias_TT)
    scores = torch.cat([multiply_scores(query, prefix_keys_KDP), own], dim=-1)
    weights = scores.softmax(dim=-1).to(query.dtype)
    output = torch.bmm(weights[..., :num_prefix], prefix_values_KPD)
    output += torch.bmm(weights[..., num_prefix:], value_KTD)
    return output.view(num_heads, num_tokens, head_size)


def _attend_at_once(
    query_HTD: torch.Tensor,
    prefix_keys_KDP: torch.Tensor,
    prefix_values_KPD: torch.Tensor,
    key_KTD: torch.Tensor,
    value_KTD: torch.Tensor,
    bias_TT: torch.Tensor,
) -> torch.Tensor:
    """The same by torch's own attention, over a copy of the prefix. 4 rows of 32 tokens over 605 take 0.72 of the time
    with AMX: scores never leave the cache."""
    keys = torch.cat([prefix_keys_KDP.transpose(1, 2), key_KTD], dim=1)
    values = torch.cat([prefix_values_KPD, value_KTD], dim=1)
    bias = F.pad(bias_TT, (prefix_keys_KDP.shape[2], 0))
    return F.scaled_dot_product_attention(
        query_HTD[None],
        keys[None],
        values[None],
        attn_mask=bias,
        scale=1.0,
        enable_gqa=len(query_HTD) != len(keys),
    )[0]


def _attend_causally(
    query_HTD: torch.Tensor, keys_KDT: torch.Tensor, values_KTD: torch.Tensor, later_QQ: torch.Tensor
) -> torch.Tensor:
    """Causal attention within one sequence, as matrix products over blocks of queries: (heads, tokens, head_size)."""
    num_heads, num_tokens, head_size = query_HTD.shape
    num_kv_heads = len(keys_KDT)
    output = torch.empty_like(query_HTD)
    for start in range(0, num_tokens, _QUERY_BLOCK):
        end = min(start + _QUERY_BLOCK, num_tokens)
        block = query_HTD[:, start:end].reshape(num_kv_heads, -1, head_size)
        scores = multiply_scores(block, keys_KDT[:, :, :end]).view(num_heads, end - start, end)
        scores[:, :, start:].add_(later_QQ[: end - start, : end - start])
        weights = scores.softmax(dim=-1).to(block.dtype).view(num_kv_heads, -1, end)
        output[:, start:end] = torch.bmm(weights, values_KTD[:, :end]).view(num_heads, end - start, head_size)
    return output


def make_bias(is_hidden: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What is added to scores that `multiply_scores` computes of tensors like `like`: 0, or the least finite number.

    Takes half the time of filling scores under a mask.
    """
    dtype = _scores_dtype(like)
    return torch.zeros_like(is_hidden, dtype=dtype).masked_fill_(is_hidden, torch.finfo(dtype).min)


def multiply_scores(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """A batch of products of queries and keys. Scores are in fp32 on CUDA, and wherever the model is in float16: a
    hidden score that overflowed would not stay hidden."""
    if left.dtype == _scores_dtype(left):
        return torch.bmm(left, right)
    if left.is_cuda:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())


def _scores_dtype(like: torch.Tensor) -> torch.dtype:
    return torch.float32 if like.is_cuda or like.dtype == torch.float16 else like.dtype
