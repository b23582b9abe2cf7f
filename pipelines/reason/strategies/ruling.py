"""How a first answer is judged: what it can be, what is decided about it, and what the row says of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from framegate.schemas.qa import Verdict

FirstAnswer = Literal[
    "box",  # a closed box with at least one token in it
    "empty_box",  # a closed box that holds nothing but white space
    "no_box",  # no box closed within the budget, or before the model ended its turn
    "fallback",  # the model wrote that it would rather think
]
Decide = Callable[[FirstAnswer, float | None], Verdict]
"""(what the first answer is, its confidence or None) -> verdict. Picklable. Its reasons are

    confident   confidence >= threshold
    unsure      confidence < threshold
    no_box, empty_box, fallback   there is nothing to be confident about
    audit       confidence >= threshold, and the row is in the audit sample
    always      the strategy or the question asks for thinking whatever the confidence
    never       the strategy or the question forbids thinking
    deferred    the row would think, and the run lets it go: it gives first answers to all rows before any thinks
"""


def exit_always(first: FirstAnswer, confidence: float | None) -> Verdict:
    """Never think, however unsure the first answer is."""
    return Verdict(route="exit", reason="never", confidence=confidence)


def think_always(first: FirstAnswer, confidence: float | None) -> Verdict:
    """Always think, however sure the first answer is."""
    return Verdict(route="think", reason="always", confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """How the first answer to one question at one clip is judged, and what the row says of that: see `Answer`."""

    decide: Decide
    threshold: float | None = None
    audit_rank: float | None = None
    audit_rate: float | None = None
