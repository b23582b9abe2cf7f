"""Betting against "the mean loss is above a bound": exact tests of a mean (Waudby-Smith and Ramdas 2024).

A gambler starts with 1 and bets at each row that its loss is smaller than the bound m. With losses of at most b and a
fraction f between 0 and 1 of what may be staked, the wealth after n rows is

    W(f) = product of 1 + f (m - x_i) / (b - m)

which is never negative. If the mean is m or more, no bet gains on average, so that W >= 1 / delta has probability at
most delta (Markov's inequality), and so has its happening at any time (Ville's). W is the mean over FRACTIONS, which
were fixed before any row was seen: a mean of such wealths is one, too, and follows the best fraction closely.

Rows of an archive are drawn without replacement. Two ways to bet on them:

    log_wealth       of n rows together, looked at once; their order does not matter. The mean of the product over all
                     samples of n of N rows is at most the mean factor to the n-th power (Maclaurin's inequality on
                     elementary symmetric means), which is 1 at most where the mean loss is m or more.
    log_wealth_path  row by row in the order of their draw, looked at as often as one likes. Before row t the bound is
                     that of what is left, m_t = (N m - losses so far) / (N - t + 1): if the whole mean is m or more,
                     so is that of what is left. A fraction is given up for good where its wealth could become negative.

Both fall where a loss grows. So whoever counts an unknown loss as the largest possible stays on the safe side.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.audited import Floats

FRACTIONS: Final = np.array([1 - 1e-6, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.12, 0.06, 0.03])
"""For losses of 0 and 1, f = 1 - q / m is the best fraction where a share q of them is 1. Small ones are for many rows,
where a share close to m can be told from it. The largest is a hair below 1: rows without a loss count as much as in the
binomial test, and one loss does not end the game. Twenty in even steps need 1 to 4 % fewer rows and twice the time."""


def passes(log_wealth_now: float, delta: float) -> bool:
    """Whether so much wealth contradicts a mean above the bound."""
    return log_wealth_now >= -math.log(delta)


def log_factors(values: Floats, *, bound: float, largest: float) -> Floats:
    """Logarithms of what each fraction's wealth is multiplied by: axes (fraction, value). No value is above largest."""
    return np.log1p(FRACTIONS[:, None] * ((bound - values) / (largest - bound))[None, :])


def log_mean(log_wealths: Floats) -> Floats:
    """The logarithm of the mean over fractions, which is the first axis."""
    top = log_wealths.max(axis=0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return safe + np.log(np.exp(log_wealths - safe).mean(axis=0))


def log_wealth(values: Floats, *, bound: float, largest: float) -> float:
    """Of rows that are looked at once, together."""
    return float(log_mean(log_factors(values, bound=bound, largest=largest).sum(axis=1)))


def log_wealth_of_counts(num_events: Floats, num_rows: Floats, *, bound: float) -> Floats:
    """`log_wealth` of losses of 0 and 1, from how many rows there are, and how many of them are 1."""
    lost, won = log_factors(np.array([1.0, 0.0]), bound=bound, largest=1.0).T
    return log_mean(num_events * lost[:, None] + (num_rows - num_events) * won[:, None])


def log_wealth_path(values: Floats, *, bound: float, largest: float, population: int | None = None) -> Floats:
    """After each row, in the order of their draw; infinite from where what is left cannot reach the bound any more.

    population: of how many rows they were drawn without replacement; None: each is drawn independently.
    """
    if population is None:
        return log_mean(np.cumsum(log_factors(values, bound=bound, largest=largest), axis=1))
    before = np.concatenate([[0.0], np.cumsum(values)])
    left = population - np.arange(values.size + 1)
    owed = population * bound - before
    bounds_left = owed[:-1] / left[:-1]
    scale = FRACTIONS[:, None] / (largest - bound)
    is_over = np.logical_or.accumulate(1 + scale * (bounds_left - largest)[None, :] < 0, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log1p(scale * (bounds_left - values)[None, :])
    path = log_mean(np.where(is_over, -np.inf, np.cumsum(np.where(is_over, 0.0, logs), axis=1)))
    is_certain = np.logical_or.accumulate(owed[1:] > largest * left[1:])
    return np.where(is_certain, np.inf, path)


def rows_without_loss(bound: float, largest: float, delta: float) -> int:
    """The smallest number of rows that passes if none of them has a loss."""
    [gains] = log_factors(np.zeros(1), bound=bound, largest=largest).T
    low, high = 0, 1
    while not passes(float(log_mean(high * gains)), delta):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(float(log_mean(middle * gains)), delta) else (middle, high)
    return high
