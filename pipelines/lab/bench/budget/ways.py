"""Ways to spend a budget of engine time: for every row, whether it has a first answer, and whether it thought.

at once          rows in order; what the gate holds back thinks at once, until the budget is spent
at a pace        the same, but only rows so unsure think that the budget lasts for a first answer to each
by confidence    first answers to all; then rows think, the least sure first, which are read a second time
by change        the same in the order of the change that is expected per token, as audited rows tell it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.change_rate import fit_change_rate, spending_order
from framegate.pipelines.lab.bench.budget.archive import Archive

Outcome = tuple[np.ndarray, np.ndarray]
"""(has a first answer, thought), bool (rows,) each."""

AUDIT_RATE: Final = 0.05
_MIN_SEEN: Final = 20  # rows, before which a pace is not known and all that the gate holds back thinks

Way = Callable[[Archive, float, float, np.random.Generator], Outcome]
"""(archive, threshold, budget in seconds, of the audit sample) -> outcome."""


def at_once(archive: Archive, threshold: float, budget: float, _: np.random.Generator) -> Outcome:
    thinks = archive.confidence < threshold
    spent = np.cumsum(archive.first_seconds + np.where(thinks, archive.think_seconds, 0.0))
    is_reached = spent <= budget
    return is_reached, thinks & is_reached


def at_a_pace(archive: Archive, threshold: float, budget: float, _: np.random.Generator) -> Outcome:
    num_rows = archive.num_rows
    is_answered, thought = np.zeros(num_rows, bool), np.zeros(num_rows, bool)
    left, first_total, think_total, num_thought = budget, 0.0, 0.0, 0
    bound = threshold
    for place in range(num_rows):
        if left < archive.first_seconds[place]:
            break
        left -= archive.first_seconds[place]
        first_total += archive.first_seconds[place]
        is_answered[place] = True
        if place >= _MIN_SEEN and place % 10 == 0 and num_thought:
            to_come = num_rows - place - 1
            spare = left - to_come * first_total / (place + 1)
            share = spare / max(1e-9, (to_come + 1) * think_total / num_thought)
            seen = np.sort(archive.confidence[: place + 1])
            bound = min(threshold, seen[int(share * len(seen))] if 0 < share < 1 else (0.0 if share <= 0 else 1.0))
        if archive.confidence[place] < bound and left >= archive.think_seconds[place]:
            left -= archive.think_seconds[place]
            think_total, num_thought = think_total + archive.think_seconds[place], num_thought + 1
            thought[place] = True
    return is_answered, thought


def by_confidence(archive: Archive, threshold: float, budget: float, rng: np.random.Generator) -> Outcome:
    return _first_answers_first(archive, threshold, budget, rng, audit_rate=0.0)


def by_change(archive: Archive, threshold: float, budget: float, rng: np.random.Generator) -> Outcome:
    return _first_answers_first(archive, threshold, budget, rng, audit_rate=AUDIT_RATE)


WAYS: Final[Mapping[str, Way]] = {
    "at once": at_once,
    "at a pace": at_a_pace,
    "by confidence": by_confidence,
    "by change": by_change,
}


def _first_answers_first(
    archive: Archive, threshold: float, budget: float, rng: np.random.Generator, *, audit_rate: float
) -> Outcome:
    """Rows of the audit sample think first, and are paid for like all others."""
    is_answered = np.cumsum(archive.first_seconds) <= budget
    left = budget - float(archive.first_seconds[is_answered].sum())
    is_audited = (rng.random(archive.num_rows) < audit_rate) & is_answered
    second_seconds = archive.first_seconds + archive.think_seconds
    thought = np.zeros(archive.num_rows, bool)
    left = _think(np.flatnonzero(is_audited), thought, second_seconds, left)
    rate = fit_change_rate(archive.confidence[thought], archive.differs[thought]) if audit_rate else None
    tokens = _expected_tokens(archive, thought)
    waiting = np.flatnonzero((archive.confidence < threshold) & is_answered & ~thought)
    order = waiting[spending_order(archive.confidence[waiting], tokens[waiting], rate)]
    _think(order, thought, second_seconds, left)
    return is_answered, thought


def _think(order: np.ndarray, thought: np.ndarray, seconds: np.ndarray, left: float) -> float:
    """Rows think in this order as far as `left` goes; what is left then."""
    spent = np.cumsum(seconds[order])
    num_reached = int(np.searchsorted(spent, left, side="right"))
    thought[order[:num_reached]] = True
    return left - (float(spent[num_reached - 1]) if num_reached else 0.0)


def _expected_tokens(archive: Archive, thought: np.ndarray) -> np.ndarray:
    """The mean of each row's question among rows that thought."""
    if not thought.any():
        return np.ones(archive.num_rows)
    sums = np.bincount(archive.questions[thought], archive.tokens[thought], minlength=archive.questions.max() + 1)
    counts = np.bincount(archive.questions[thought], minlength=len(sums))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), archive.tokens[thought].mean())
    return means[archive.questions]
