"""A mean over the archive from few labels and many predictions: stratified, clustered PPI++, for reports.

    estimate = mean of (g p_i)  +  mean of [labelled] (y_i - g p_i) / rate_i          over the rows of the sample

The first part is what predictions say of all rows; the second corrects them by the labels, whatever the predictions are
worth (prediction-powered inference, Angelopoulos et al. 2023). g is chosen in each stratum from the labels there, so
that bad predictions are not used (PPI++, Angelopoulos, Duchi and Zrnic 2023; stratified, Fisch et al. 2024). With
predictions that are the same for all rows it is the stratified mean of the labels.

The interval is asymptotic (Student's t over clusters): deviations are summed within each cluster, such as a video,
since its rows go together. Of a share, which lies between 0 and 1 and often near one of them, the interval is the exact
binomial one of as many rows as would deviate as much (`estimate_share`). It describes; to choose a threshold by it
would promise nothing: `labelled.py` is for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from framegate.pipelines.calibrate.audited import Floats, Ints, as_floats, codes_of
from framegate.schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MeanEstimate:
    """A mean with the ends of its interval. They are NaN where there are fewer than two clusters."""

    mean: float
    low: float
    high: float
    standard_error: float
    num_rows: int
    num_labelled: int
    num_clusters: int


def estimate_mean(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    *,
    strata: npt.ArrayLike | None = None,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
    level: float = 0.95,
) -> MeanEstimate:
    """The mean of what the labels tell, over all rows of a uniform sample.

    labels: a value for each row, NaN where there is no label; within a stratum, labels are a uniform draw of its rows.
    predictions: a guess at each row's label, such as 1 - confidence for "the answer is wrong". strata: a number for
    each row (`neyman.label_strata`). clusters: rows that go together, such as their video; None: each row by itself.
    Raises InputError where a stratum has rows and no label.
    """
    values = np.asarray(labels, np.float64)
    guesses = as_floats(predictions, values.size, "predictions")
    numbers = np.zeros(values.size, np.int64) if strata is None else np.asarray(strata, np.int64)
    _, codes = codes_of(numbers if clusters is None else clusters, values.size, "clusters")
    groups = np.arange(values.size) if clusters is None else codes
    if not values.size:
        raise InputError("there is no row to estimate a mean from")
    fitted, residuals, rates = _correct(values, guesses, numbers)
    mean = float(fitted.mean() + (residuals / rates).mean())
    spread = _deviations(values, fitted, residuals, rates, numbers)
    sums = np.bincount(groups, spread)
    num_clusters = int(np.unique(groups).size)
    if num_clusters < 2:
        error = reach = float("nan")
    else:
        error = float(np.sqrt(num_clusters / (num_clusters - 1) * (sums**2).sum()) / values.size)
        reach = error * float(stats.t.ppf((1 + level) / 2, num_clusters - 1))
    return MeanEstimate(
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        standard_error=error,
        num_rows=values.size,
        num_labelled=int((~np.isnan(values)).sum()),
        num_clusters=num_clusters,
    )


def estimate_share(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    *,
    strata: npt.ArrayLike | None = None,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
    level: float = 0.95,
) -> MeanEstimate:
    """As `estimate_mean`, where a label is 0 or 1, with an interval that holds near 0 and 1 as well.

    The estimate's variance is that of a share of so many independent rows (Korn and Graubard 1998); the interval is
    theirs by Clopper and Pearson. A stratum whose labels are all alike shows no deviation, and yet may have some: each
    is taken to deviate at least as half a label more of either kind would make it.
    """
    found = estimate_mean(labels, predictions, strata=strata, clusters=clusters, level=level)
    values = np.asarray(labels, np.float64)
    seen = ~np.isnan(values)
    groups = np.arange(values.size) if clusters is None else codes_of(clusters, values.size, "clusters")[1]
    num_seen_groups = int(np.unique(groups[seen]).size)
    share = float(np.clip(found.mean, 0.0, 1.0))
    if num_seen_groups < 2:
        return replace(found, mean=share, low=float("nan"), high=float("nan"))
    numbers = np.zeros(values.size, np.int64) if strata is None else np.asarray(strata, np.int64)
    rows = _rows_alike(values, numbers, share, found.standard_error**2)
    tails = stats.t.ppf((1 + level) / 2, np.array([max(found.num_labelled - 1, 1), num_seen_groups - 1]))
    low, high = _binomial_ends(share, rows * float(tails[0] / tails[1]) ** 2, level)
    return replace(found, mean=share, low=low, high=high)


def _rows_alike(values: Floats, numbers: Ints, share: float, variance: float) -> float:
    """So many independent rows would have a share with this variance; no more than where each stratum deviates at least
    as half a label more of either kind makes it."""
    smoothed = least = 0.0
    for number in np.unique(numbers):
        rows = numbers == number
        seen = values[rows & ~np.isnan(values)]
        weight, mean = rows.sum() / values.size, (seen.sum() + 0.5) / (seen.size + 1)
        smoothed += weight * mean
        least += weight**2 * mean * (1 - mean) / seen.size
    most = smoothed * (1 - smoothed) / least
    return float(min(most, share * (1 - share) / variance)) if variance > 0 and 0 < share < 1 else float(most)


def _binomial_ends(share: float, num_rows: float, level: float) -> tuple[float, float]:
    """Clopper and Pearson's interval; numbers of rows may be fractions."""
    events, tail = share * num_rows, (1 - level) / 2
    low = float(special.betaincinv(events, num_rows - events + 1, tail)) if events > 0 else 0.0
    high = float(special.betaincinv(events + 1, num_rows - events, 1 - tail)) if events < num_rows else 1.0
    return low, high


