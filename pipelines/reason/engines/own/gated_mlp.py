"""The feed-forward part of a layer, down(silu(gate(x)) * up(x)), whose small operations are part of its products.

Activations are wide, 5 times as wide as what goes in and comes out. Written and read once more for the activation and
once more for the product they cost as much as half of the matrix products: 1,210 tokens of 448 take 11.0 ms so, and 8.4
where oneDNN applies both to what a matrix product has just computed. Few rows gain little: they wait for weights. In
bf16 there is one rounding less then.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own.packed import PackedLinear, fuse_linears, packs


class GatedMlp(nn.Module):
    """In place of transformers' module of the same three layers; takes their weights."""

    def __init__(self, gate: nn.Linear, up: nn.Linear, down: nn.Linear) -> None:
        super().__init__()
        self.down = down
        # Elsewhere one product is quicker than two, and there are no such products for activations to be part of.
        self._is_apart = packs(gate) and packs(up)
        if self._is_apart:
            self.gate, self.up = gate, up
        else:
            self.gate_up = fuse_linears(gate, up)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., hidden) to the same. A new tensor."""
        if not self._is_apart:
            gated, up = self.gate_up(rows).chunk(2, dim=-1)
            return self.down(F.silu(gated).mul_(up))
        if isinstance(self.gate, PackedLinear) and isinstance(self.up, PackedLinear):
            return self.down(self.up.multiply(rows, self.gate.silu(rows)))
        return self.down(F.silu(self.gate(rows)).mul_(self.up(rows)))

    def differentiable(self, rows: torch.Tensor) -> torch.Tensor:
        """What `forward` computes, nothing in place: can be differentiated by `rows`."""
        gated, up = (self.gate(rows), self.up(rows)) if self._is_apart else self.gate_up(rows).chunk(2, dim=-1)
        return self.down(F.silu(gated) * up)
