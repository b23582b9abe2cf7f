"""The vision tower of a Qwen3-VL model over many frame pairs at once, for training.

The tower's own forward attends to one frame pair after the other in a Python loop: with 300 pairs of 4 patches in a
batch that loop costs more than the attention. All pairs have one size here, so they are one batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision


def look(visual: Any, patches_PND: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Equals `visual.forward` pair by pair, for P square pairs of N patches that merge into one token each.

    Returns the video tokens (P, hidden) and the deepstack features, one (P, hidden) for each level.
    """
    num_pairs, num_patches, _ = patches_PND.shape
    side = math.isqrt(num_patches)
    rows = torch.arange(side).repeat_interleave(side)
    columns = torch.arange(side).repeat(side)
    # A 2 x 2 grid stands on the corners of the square table of learnt positions: no interpolation is needed.
    table = math.isqrt(visual.pos_embed.weight.shape[0])
    corners = (rows * (table - 1) // (side - 1)) * table + columns * (table - 1) // (side - 1)
    hidden = visual.patch_embed(patches_PND.flatten(0, 1)).view(num_pairs, num_patches, -1)
    hidden = hidden + visual.pos_embed.weight[corners]
    cos, sin = visual.rotary_pos_emb(hidden, torch.stack([rows, columns], dim=-1))
    levels = []
    for layer, block in enumerate(visual.blocks):
        hidden = hidden + _attend(block.attn, block.norm1(hidden), cos, sin)
        hidden = hidden + block.mlp(block.norm2(hidden))
        if layer in visual.deepstack_visual_indexes:
            merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(layer)]
            levels.append(merger(hidden.flatten(0, 1)))
    return visual.merger(hidden.flatten(0, 1)), levels


def _attend(attention: Any, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    num_pairs, num_patches, _ = hidden.shape
    query, key, value = attention.qkv(hidden).view(num_pairs, num_patches, 3, attention.num_heads, -1).unbind(2)
    query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
    mixed = scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return attention.proj(mixed.transpose(1, 2).flatten(2))
