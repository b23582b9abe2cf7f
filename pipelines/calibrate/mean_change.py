"""How far a mean has moved between two sets of videos: an exact interval, for any number of nights and figures at once.

Of each video there is one value from 0 to 1, such as the share of its rows that thought. Rows of a video resemble each
other, so that the unit is the video. Assumed: videos are drawn independently of each other; the distributions may be
any, and differ from video to video. mu is the mean over the videos before, nu that over the videos of now. Is nu - mu
at most d? Two gamblers bet that it is not (`wealth.py`):

    B(m)   on the videos before: their mean is below m. If mu >= m, its mean wealth is 1 at most
    A(m')  on the videos of now: their mean is above m'. If nu <= m', its mean wealth is 1 at most

If nu - mu <= d, then at m = mu the product B(m) A(m + d) is 1 at most on average, since the two sets are independent.
Nobody knows mu, so that the least product over all m counts: it is never above the one at mu. Where even that reaches
1 / delta, the change is larger than d. The interval has all d that are not contradicted from one side or the other.

The m are those of a grid. B grows with m and A falls, so that for all m between two points of it the product is at
least B at the lower point times A at the upper one: nothing is lost of the promise, and little of the interval.

A wealth does not depend on the order of its videos. So it is the one that betting video by video ends with, and holds
whenever a night ends: after all of its videos, or after some (Ville's inequality). The nights before are videos of
other nights too, so that wealths of several nights cannot be multiplied: each night pays for its own look
(`delta_of_night`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.audited import Floats
from framegate.pipelines.calibrate.looks import delta_of_look
from framegate.pipelines.calibrate.wealth import log_factors, log_mean
from framegate.schemas.errors import InputError

STEPS: Final = 120
"""Values are multiples of 1 / STEPS: the share of any number of rows up to 6, and of 8, 10, 12, 15, 20 and more, is
one. Rounding others is the same for both sets, and moves a mean by 1/240 at most."""

LEVELS: Final = STEPS + 1
_GRID: Final = np.sin(np.linspace(0, np.pi / 2, 513)) ** 2
"""Means, from 0 to 1: closer to each other at both ends, where shares spread less."""

_CHUNK: Final = 128  # pairs of sets whose wealths are reckoned at once: 12 x 512 x 128 numbers of 8 bytes


def delta_of_night(delta: float, look: int, *, num_shards: int = 1) -> float:
    """The chance to be wrong that one look may take, so that all looks that will ever be take `delta` together.

    look: its number, from 1. Shards of one night may take a number at the same time, and share it.
    """
    return delta_of_look(delta, look) / num_shards


def change_intervals(before: Floats, now: Floats, deltas: Floats) -> tuple[Floats, Floats]:
    """The least and the largest change of the mean that is not contradicted, from -1 to 1, for each pair of sets.

    before, now  axes (pair, level): how many videos have the value level / STEPS
    deltas       the chance that the interval of this pair is wrong, each above 0 and below 1

    Raises InputError where the axes do not fit, a count is negative or a delta is none.
    """
    if before.shape != now.shape or before.shape[1:] != (LEVELS,) or deltas.shape != before.shape[:1]:
        raise InputError(f"counts of {LEVELS} levels for each pair, got {before.shape}, {now.shape} and {deltas.shape}")
    if (before < 0).any() or (now < 0).any():
        raise InputError("a count of videos is 0 or more")
    if not ((deltas > 0) & (deltas < 1)).all():
        raise InputError("a delta lies between 0 and 1, such as 0.01 for 1 %")
    needed = -np.log(deltas / 2)  # each side takes one half
    low, high = np.empty(len(deltas)), np.empty(len(deltas))
    for start in range(0, len(deltas), _CHUNK):
        part = slice(start, start + _CHUNK)
        low[part] = _least_change(before[part], now[part], needed[part])
        high[part] = -_least_change(before[part, ::-1], now[part, ::-1], needed[part])
    return low, high


def _least_change(before: Floats, now: Floats, needed: Floats) -> Floats:
    """The largest d for which a change of d or less is contradicted; -1 at the least."""
    below = _log_wealths(before[:, ::-1])[:, ::-1]  # at _GRID[:-1]: a mean below m is one of 1 - x above 1 - m
    above = np.minimum.accumulate(_log_wealths(now), axis=1)  # at _GRID[1:]; it falls, but for rounding
    least = np.empty(len(needed))
    for pair in range(len(needed)):
        # How many points of the grid the bet on now wins at, for each stretch of the grid that mu may lie in.
        won = np.searchsorted(-above[pair], below[pair] - needed[pair], side="right")
        largest = np.where(won == len(_GRID) - 1, np.inf, _GRID[won])
        least[pair] = (largest - _GRID[1:]).min()
    return np.clip(least, -1.0, 1.0)


def _log_wealths(counts: Floats) -> Floats:
    """Of bets that the mean is above each of _GRID[1:]: axes (set, mean)."""
    factors = _factors()
    num_fractions, num_means, _ = factors.shape
    logs = factors.reshape(-1, LEVELS) @ counts.T
    return log_mean(logs.reshape(num_fractions, num_means, len(counts))).T


@cache
def _factors() -> Floats:
    """What a wealth is multiplied by for a video of each value: logarithms, axes (fraction, mean, level)."""
    losses = 1 - np.arange(LEVELS) / STEPS
    return np.stack([log_factors(losses, bound=1 - mean, largest=1.0) for mean in _GRID[1:]], axis=1)


def levels_of(values: Floats) -> Floats:
    """How many of some values, from 0 to 1, are nearest to each level."""
    return np.bincount(np.rint(values * STEPS).astype(np.int64), minlength=LEVELS).astype(np.float64)
