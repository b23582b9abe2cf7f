"""How sure a model is of an answer that it wrote: the gate's confidence, and other measures beside it.

All are of the answer's tokens, under the raw logits over the full vocabulary. With p[t] the probability of token t that
was written, q[t] that of the most probable other one, H[t] the entropy of the distribution, and n tokens:

    confidence        exp(mean of log p[t])   the geometric mean of their probabilities
    min_probability   min of p[t]             exp(-Max(-log p)) of SelfCheckGPT (Manakul et al. 2023, arXiv 2303.08896)
    margin            mean of p[t] - q[t]     delta over answer tokens of chain-of-thought decoding (Wang and Zhou 2024,
                                              arXiv 2402.10200)
    entropy           mean of H[t]            Avg(H) of SelfCheckGPT, in nats; over the whole vocabulary. Less is surer
"""

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


def measure_min_probability(logprobs: Sequence[float]) -> float:
    """The probability of the least probable answer token, in (0, 1]. Raises ValueError for no tokens at all."""
    return math.exp(min(logprobs))


def measure_mean(values: Sequence[float]) -> float:
    """Of margins, from -1 to 1 and not below 0 where the most probable tokens were written; or of entropies, in nats.
    Raises ValueError for no tokens at all."""
    if not values:
        raise ValueError("a mean over answer tokens needs at least one, got none")
    return math.fsum(values) / len(values)
