"""A loaded vision tower, with quicker modules in place of some of those that transformers gives it; weights stay.

A tower is narrow and deep: half of its time on CPUs went into modules that are no matrix products, or only look as if
they were none. Patches do not overlap, so that their convolution is one product of a patch's pixels: 1 ms instead of 12
for 512 patches. Norms and feed-forward parts are computed as in the text model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLMLP, Qwen2_5_VLRMSNorm

from framegate.pipelines.reason.engines.own.gated_mlp import GatedMlp
from framegate.pipelines.reason.engines.own.text_model import normalise
from framegate.pipelines.reason.engines.own.vision_attention import replace_attention


def quicken_tower(tower: Any) -> None:
    """Replace, in place, the modules of which there is a quicker kind."""
    replace_attention(tower)
    if _is_one_product(tower.patch_embed.proj):
        tower.patch_embed = PatchEmbedding(tower.patch_embed.proj)
    for parent in list(tower.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is Qwen2_5_VLRMSNorm:
                setattr(parent, name, RmsNorm(child.weight, child.variance_epsilon))
            elif type(child) is Qwen2_5_VLMLP and tower.config.hidden_act == "silu":
                setattr(parent, name, GatedMlp(child.gate_proj, child.up_proj, child.down_proj))


class PatchEmbedding(nn.Module):
    """Rows of pixels, one for each patch, to what the tower starts from."""

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        weight = convolution.weight.detach().flatten(1)
        self.proj = nn.Linear(weight.shape[1], weight.shape[0], bias=convolution.bias is not None, device="meta")
        self.proj.weight = nn.Parameter(weight, requires_grad=False)
        if convolution.bias is not None:
            self.proj.bias = nn.Parameter(convolution.bias.detach(), requires_grad=False)
        self._dtype = weight.dtype

    def forward(self, pixels_ND: torch.Tensor) -> torch.Tensor:
        return self.proj(pixels_ND.to(self._dtype))


class RmsNorm(nn.Module):
    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight, self._eps = weight, eps

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return normalise(rows, self.weight, self._eps)


def _is_one_product(convolution: nn.Module) -> bool:
    """Whether each pixel is read once, and its result goes to one patch."""
    return (
        type(convolution) is nn.Conv3d
        and convolution.kernel_size == convolution.stride
        and set(convolution.padding) == {0}
        and set(convolution.dilation) == {1}
        and convolution.groups == 1
    )