def _correct(values: Floats, guesses: Floats, numbers: Ints) -> tuple[Floats, Floats, Floats]:
    """Scaled predictions, residuals (0 where there is no label), and the share of labels in each row's stratum."""
    fitted, residuals, rates = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)
    for number in np.unique(numbers):
        rows = numbers == number
        seen = rows & ~np.isnan(values)
        if not seen.any():
            raise InputError(
                f"stratum {number} has {int(rows.sum())} rows and no label; join it with another, or label one"
            )
        fitted[rows] = _scale(values[seen], guesses[seen]) * guesses[rows]
        residuals[seen] = values[seen] - fitted[seen]
        rates[rows] = seen.sum() / rows.sum()
    return fitted, residuals, rates


def _scale(values: Floats, guesses: Floats) -> float:
    """g: the slope of labels on predictions, within 0 to 1. Labelled rows are part of those whose mean is taken."""
    if values.size < 3 or np.ptp(guesses) == 0:
        return 0.0
    covariance = np.cov(values, guesses)
    return float(np.clip(covariance[0, 1] / covariance[1, 1], 0.0, 1.0))


def _deviations(values: Floats, fitted: Floats, residuals: Floats, rates: Floats, numbers: Ints) -> Floats:
    """Each row's part in estimate - mean, times the number of rows. Their sum is 0.

    Two draws are in it. Rows: each brings its stratum's mean and its own prediction. Labels within strata: each brings
    its residual less the stratum's. A stratum with one label has no deviation of its own: it gets that of all.
    """
    seen = ~np.isnan(values)
    overall = residuals[seen].mean()
    centres, stratum_means = np.zeros_like(values), np.zeros_like(values)
    for number in np.unique(numbers):
        rows = numbers == number
        labelled = rows & seen
        mean = residuals[labelled].mean()
        centres[rows] = mean if labelled.sum() > 1 else overall
        stratum_means[rows] = fitted[rows] + mean
    drawn = stratum_means - stratum_means.mean()
    return drawn + np.where(seen, (residuals - centres) / rates, 0.0)
