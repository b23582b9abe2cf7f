"""Which rows of an audit sample get a label: strata by agreement and confidence, and how many labels each of them gets.

A stratum with n_s rows whose losses deviate by d_s is best given labels in proportion to n_s d_s (Neyman 1934): that
makes the variance of the whole estimate smallest. Rows that agree at a high confidence hardly deviate, and get few.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.audited import Floats, Ints, as_bools, as_confidence, as_floats
from framegate.schemas.errors import InputError

NUM_DECILES = 10


def label_strata(confidence: npt.ArrayLike, agrees: npt.ArrayLike) -> Ints:
    """A stratum's number for each row: agreement (two) times decile of confidence (ten, and one without any).

    0 to 10 of rows that differ, 11 to 21 of those that agree; deciles are those of the rows themselves.
    """
    confidences = as_confidence(confidence)
    is_same = as_bools(agrees, confidences.size, "agrees")
    known = confidences[~np.isnan(confidences)]
    edges = np.quantile(known, np.arange(1, NUM_DECILES) / NUM_DECILES) if known.size else np.zeros(0)
    deciles = np.where(np.isnan(confidences), NUM_DECILES, np.searchsorted(edges, confidences, side="right"))
    return (deciles + (NUM_DECILES + 1) * is_same).astype(np.int64)


def guessed_deviations(confidence: npt.ArrayLike, agrees: npt.ArrayLike, strata: npt.ArrayLike) -> Floats:
    """The deviation of "the answer is wrong" in each stratum, before there are labels: axis is the stratum's number.

    Two answers that differ are taken to be right as often as not. Of those that agree, a share of 1 - confidence is
    taken to be wrong, at least 2 %. A wrong guess costs precision, and nothing else.
    """
    confidences = as_confidence(confidence)
    is_same = as_bools(agrees, confidences.size, "agrees")
    numbers = np.asarray(strata, np.int64)
    chances = np.where(is_same, np.clip(1 - np.nan_to_num(confidences, nan=0.5), 0.02, 0.5), 0.5)
    counts = np.bincount(numbers)
    means = np.bincount(numbers, chances) / np.maximum(counts, 1)
    return np.sqrt(means * (1 - means))


def allocate_labels(total: int, sizes: npt.ArrayLike, deviations: npt.ArrayLike, *, lowest_rate: float = 0.0) -> Ints:
    """How many labels each stratum gets: in proportion to size x deviation, no more than it has rows.

    At least 2 each (or all, where there are fewer), so that its own deviation can be told; and at least `lowest_rate`
    of its rows (`labelled.LOWEST_RATE` where the labels are to certify). The sum is `total`, or all rows where there
    are fewer. Raises InputError where the least that each needs is more.
    """
    counts = np.asarray(sizes, np.int64)
    weights = counts.astype(np.float64) * np.maximum(as_floats(deviations, counts.size, "deviations"), 1e-9)
    least = np.minimum(counts, np.maximum(2, np.ceil(lowest_rate * counts - 1e-9).astype(np.int64)))
    if total < least.sum():
        raise InputError(f"{total} labels are too few for {int((counts > 0).sum())} strata; they need {least.sum()}")
    total = min(total, int(counts.sum()))
    low, high = 0.0, 1.0
    while _scaled(high, weights, least, counts).sum() < total:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _scaled(middle, weights, least, counts).sum() < total else (low, middle)
    labels = np.floor(_scaled(low, weights, least, counts)).astype(np.int64)
    parts = np.where(labels < counts, _scaled(high, weights, least, counts) - labels, -1.0)
    labels[np.argsort(-parts, kind="stable")[: total - int(labels.sum())]] += 1
    return labels


def _scaled(scale: float, weights: Floats, least: Ints, most: Ints) -> Floats:
    return np.clip(scale * weights, least, most)
