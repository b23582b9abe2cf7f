"""How sure a model is of an answer that it wrote."""

from __future__ import annotations

import math
from collections.abc import Sequence


def measure_confidence(logprobs: Sequence[float]) -> float:
    """exp(mean(logprob)): the geometric mean of the answer tokens' probabilities, in (0, 1].

    The logprobs are those of the raw logits over the full vocabulary. Raises ValueError for no tokens at all.
    """
    if not logprobs:
        raise ValueError("confidence needs at least one answer token, got none")
    return math.exp(math.fsum(logprobs) / len(logprobs))
