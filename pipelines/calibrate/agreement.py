"""Claim 1, without labels: of all rows of this archive at most epsilon would have another answer had they thought.

The loss of a row at a threshold is L(t) = [confidence >= t] x [the second answer is another one]: 1 where the row exits
and thinking would have changed it. k(t) is the sum over the sample, U its exact upper bound (`share.py`). The threshold
is the lowest confidence of the sample with U(k(t), n; delta) <= epsilon.

Why no correction for having looked at all thresholds (Learn-then-Test with a monotone loss, Angelopoulos et al. 2021):
L falls as t grows. Let t' be the highest confidence in the archive at which the true share is above epsilon; if there
is none, nothing can go wrong. t' is fixed before the sample is drawn. The promise breaks only if a threshold of t' or
lower is chosen. U(k(t)) falls as t grows, too, so that U(k(t')) <= epsilon then, although the share at t' is above
epsilon: the exact bound fails at one fixed threshold, with probability at most delta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.audited import Bools, Floats, as_bools, as_confidence, lowest_above
from framegate.pipelines.calibrate.share import check_levels, most_events, rows_needed, upper_bound


@dataclass(frozen=True, kw_only=True)
class AgreementCertificate:
    """What a sample says of the lowest threshold that keeps to epsilon.

    threshold: rows with this confidence or more may exit; None: nothing may exit.
    num_rows, population: rows of the sample and of the archive (None: not known).
    num_exits, num_different: of the sample, rows that exit at the threshold, and those of them that differ.
    bound: the upper bound of the share of rows that exit with another answer; 0 where nothing exits, since it is known.
    num_missing: rows that the sample is short of before any threshold could pass, however well it agrees. Where it is 0
        and there is no threshold, too many rows differ at the highest confidence.
    """

    epsilon: float
    delta: float
    threshold: float | None
    num_rows: int
    population: int | None
    num_exits: int
    num_different: int
    bound: float
    num_missing: int

    @property
    def exit_share(self) -> float:
        """Of the sample's rows, the share that exits at the threshold."""
        return self.num_exits / self.num_rows if self.num_rows else 0.0


def certify_agreement(
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    *,
    epsilon: float,
    delta: float,
    population: int | None = None,
) -> AgreementCertificate:
    """The lowest threshold that claim 1 allows.

    confidence: of the first answer, 0 to 1, NaN where there was none. differs: the second answer is another one.
    population: rows of the archive that the sample is a uniform draw of, sampled ones included.
    Raises InputError on levels, confidences and numbers that cannot be.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    num_rows = confidences.size
    allowed = most_events(num_rows, epsilon, delta, population=population)
    threshold = None if allowed < 0 else lowest_threshold(confidences, different, allowed)
    exits = np.zeros(num_rows, np.bool_) if threshold is None else confidences >= threshold
    num_different = int((exits & different).sum())
    return AgreementCertificate(
        epsilon=epsilon,
        delta=delta,
        threshold=threshold,
        num_rows=num_rows,
        population=population,
        num_exits=int(exits.sum()),
        num_different=num_different,
        bound=0.0 if threshold is None else upper_bound(num_different, num_rows, delta, population=population),
        num_missing=max(0, rows_needed(0, epsilon, delta, population=population) - num_rows) if allowed < 0 else 0,
    )


def lowest_threshold(confidence: Floats, differs: Bools, most_different: int) -> float | None:
    """The lowest confidence of the sample at and above which at most so many rows differ; None where there is none.

    Rows of one confidence exit together or not at all.
    """
    different = np.sort(confidence[differs & ~np.isnan(confidence)])[::-1]
    limit = different[most_different] if different.size > most_different else -1.0
    return lowest_above(confidence, float(limit))


def bounds_by_threshold(
    confidence: npt.ArrayLike, differs: npt.ArrayLike, *, delta: float, population: int | None = None
) -> list[tuple[float, int, int, float]]:
    """For each threshold at which the number of different rows changes: it, rows that exit, those that differ, bound.

    The lowest threshold of each number of different rows, from the highest down. Each bound holds for itself; chosen by
    epsilon alone, the choice holds as well. Chosen by anything else, it does not.
    """
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    rows: list[tuple[float, int, int, float]] = []
    seen: float | None = None
    for most in range(int(different.sum()) + 1):
        threshold = lowest_threshold(confidences, different, most)
        if threshold is None or threshold == seen:
            continue
        seen, exits = threshold, confidences >= threshold
        count = int((exits & different).sum())
        bound = upper_bound(count, confidences.size, delta, population=population)
        rows.append((threshold, int(exits.sum()), count, bound))
    return rows
