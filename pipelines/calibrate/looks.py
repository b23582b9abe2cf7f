"""Looking again as the audit sample grows, every night if one likes, without breaking the promise more often.

Two ways. `delta_of_look` divides delta: the j-th look is at level 6 delta / (pi^2 j^2), and these sum to delta over all
looks that will ever be. Any claim can be made so, and the first look loses little (delta = 0.05 becomes 0.0304: 348
rows instead of 299 at epsilon 1 %). `certify_agreement_at_any_time` bets row by row in the order of the draw
(`wealth.log_wealth_path`): it holds at every moment at once, and costs about 1.4 times the rows of a single look,
however many there are. docs/certificates.md has a table: up to two looks the division needs fewer rows, from the third
on the bet does.

The order of the draw is that of the audit's rank u: a hash of each row, so that a larger rate only adds rows at the
end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.agreement import AgreementCertificate, lowest_threshold
from framegate.pipelines.calibrate.audited import as_bools, as_confidence, as_floats
from framegate.pipelines.calibrate.share import check_levels
from framegate.pipelines.calibrate.wealth import FRACTIONS, log_wealth_path, passes, rows_without_loss
from framegate.schemas.errors import InputError

assert FRACTIONS.max() < 1  # one loss must not end the game for good


def delta_of_look(delta: float, look: int) -> float:
    """The level of the look with this number, from 1."""
    check_levels(0.5, delta)
    if look < 1:
        raise InputError(f"look {look}: looks are counted from 1")
    return 6 * delta / (math.pi * look) ** 2


def certify_agreement_at_any_time(
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    rank: npt.ArrayLike,
    *,
    epsilon: float,
    delta: float,
    population: int | None = None,
) -> AgreementCertificate:
    """Claim 1 as `certify_agreement` makes it, for any number of looks at a sample that grows in the order of its
    ranks.

    With probability 1 - delta, all thresholds of all looks keep to epsilon. The highest threshold t' whose true share
    is above epsilon is fixed, and its wealth ever reaches 1 / delta with probability at most delta; lower thresholds
    have larger losses and less wealth. `bound` is the smallest share whose test passes at the threshold.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    order = np.argsort(as_floats(rank, confidences.size, "rank"), kind="stable")
    if population is not None and confidences.size > population:
        raise InputError(
            f"{confidences.size} rows were sampled of an archive of {population}; a sample has each row once"
        )
    confidences, different = confidences[order], different[order]

    def keeps(threshold: float, bound: float = epsilon) -> bool:
        losses = (different & (confidences >= threshold)).astype(np.float64)
        path = log_wealth_path(losses, bound=bound, largest=1.0, population=population)
        return passes(float(path.max(initial=0.0)), delta)

    low, high = -1, int(different.sum())  # the largest number of different rows that passes; losses grow with it
    if keeps(2.0):
        low = 0
        while high > low:
            middle = (low + high + 1) // 2
            threshold = lowest_threshold(confidences, different, middle)
            low, high = (middle, high) if threshold is None or keeps(threshold) else (low, middle - 1)
    threshold = None if low < 0 else lowest_threshold(confidences, different, low)
    exits = np.zeros(confidences.size, np.bool_) if threshold is None else confidences >= threshold
    return AgreementCertificate(
        epsilon=epsilon,
        delta=delta,
        threshold=threshold,
        num_rows=confidences.size,
        population=population,
        num_exits=int(exits.sum()),
        num_different=int((exits & different).sum()),
        bound=0.0 if threshold is None else _smallest(partial(keeps, threshold), epsilon),
        num_missing=0 if low >= 0 else max(0, rows_without_loss(epsilon, 1.0, delta) - confidences.size),
    )


def _smallest(keeps: Callable[[float], bool], largest: float) -> float:
    """The smallest bound that passes, to a thousandth of the largest, which does."""
    low, high = 0.0, largest
    while high - low > largest / 1000:
        middle = (low + high) / 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high
