"""Drawing a token from logits: the same logits and the same number give the same token in every engine."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch

_NUM_CANDIDATES: Final = 256  # for `top_p`: to sort them all takes 10 times as long


class Draw(NamedTuple):
    """The row at `place` of a batch is drawn: `number`, in [0, 1), says which token. `temperature` is above 0."""

    place: int
    temperature: float
    top_p: float
    number: float


def draw_token(logits_V: torch.Tensor, draw: Draw) -> torch.Tensor:
    """The token in which the cumulative probability passes the draw's number."""
    probabilities_V = (logits_V / draw.temperature).softmax(dim=-1)
    if draw.top_p >= 1:
        return _find(probabilities_V, draw.number)
    sorted_C, ids_C = _most_probable(probabilities_V, draw.top_p)
    return ids_C[_find(sorted_C, draw.number)]


def _find(probabilities_C: torch.Tensor, number: float) -> torch.Tensor:
    """The place in which the share `number` of the sum of all is passed."""
    cumulative_C = probabilities_C.cumsum(dim=0)
    return (cumulative_C <= number * cumulative_C[-1]).sum().clamp(max=len(probabilities_C) - 1)


def _most_probable(probabilities_V: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest set of tokens that has the probability `top_p`, at least one: probabilities, falling, and ids."""
    sorted_C, ids_C = probabilities_V.topk(min(_NUM_CANDIDATES, len(probabilities_V)))
    if sorted_C.sum() < top_p:
        sorted_C, ids_C = probabilities_V.sort(descending=True)
    before_C = sorted_C.cumsum(dim=0) - sorted_C
    num_kept = max(1, int((before_C < top_p).sum()))
    return sorted_C[:num_kept], ids_C[:num_kept]
