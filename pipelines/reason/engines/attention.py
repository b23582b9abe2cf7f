"""Attention with grouped heads that copies no keys or values, registered with transformers under a name of our own.

transformers repeats keys and values for every query head of a group wherever a mask is given; at batch sizes of a
decode step that copying was 64 % of the step. Here the queries of a group stand together as rows instead. Knows
nothing of slots: keys, values and mask come as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from transformers import AttentionInterface

NAME = "framegate_grouped"


def register() -> None:
    """Make the name known to transformers; again is harmless."""
    AttentionInterface.register(NAME, attend_grouped)


def attend_grouped(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The signature that transformers calls. query (B, heads, T, D), key and value (B, kv_heads, L, D).

    A bool mask (B, 1, T, L) says what may be seen; without one, text is causal (T = L) and vision sees everything.
    """
    batch, num_heads, num_queries, head_size = query.shape
    num_kv_heads = key.shape[1]
    if attention_mask is None:
        causal = num_queries > 1 and (is_causal if is_causal is not None else bool(getattr(module, "is_causal", True)))
        output = F.scaled_dot_product_attention(
            query, key, value, is_causal=causal, scale=scaling, enable_gqa=num_heads != num_kv_heads
        )
    else:
        group = num_heads // num_kv_heads
        rows = query.reshape(batch, num_kv_heads, group * num_queries, head_size)
        mask = attention_mask if num_queries == 1 else attention_mask.repeat(1, 1, group, 1)
        output = F.scaled_dot_product_attention(rows, key, value, attn_mask=mask, scale=scaling)
        output = output.reshape(batch, num_heads, num_queries, head_size)
    return output.transpose(1, 2).contiguous(), None
