"""Where thinking is expected to change most per token: what a budget of thought is spent on first.

The rate P(the second answer is another one | confidence) is estimated from audited rows by isotonic regression: of all
rates that never rise with confidence, the one that fits best (pool adjacent violators; scipy). With too few rows that
differ nothing is fitted, and rows of the lowest confidence come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.audited import Floats, Ints, as_bools, as_confidence, as_floats

MIN_DIFFERENT: Final = 5
"""Audited rows that differ, below which no rate is fitted. One row decides a step of such a fit."""


@dataclass(frozen=True)
class ChangeRate:
    """A rate by confidence, linear between the middles of its steps and flat beyond them.

    confidences: ascending, shape (steps,). rates: descending, shape (steps,).
    """

    confidences: Floats
    rates: Floats

    def at(self, confidence: npt.ArrayLike) -> Floats:
        """The rate of each row; that of the lowest confidence where a row has none (NaN)."""
        given = as_confidence(confidence)
        return np.interp(np.where(np.isnan(given), -1.0, given), self.confidences, self.rates)


def fit_change_rate(confidence: npt.ArrayLike, differs: npt.ArrayLike) -> ChangeRate | None:
    """From audited rows; None where fewer than MIN_DIFFERENT of those with a confidence differ."""
    confidences = as_confidence(confidence)
    known = ~np.isnan(confidences)
    different = as_bools(differs, confidences.size, "differs")[known]
    if different.sum() < MIN_DIFFERENT:
        return None
    from scipy import optimize  # 0.3 s, which a run that spends by confidence alone need not wait for

    values, places, counts = np.unique(confidences[known], return_inverse=True, return_counts=True)
    shares = np.bincount(places, different) / counts
    fitted = optimize.isotonic_regression(shares, weights=counts.astype(np.float64), increasing=False)
    starts = np.asarray(fitted.blocks[:-1])
    sums, sizes = np.add.reduceat(values * counts, starts), np.add.reduceat(counts, starts)
    return ChangeRate(sums / sizes, np.asarray(fitted.x)[starts])


def spending_order(confidence: npt.ArrayLike, tokens: npt.ArrayLike, rate: ChangeRate | None) -> Ints:
    """Places of rows, the one to think about first in front: by expected change per token, then by lower confidence.

    tokens: what thinking about each row is expected to write. Without a rate the lowest confidence comes first. Rows
    without a confidence come before all others, since they have no first answer to fall back on.
    """
    confidences = as_confidence(confidence)
    costs = np.maximum(as_floats(tokens, confidences.size, "tokens"), 1.0)
    worth = np.zeros_like(confidences) if rate is None else rate.at(confidences) / costs
    has_none = np.isnan(confidences)
    return np.lexsort((np.where(has_none, -1.0, confidences), -worth, ~has_none)).astype(np.int64)
