"""Linear layers whose weights are laid out once for the CPU's bf16 kernels, instead of anew in every call.

A token step multiplies a few rows with every weight of the model, so it runs at the speed at which weights stream from
memory. In each call, oneDNN first reorders a plain bf16 matrix into its own layout. If that is done once, at load, a
step of 10 rows reads its weights 1.6 times as fast, and the results are bit for bit the same.
"""

from __future__ import annotations

from typing import Any, TypeGuard, cast

import torch
from torch import nn

_TYPICAL_ROWS = 32  # the layout hardly depends on it: 16 to 512 differ by 2 %


class PackedLinear(nn.Module):
    """In place of an `nn.Linear`. Keeps the packed weight and not the plain one. Its weight learns nothing."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        ops = cast(Any, torch.ops.mkldnn)
        self._packed = ops._reorder_linear_weight(linear.weight.detach(), _TYPICAL_ROWS)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._apply_linear = ops._linear_pointwise
        self._apply_with_factor = ops._linear_pointwise.binary

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., in_features) to (..., out_features). Can be differentiated by `rows`."""
        if torch.is_grad_enabled() and rows.requires_grad:
            return cast(torch.Tensor, _Differentiated.apply(rows, self))
        return self._apply_linear(rows, self._packed, self._bias, "none", [], "")

    def silu(self, rows: torch.Tensor) -> torch.Tensor:
        """The product's silu, rounded once. Cannot be differentiated."""
        return self._apply_linear(rows, self._packed, self._bias, "swish", [], "")

    def multiply(self, rows: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The product times `factor`, (..., out_features), rounded once. Cannot be differentiated."""
        return self._apply_with_factor(rows, factor, self._packed, self._bias, "mul")

    def unpack(self) -> torch.Tensor:
        """A copy of the weight as it was: (out_features, in_features)."""
        return self._packed.to_dense()


class _Differentiated(torch.autograd.Function):
    """The packed product, which torch has no derivative of."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, layer: PackedLinear) -> torch.Tensor:
        ctx.layer = layer
        return layer(rows.detach())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0] @ ctx.layer.unpack(), None


def fuse_linears(*linears: nn.Linear) -> nn.Linear:
    """One layer whose output is the outputs of `linears` for the same input, side by side."""
    biases = [linear.bias for linear in linears]
    fused = nn.Linear(
        linears[0].in_features,
        sum(linear.out_features for linear in linears),
        bias=any(bias is not None for bias in biases),
        device="meta",
    )
    weights = [linear.weight for linear in linears]
    fused.weight = nn.Parameter(torch.cat([weight.detach() for weight in weights]), requires_grad=False)
    if fused.bias is not None:
        parts = [
            weight.new_zeros(len(weight)) if bias is None else bias.detach()
            for weight, bias in zip(weights, biases, strict=True)
        ]
        fused.bias = nn.Parameter(torch.cat(parts), requires_grad=False)
    return fused


def pack_linears(module: nn.Module) -> int:
    """Replace every bf16 linear layer on the CPU below `module`; how many there were.

    Does nothing, and says 0, where oneDNN has no bf16 kernels for this processor.
    """
    if not can_pack():
        return 0
    num_packed = 0
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if packs(child):
                setattr(parent, name, PackedLinear(child))
                num_packed += 1
    return num_packed


def packs(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether `pack_linears` would replace such a module."""
    return (
        type(module) is nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.bfloat16
        and can_pack()
    )


def quick_dtype() -> str:
    """`bfloat16`, or `float32` where neither a GPU nor this processor has kernels for it: then the dock model takes a
    fifth of the time."""
    return "bfloat16" if torch.cuda.is_available() or can_pack() else "float32"


def can_pack() -> bool:
    """Whether this build of torch on this processor has packed bf16 kernels."""
    if not torch.backends.mkldnn.is_available():
        return False
    ops = cast(Any, torch.ops.mkldnn)
    return all(
        hasattr(ops, name) for name in ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    ) and bool(ops._is_mkldnn_bf16_supported())
