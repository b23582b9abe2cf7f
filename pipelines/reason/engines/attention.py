"""Attention as transformers calls it, registered under a name of our own.

Text attends through the pass that is under way (`passes`), which knows the slots. Vision attends within windows of a
few lengths (a window of the tower, or a frame), all windows of one length at once. No model file is patched and no keys
or values are repeated per query head. Knows neither tokens nor slots.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from transformers import AttentionInterface

from pipelines.reason.engines.passes import TextPass

NAME = "framegate"
# transformers hands vision's windows over in one call, with their borders, to what has "flash" in its name; to anything
# else one window after the other, which is 200 calls for 16 small frames. Models cannot be loaded under such a name.
_VISION_NAME = "framegate_flash"

_MAX_SCORES = 1 << 25  # of one batch of windows on the CPU: 64 MiB in bf16


def register() -> None:
    """Make NAME known to transformers; again is harmless."""
    AttentionInterface.register(NAME, attend)
    AttentionInterface.register(_VISION_NAME, attend)


def batch_windows(vision_config: Any) -> None:
    """Let a loaded model's vision tower hand over all windows of a layer at once."""
    vision_config._attn_implementation = _VISION_NAME


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    text_pass: TextPass | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The signature that transformers calls: query (1, heads, N, D), key and value (1, kv_heads, N, D).

    Returns (1, N, heads, D). The mask is not read: a text pass hides what must be hidden; in vision a window sees all
    of itself. `cu_seq_lens_q` (windows + 1) are the windows' borders.
    """
    if text_pass is not None:
        layer: int = module.layer_idx  # type: ignore[assignment]
        return text_pass.attend(layer, query[0], key[0], value[0], scaling)[None], None
    if cu_seq_lens_q is None:
        return F.scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2), None
    output_NHD = query.new_empty((query.shape[2], query.shape[1], query.shape[3]))
    starts, lengths = cu_seq_lens_q[:-1], cu_seq_lens_q.diff()
    for length in lengths.unique().tolist():
        places_WL = starts[lengths == length][:, None] + torch.arange(length, device=starts.device)
        query_WHLD, key_WHLD, value_WHLD = (packed[0, :, places_WL].transpose(0, 1) for packed in (query, key, value))
        output_NHD[places_WL] = _attend_windows(query_WHLD, key_WHLD, value_WHLD, scaling).transpose(1, 2)
    return output_NHD[None], None


def _attend_windows(
    query_WHLD: torch.Tensor, key_WHLD: torch.Tensor, value_WHLD: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Each window sees all of itself and nothing else: (windows, heads, length, D)."""
    num_windows, num_heads, length, _ = query_WHLD.shape
    num_each = _MAX_SCORES // (num_heads * length * length)
    if query_WHLD.device.type != "cpu" or num_each == 0:
        return F.scaled_dot_product_attention(query_WHLD, key_WHLD, value_WHLD, scale=scaling)
    # Plain matrix products: on CPUs without AMX the flash kernel takes 5 times as long for a window of 64 patches.
    outputs: list[torch.Tensor] = []
    for start in range(0, num_windows, num_each):
        query, key, value = (
            part[start : start + num_each].flatten(0, 1) for part in (query_WHLD * scaling, key_WHLD, value_WHLD)
        )
        weights = torch.bmm(query, key.transpose(1, 2).contiguous()).softmax(dim=-1)
        outputs.append(torch.bmm(weights, value).unflatten(0, (-1, num_heads)))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
