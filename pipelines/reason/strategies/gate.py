"""The gate: is the first answer sure enough to go, or is it worth thinking about?

A pure table over what the first answer turned out to be and how probable its tokens were. Knows nothing of models,
text or strategies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from framegate.schemas.qa import Verdict

FirstAnswer = Literal[
    "box",  # a closed box with at least one token in it
    "empty_box",  # a closed box that holds nothing but white space
    "no_box",  # no box closed within the budget, or before the model ended its turn
    "fallback",  # the model wrote that it would rather think
]


def measure_confidence(logprobs: Sequence[float]) -> float:
    """exp(mean(logprob)): the geometric mean of the answer tokens' probabilities, in (0, 1].

    The logprobs are those of the raw logits over the full vocabulary. Raises ValueError for no tokens at all.
    """
    if not logprobs:
        raise ValueError("confidence needs at least one answer token, got none")
    return math.exp(math.fsum(logprobs) / len(logprobs))


def judge(first: FirstAnswer, confidence: float | None, threshold: float) -> Verdict:
    """Exit with a box whose confidence reaches the threshold; think about everything else.

    first answer   confidence        route   reason
    box            >= threshold      exit    confident
    box            <  threshold      think   unsure
    empty_box      None              think   empty_box
    no_box         None              think   no_box
    fallback       None              think   fallback
    """
    if (confidence is None) == (first == "box"):
        raise ValueError(f"a box has a confidence and nothing else has one, got {first} with {confidence}")
    if first != "box":
        return Verdict(route="think", reason=first, confidence=None)
    assert confidence is not None
    if confidence >= threshold:
        return Verdict(route="exit", reason="confident", confidence=confidence)
    return Verdict(route="think", reason="unsure", confidence=confidence)
