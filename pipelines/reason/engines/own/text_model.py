"""The language model of a checkpoint over packed tokens, in as few operations as its arithmetic has.

The weights are those that transformers loaded; the layers are run here. A token step of a narrow and deep model spends
a third of its time on small operations and on starting them. So projections that read the same input are one product
(4 a layer instead of 7), queries and keys are normed and rotated together, and what is the same in all layers is
computed once. Attention, and everything about slots, is the pass's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own.gated_mlp import GatedMlp
from framegate.pipelines.reason.engines.own.packed import fuse_linears
from framegate.pipelines.reason.engines.own.prefill import TextPass, WatchingPass
from framegate.pipelines.reason.engines.own.vision_attention import negate_first_half, rotate
from framegate.schemas.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Deepstack:
    """What is added to the video's tokens, at `places_V`, after each of the first layers: (V, hidden) each."""

    places_V: torch.Tensor
    levels_LVD: Sequence[torch.Tensor]


class TextModel(nn.Module):
    """Qwen2.5-VL's and Qwen3-VL's text model. For inference alone."""

    def __init__(self, model: Any) -> None:
        """Takes the weights out of transformers' text `model`, layer by layer; that model cannot be run any more.

        Raises EngineError where its layers compute something that is not computed here.
        """
        super().__init__()
        config = model.config
        _check(model)
        self.num_heads: int = config.num_attention_heads
        self.num_kv_heads: int = config.num_key_value_heads
        self.head_size: int = model.layers[0].self_attn.head_dim
        self.num_layers: int = config.num_hidden_layers
        self._scaling: float = model.layers[0].self_attn.scaling
        self._eps: float = config.rms_norm_eps
        self._rotary = model.rotary_emb
        self.embed = model.embed_tokens
        self.layers = nn.ModuleList()
        for index in range(self.num_layers):
            self.layers.append(_Layer(model.layers[index], self.num_heads, self.num_kv_heads))
            model.layers[index] = nn.Identity()  # the old weights go before the next layer's are joined
        self._norm = model.norm.weight

    def forward(
        self,
        embedded_ND: torch.Tensor,
        positions_3N: torch.Tensor,
        text_pass: TextPass,
        deepstack: Deepstack | None = None,
    ) -> torch.Tensor:
        """From embedded tokens at their positions (time, height, width) to what the head reads, (N, hidden)."""
        hidden_ND = embedded_ND
        cos_N1D, sin_N1D = self._angles(embedded_ND, positions_3N)
        num_rotated = self.num_heads + self.num_kv_heads
        for index, module in enumerate(self.layers):
            layer = cast(_Layer, module)
            if index == self.num_layers - 1 and isinstance(text_pass, WatchingPass):
                text_pass.watch(hidden_ND)
            fused_ND = layer.query_key_value(normalise(hidden_ND, layer.attention_norm, self._eps))
            fused_NHD = fused_ND.view(len(fused_ND), -1, self.head_size)
            rotated_NHD = fused_NHD[:, :num_rotated]
            if layer.head_norm_HD is not None:
                rotated_NHD = normalise(rotated_NHD, layer.head_norm_HD, self._eps)
            rotated_NHD = rotate(rotated_NHD, cos_N1D, sin_N1D)
            attended_NHD = text_pass.attend(
                index,
                rotated_NHD[:, : self.num_heads],
                rotated_NHD[:, self.num_heads :],
                fused_NHD[:, num_rotated:],
                self._scaling,
            )
            hidden_ND = layer.output(attended_NHD.reshape(len(fused_ND), -1)).add_(hidden_ND)
            hidden_ND = layer.mlp(normalise(hidden_ND, layer.mlp_norm, self._eps)).add_(hidden_ND)
            if deepstack is not None and index < len(deepstack.levels_LVD):
                hidden_ND.index_add_(0, deepstack.places_V, deepstack.levels_LVD[index].to(hidden_ND.dtype))
        return normalise(hidden_ND, self._norm, self._eps)

    def finish(self, attended_NA: torch.Tensor, hidden_ND: torch.Tensor) -> torch.Tensor:
        """From what the last layer's attention gives and what that layer starts from to what the head reads.

        Computes what `forward` does, nothing in place: it can be differentiated by `attended_NA`.
        """
        layer = cast(_Layer, self.layers[-1])
        hidden_ND = layer.output(attended_NA) + hidden_ND
        normed_ND = _normalise_apart(hidden_ND, layer.mlp_norm, self._eps)
        hidden_ND = layer.mlp.differentiable(normed_ND) + hidden_ND
        return _normalise_apart(hidden_ND, self._norm, self._eps)

    def _angles(self, embedded_ND: torch.Tensor, positions_3N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (N, 1, head_size) for `rotate`."""
        cos_1ND, sin_1ND = self._rotary(embedded_ND[None], positions_3N[:, None])
        return cos_1ND[0, :, None], negate_first_half(sin_1ND)[0, :, None]


class _Layer(nn.Module):
    def __init__(self, layer: Any, num_heads: int, num_kv_heads: int) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.query_key_value = fuse_linears(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = attention.o_proj
        self.mlp = GatedMlp(mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        self.attention_norm = layer.input_layernorm.weight
        self.mlp_norm = layer.post_attention_layernorm.weight
        self.head_norm_HD: torch.Tensor | None = None
        if hasattr(attention, "q_norm"):
            weights = [(attention.q_norm.weight, num_heads), (attention.k_norm.weight, num_kv_heads)]
            self.head_norm_HD = torch.cat([weight.detach().expand(number, -1) for weight, number in weights])


def normalise(rows: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMS norm over the last dimension in float32, rounded before the product with `weight`, as published."""
    if rows.is_cuda:
        return F.rms_norm(rows, (rows.shape[-1],), None, eps) * weight
    # torch's own has no CPU kernel. It runs the same operations, one of them over two dtypes: 50 times slower.
    wide = rows.float()
    mean_square = torch.linalg.vecdot(wide, wide).div_(rows.shape[-1])
    return (wide * mean_square.add_(eps).rsqrt_()[..., None]).to(rows.dtype).mul_(weight)


def _normalise_apart(rows: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """`normalise`, nothing of it in place, and in float64 where the rows are."""
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
    scale = (wide.square().mean(dim=-1, keepdim=True) + eps).rsqrt()
    return (wide * scale).to(rows.dtype) * weight.detach()


def _check(model: Any) -> None:
    """Raises EngineError for layers that would be run wrongly."""
    config = model.config
    if config.hidden_act != "silu":
        raise EngineError(f"its layers use the activation '{config.hidden_act}'; only silu is supported")
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise EngineError("its layers attend within a sliding window; only attention to everything is supported")
    for name, module in model.layers.named_modules():
        if name.endswith("_proj") and type(module) is not nn.Linear:
            raise EngineError(
                f"its weights are of kind {type(module).__name__}; use a checkpoint in bfloat16, float16 or float32"
            )
