"""The attention of a vision tower, in place of the modules that transformers puts into the tower's blocks.

A tower attends within windows of a few lengths (a window of the tower, or a frame). All windows of one length are run
at once, where transformers runs one after the other: 200 calls in each layer for 16 small frames. The text model uses
the same rotation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own.device import attends_at_once

_MAX_SCORES = 1 << 25  # of one batch of windows on the CPU: 64 MiB in bf16
_NUM_REMEMBERED = 4

T = TypeVar("T")


def replace_attention(tower: Any) -> None:
    """Let the blocks of a loaded vision tower attend by `WindowAttention`; weights stay."""
    windows = _Remembering(group_windows)
    cosines, sines = _Remembering(_widen), _Remembering(_widen_and_negate)
    for block in tower.blocks:
        block.attn = WindowAttention(block.attn, windows, cosines, sines)


@dataclass(frozen=True)
class Windows:
    """All windows of one length: `places_WL` of their tokens, or None where they are all tokens in their order."""

    length: int
    places_WL: torch.Tensor | None


class _Remembering(Generic[T]):
    """Keeps what it made of the last few tensors. All blocks are given the same tensors, and asking a GPU for their
    numbers in each block would make Python wait for it."""

    def __init__(self, make: Callable[[torch.Tensor], T]) -> None:
        self._make = make
        self._made: list[tuple[torch.Tensor, T]] = []

    def __call__(self, tensor: torch.Tensor) -> T:
        for known, made in self._made:
            if known is tensor:
                return made
        made = self._make(tensor)
        self._made = [*self._made[1 - _NUM_REMEMBERED :], (tensor, made)]
        return made


class WindowAttention(nn.Module):
    """Over patches packed window by window. They are rotated in float32, as the published models do it."""

    def __init__(
        self,
        attention: Any,
        windows: Callable[[torch.Tensor], list[Windows]],
        cosines: Callable[[torch.Tensor], torch.Tensor],
        sines: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self._num_heads, self._scaling = attention.num_heads, attention.scaling
        self._windows, self._cosines, self._sines = windows, cosines, sines

    def forward(
        self,
        hidden_states: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **_: Any,
    ) -> torch.Tensor:
        """The signature that transformers calls. `cu_seqlens` (windows + 1) are the windows' borders;
        `position_embeddings` cosines and sines (N, head_size)."""
        fused_N3HD = self.qkv(hidden_states).view(len(hidden_states), 3, self._num_heads, -1)
        cos, sin = position_embeddings
        wide = fused_N3HD[:, :2].float()
        rotated = rotate(wide, self._cosines(cos), self._sines(sin)).to(hidden_states.dtype)
        query_NHD, key_NHD, value_NHD = rotated[:, 0], rotated[:, 1], fused_N3HD[:, 2]
        output_NHD = attend_windows(query_NHD, key_NHD, value_NHD, self._windows(cu_seqlens), self._scaling)
        return self.proj(output_NHD.reshape(len(hidden_states), -1))


def negate_first_half(sines: torch.Tensor) -> torch.Tensor:
    """The form in which `rotate` takes sines (..., head_size) whose halves are the same."""
    first, second = sines.chunk(2, dim=-1)
    return torch.cat([-first, second], dim=-1)


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Rotary positions: the halves of each head (..., head_size) turn against each other by the angles of its place."""
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)


def attend_windows(
    query_NHD: torch.Tensor, key_NHD: torch.Tensor, value_NHD: torch.Tensor, windows: list[Windows], scaling: float
) -> torch.Tensor:
    """Each window sees all of itself and nothing else: (N, heads, head_size)."""
    output_NHD = torch.empty_like(value_NHD, memory_format=torch.contiguous_format)
    for each in windows:
        query, key, value = (_take(packed, each) for packed in (query_NHD, key_NHD, value_NHD))
        output = _attend(query, key, value, scaling).transpose(1, 2)
        if each.places_WL is None:
            return output.flatten(0, 1)
        output_NHD[each.places_WL] = output
    return output_NHD


def group_windows(borders: torch.Tensor) -> list[Windows]:
    """By length. `borders` (windows + 1) begin at 0 and end with the number of tokens."""
    starts, lengths = borders[:-1], borders.diff()
    every = lengths.unique().tolist()
    if len(every) == 1:
        return [Windows(every[0], None)]
    return [
        Windows(length, starts[lengths == length][:, None] + torch.arange(length, device=borders.device))
        for length in every
    ]


def _take(packed_NHD: torch.Tensor, windows: Windows) -> torch.Tensor:
    """(windows, heads, length, head_size)"""
    if windows.places_WL is None:
        return packed_NHD.unflatten(0, (-1, windows.length)).transpose(1, 2)
    return packed_NHD[windows.places_WL].transpose(1, 2)


def _widen(cosines_ND: torch.Tensor) -> torch.Tensor:
    return cosines_ND.float()[:, None, None]


def _widen_and_negate(sines_ND: torch.Tensor) -> torch.Tensor:
    return negate_first_half(sines_ND.float())[:, None, None]


def _attend(query_WHLD: torch.Tensor, key_WHLD: torch.Tensor, value_WHLD: torch.Tensor, scaling: float) -> torch.Tensor:
    num_windows, num_heads, length, _ = query_WHLD.shape
    num_each = _MAX_SCORES // (num_heads * length * length)
    if num_each == 0 or attends_at_once(query_WHLD):
        return F.scaled_dot_product_attention(query_WHLD, key_WHLD, value_WHLD, scale=scaling)
    outputs: list[torch.Tensor] = []
    for start in range(0, num_windows, num_each):
        query, key, value = (
            part[start : start + num_each].flatten(0, 1) for part in (query_WHLD, key_WHLD, value_WHLD)
        )
        weights = torch.bmm(query * scaling, key.transpose(1, 2).contiguous()).softmax(dim=-1)
        outputs.append(torch.bmm(weights, value).unflatten(0, (-1, num_heads)))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
