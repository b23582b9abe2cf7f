"""Other rules that choose a threshold from a sample. Re-implemented from their papers, in our words: not their
programs.

Both papers choose which rows a cheap model may keep so that, of those, at least a share gamma is right (precision).
Here right means that the second answer is the same, and gamma is 1 - epsilon. That is another promise than claim 1's: a
share of the rows that exit, not of all rows. They are held to their own.

    lower bound of a mean     mean - deviation / sqrt(n) x sqrt(2 ln(1 / delta))          (both; asymptotic)
"""

from __future__ import annotations

import math

import numpy as np

from framegate.pipelines.lab.bench.calibrate.worlds import Bools, Floats

SUPG_STEP = 100
"""SUPG looks at every hundredth sampled confidence only, and divides delta among as many."""


def naive_sweep(confidence: Floats, differs: Bools, epsilon: float) -> float | None:
    """The lowest threshold whose loss in the sample is at most epsilon."""
    ends, ranked, same = _ranked(confidence, differs)
    losses = (ends + 1 - np.cumsum(same)[ends]) / confidence.size
    passing = np.flatnonzero(losses <= epsilon)
    return float(ranked[ends][passing[-1]]) if passing.size else None


def supg_threshold(confidence: Floats, differs: Bools, epsilon: float, delta: float) -> float | None:
    """SUPG's precision target with a uniform sample (Kang et al. 2020, algorithm U-CI-P)."""
    _, ranked, same = _ranked(confidence, differs)
    counts = np.arange(SUPG_STEP, ranked.size + 1, SUPG_STEP)
    if not counts.size:
        return None
    passing = counts[_lower_bounds(same, counts, delta / counts.size) > 1 - epsilon]
    return float(ranked[passing[-1] - 1]) if passing.size else None


def lotus_threshold(confidence: Floats, differs: Bools, epsilon: float, delta: float) -> float | None:
    """The precision part of LOTUS's cascades (Patel et al. 2024): every sampled confidence is tried, at delta / n."""
    ends, ranked, same = _ranked(confidence, differs)
    counts = ends + 1
    passing = counts[_lower_bounds(same, counts, delta / max(ranked.size, 1)) > 1 - epsilon]
    return float(ranked[passing[-1] - 1]) if passing.size else None


def lotus_weights(confidence: Floats) -> Floats:
    """Running sums of the chances at which LOTUS draws rows: half by the root of the confidence, half evenly."""
    weights = np.sqrt(np.nan_to_num(confidence))
    return np.cumsum(0.5 * weights / weights.sum() + 0.5 / confidence.size)


def lotus_sample(cumulative: Floats, num_rows: int, random: np.random.Generator) -> np.ndarray:
    """Places of rows, drawn with replacement."""
    return np.minimum(np.searchsorted(cumulative, random.random(num_rows)), cumulative.size - 1)


def _ranked(confidence: Floats, differs: Bools) -> tuple[np.ndarray, Floats, Floats]:
    """Places at which confidences end, from the highest down; confidences and agreement in that order."""
    order = np.argsort(-confidence, kind="stable")
    order = order[: int((~np.isnan(confidence)).sum())]
    ranked = confidence[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if ranked.size else np.zeros(0, np.int64)
    return ends, ranked, (~differs[order]).astype(np.float64)


def _lower_bounds(same: Floats, counts: np.ndarray, delta: float) -> Floats:
    means = np.cumsum(same)[counts - 1] / counts
    return means - np.sqrt(means * (1 - means) / counts) * math.sqrt(2 * math.log(1 / delta))
