"""Which video tokens of a clip the language model is given: those that show something new.

Tokens are compared place by place of the merged grid, a temporal step with an earlier one, by what they bring to the
language model: the vision tower's output, and with it what deeper layers add. Distance is 1 - cosine, from 0 to 2.

    evs      with the step before; the K largest distances of the clip stay, the first step whole (efficient video
             sampling, arXiv 2510.14624; K, order and ties as in vLLM)
    change   with the last token of the place that stayed; distances from a threshold on stay, so that slow changes add
             up and are seen

A mask (V,) of booleans says which stay. No engine, prompt or position is known here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from framegate.schemas.config.pruning import PruneByRate, PruneConfig


def find_kept(levels_LVD: Sequence[torch.Tensor], num_steps: int, prune: PruneConfig) -> torch.Tensor:
    """The mask of one clip. `levels_LVD`: for each of its V tokens a vector, and those of deeper layers, in the order
    of the steps. Raises ValueError where V tokens are not `num_steps` steps."""
    if isinstance(prune, PruneByRate):
        return keep_largest(levels_LVD, num_steps, prune.rate)
    return keep_changed(levels_LVD, num_steps, prune.threshold)


def most_kept(num_tokens: int, num_steps: int, prune: PruneConfig | None) -> int:
    """A bound on how many of a clip's tokens stay, before it is seen; of a rate it is the number."""
    if isinstance(prune, PruneByRate):
        return count_kept(num_tokens // num_steps, num_steps, prune.rate)
    return num_tokens


def count_kept(tokens_per_step: int, num_steps: int, rate: float) -> int:
    """K of a clip: the share that is not left out, rounded down, and the first step at least."""
    return max(tokens_per_step, int(tokens_per_step * num_steps * (1 - rate)))


def keep_largest(levels_LVD: Sequence[torch.Tensor], num_steps: int, rate: float) -> torch.Tensor:
    """evs. Of equal distances the earlier token stays; one that is no number is the largest."""
    levels = _cut_steps(levels_LVD, num_steps)
    tokens_per_step = levels[0].shape[1]
    distances_SN = torch.full((num_steps, tokens_per_step), float("inf"), device=levels[0].device)
    for step in range(1, num_steps):
        before, now = ([level[place] for level in levels] for place in (step - 1, step))
        distances_SN[step] = _distances(before, now).nan_to_num(nan=float("inf"))
    order = distances_SN.flatten().argsort(descending=True, stable=True)
    is_kept = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    is_kept[order[: count_kept(tokens_per_step, num_steps, rate)]] = True
    return is_kept


def keep_changed(levels_LVD: Sequence[torch.Tensor], num_steps: int, threshold: float) -> torch.Tensor:
    """change. With threshold 0 all stay. A token that is no number stays, too: an answer from it is a failure."""
    levels = _cut_steps(levels_LVD, num_steps)
    kept = [level[0].clone() for level in levels]
    is_kept_SN = torch.ones(levels[0].shape[:2], dtype=torch.bool, device=levels[0].device)
    for step in range(1, num_steps):
        now = [level[step] for level in levels]
        is_new = is_kept_SN[step] = ~(_distances(kept, now) < threshold)
        kept = [torch.where(is_new[:, None], new, old) for new, old in zip(now, kept, strict=True)]
    return is_kept_SN.flatten()


def _cut_steps(levels_LVD: Sequence[torch.Tensor], num_steps: int) -> list[torch.Tensor]:
    """Each level as (S, N, D)."""
    num_tokens = len(levels_LVD[0])
    if num_steps < 1 or num_tokens % num_steps:
        raise ValueError(f"{num_tokens} video tokens cannot be {num_steps} temporal steps of one size")
    return [level.unflatten(0, (num_steps, -1)) for level in levels_LVD]


def _distances(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of the tokens of two steps, all levels behind one another: (N,) in float32, never below 0.

    A vector of zeros has no direction: its distance to every other one is 1, and to another of zeros 0.
    """
    ones, others = (torch.cat([level.float() for level in levels], dim=-1) for levels in (one, other))
    distances = (1 - F.cosine_similarity(ones, others, dim=-1)).clamp(min=0)
    return distances.masked_fill((ones == others).all(dim=-1), 0)
