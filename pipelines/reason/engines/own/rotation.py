"""Rotary positions, as text layers and vision's attention both apply them: halves of a head turn against each other."""

from __future__ import annotations

import torch


def negate_first_half(sines: torch.Tensor) -> torch.Tensor:
    """What `rotate` wants of sines (..., head_size) whose halves are the same."""
    first, second = sines.chunk(2, dim=-1)
    return torch.cat([-first, second], dim=-1)


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """(..., head_size) by the angles of each place; `sines` come from `negate_first_half`."""
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)
