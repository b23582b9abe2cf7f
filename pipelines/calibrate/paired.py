"""Two strategies on the same rows: how much more often one is right, and whether that may be chance.

Each row has a difference: 1 where the one alone is right, -1 where the other alone is, 0 where both are or neither is.
Rows with 1 or -1 are discordant: b and c of them.

    mcnemar      exact test of b = c, where rows are independent (McNemar 1947): b of b + c is binomial with 1/2
    sign_flip    exact test where rows of a cluster, such as a video, go together: under the hypothesis the sum of each
                 cluster is as likely to be its opposite (Fisher's randomisation test, 1935). All 2^clusters ways are
                 counted, so that there is no seed. With k clusters that differ, no p is below 2^(1 - k)
    difference   Bonett and Price's interval of a paired difference (2012, one row added to b and one to c) with as many
                 independent rows as deviate alike (the design effect of Korn and Graubard 1998; never more rows than
                 there are), and Student's t with clusters - 1 degrees of freedom. It is asymptotic in clusters
    holm         Holm's adjustment (1979): all tests together are wrong with a chance of at most the level
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from framegate.pipelines.calibrate.audited import Ints, codes_of
from framegate.schemas.errors import InputError

_ROUNDING: Final = 1e-12


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean of the differences with the ends of its interval, which are NaN where there are fewer than two clusters.

    `num_more`, `num_fewer`: discordant rows. `p_rows` is McNemar's, `p_clusters` the sign flip's.
    """

    mean: float
    low: float
    high: float
    num_more: int
    num_fewer: int
    num_clusters: int
    p_rows: float
    p_clusters: float


def compare_pairs(differences: npt.ArrayLike, clusters: Sequence[Any], *, level: float = 0.95) -> Difference:
    """`differences` has 1, 0 or -1 for each row. Raises InputError where there is no row, or another value."""
    values = np.asarray(differences, np.int64)
    if values.ndim != 1 or not values.size or np.abs(values).max() > 1:
        raise InputError("a paired comparison takes one value of 1, 0 or -1 for each row, and one row at least")
    _, codes = codes_of(clusters, values.size, "clusters")
    sums, sizes = np.bincount(codes, values).astype(np.int64), np.bincount(codes)
    more, fewer = int((values == 1).sum()), int((values == -1).sum())
    low, high = _interval(sums, sizes, more, fewer, level)
    return Difference(
        mean=(more - fewer) / values.size,
        low=low,
        high=high,
        num_more=more,
        num_fewer=fewer,
        num_clusters=sizes.size,
        p_rows=mcnemar(more, fewer),
        p_clusters=sign_flip(sums),
    )


def mcnemar(num_more: int, num_fewer: int) -> float:
    """The two-sided p; 1 where no row is discordant."""
    return min(1.0, 2 * float(stats.binom.cdf(min(num_more, num_fewer), num_more + num_fewer, 0.5)))


def sign_flip(sums: npt.ArrayLike) -> float:
    """The two-sided p of the sum of whole numbers whose signs are drawn; 1 where all are 0."""
    values = np.abs(np.asarray(sums, np.int64))
    chances = np.ones(1)  # of each sum from -reach to reach
    for value, count in zip(*np.unique(values[values > 0], return_counts=True), strict=True):
        drawn = np.zeros(2 * int(value) * int(count) + 1)
        drawn[:: 2 * int(value)] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, drawn)
    reach = chances.size // 2
    seen = abs(int(np.asarray(sums, np.int64).sum()))
    if seen == 0:
        return 1.0
    return min(1.0, 2 * float(chances[reach + seen :].sum()))  # what is drawn is symmetric


def holm(chances: Sequence[float]) -> list[float]:
    """Each p adjusted for all of them, in the order given."""
    adjusted, largest = [0.0] * len(chances), 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda place: chances[place])):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        adjusted[place] = largest
    return adjusted


def _interval(sums: Ints, sizes: Ints, more: int, fewer: int, level: float) -> tuple[float, float]:
    num_rows, num_clusters = int(sizes.sum()), sizes.size
    if num_clusters < 2:
        return float("nan"), float("nan")
    mean = (more - fewer) / num_rows
    of_rows = ((more + fewer) / num_rows - mean**2) / num_rows
    of_clusters = num_clusters / (num_clusters - 1) * float(((sums - mean * sizes) ** 2).sum()) / num_rows**2
    # Without a discordant row nothing tells how much rows of a cluster go together.
    effect = max(1.0, of_clusters / of_rows) if of_rows > _ROUNDING else 1.0
    rows = num_rows / effect + 2
    up, down = (more / effect + 1) / rows, (fewer / effect + 1) / rows
    reach = float(stats.t.ppf((1 + level) / 2, num_clusters - 1)) * float(
        np.sqrt((up + down - (up - down) ** 2) / rows)
    )
    return max(-1.0, up - down - reach), min(1.0, up - down + reach)
