"""Claim 2, with few labels: accuracy on this archive is at most epsilon below that of thinking always.

    D(t) = [confidence >= t] x ([the second answer is right] - [the first answer is right])

Its mean over the archive is what the gate loses. D is 0 wherever both answers are the same, so that only sampled rows
that differ need a person, and of those only the ones above the threshold. D does not fall as t grows: a row on which
thinking does harm has D = -1. So thresholds are tested from 1 down (`fixed_sequence.py`), each by a bet that the mean
of D is at most epsilon, on -1 to 1 (`wealth.py`). A row that differs and has no label counts as D = 1, the worst.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.audited import Bools, Floats, Ints, as_bools, as_confidence, as_floats
from framegate.pipelines.calibrate.fixed_sequence import Descent, descend, down_to_first_failure
from framegate.pipelines.calibrate.share import check_levels
from framegate.pipelines.calibrate.wealth import log_wealth_path, rows_without_loss
from framegate.schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AccuracyCertificate:
    """What a sample and its labels say of the lowest threshold that costs at most epsilon of accuracy.

    threshold: rows with this confidence or more may exit; None: nothing may exit.
    num_exits, num_different: of the sample, rows that exit at the threshold, and those of them that differ.
    num_worse, num_better: of those that differ, the ones with a label on which thinking helps (D = 1), and does harm.
    num_unlabelled: of those that differ, the ones without a label, which count as worse.
    log_evidence: logarithm of the wealth at the threshold; log(1 / delta) or more passes.
    num_missing: rows that the sample is short of before any threshold could pass; labels alone do not help then.
    """

    epsilon: float
    delta: float
    threshold: float | None
    num_rows: int
    population: int | None
    num_exits: int
    num_different: int
    num_worse: int
    num_better: int
    num_unlabelled: int
    log_evidence: float
    num_missing: int


def certify_accuracy(
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    gain: npt.ArrayLike,
    *,
    epsilon: float,
    delta: float,
    population: int | None = None,
    rank: npt.ArrayLike | None = None,
) -> AccuracyCertificate:
    """The lowest threshold that claim 2 allows.

    differs: whether the answers are other ones at all, without the tolerance that claim 1 may allow: two numbers that
    are close are not both right. gain: of each row [second answer right] - [first answer right]: -1, 0 or 1, NaN where
    nobody labelled it; read where the answers differ. rank: the order of the draw. With it the promise holds however
    often one looks while the sample grows, and a sample that is a large part of the population counts for more; without
    it, for one look at all rows. Raises InputError on levels, confidences and gains that cannot be, and on more rows
    than the population has.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    gains = as_gains(gain, confidences.size)
    if population is not None and confidences.size > population:
        raise InputError(
            f"{confidences.size} rows were sampled of an archive of {population}; a sample has each row once"
        )
    losses = np.where(different, np.where(np.isnan(gains), 1.0, gains), 0.0)
    ranks = None if rank is None else as_floats(rank, confidences.size, "rank")
    found = find_descent(confidences, losses, epsilon=epsilon, delta=delta, population=population, rank=ranks)
    exits = confidences >= (2.0 if found.threshold is None else found.threshold)
    out = exits & different
    return AccuracyCertificate(
        epsilon=epsilon,
        delta=delta,
        threshold=found.threshold,
        num_rows=confidences.size,
        population=population,
        num_exits=int(exits.sum()),
        num_different=int(out.sum()),
        num_worse=int((out & (gains == 1)).sum()),
        num_better=int((out & (gains == -1)).sum()),
        num_unlabelled=int((out & np.isnan(gains)).sum()),
        log_evidence=found.log_evidence,
        num_missing=0 if found.passes_at_top else max(0, rows_without_loss(epsilon, 1.0, delta) - confidences.size),
    )


def as_gains(values: npt.ArrayLike, num_rows: int) -> Floats:
    """Raises InputError unless each is -1, 0, 1 or NaN."""
    gains = as_floats(values, num_rows, "gain")
    wrong = gains[~(np.isnan(gains) | np.isin(gains, (-1, 0, 1)))]
    if wrong.size:
        raise InputError(
            f"a gain is {wrong[0]:g}; it is 1 where only the second answer is right, -1 where only the first is, 0"
        )
    return gains


def labels_wanted(
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    gain: npt.ArrayLike,
    *,
    epsilon: float,
    delta: float,
    lowest: float = 0.0,
) -> Ints:
    """Places of rows that need a label for claim 2, most useful first: from the highest confidence down.

    The tests go down from 1, so that a label counts only once all above it have been given. Rows below `lowest` are
    left out, and those that no label can reach: where the test would fail if thinking did harm on every unlabelled row.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    gains = as_gains(gain, confidences.size)
    losses = np.where(different, np.where(np.isnan(gains), -1.0, gains), 0.0)
    hoped = find_descent(confidences, losses, epsilon=epsilon, delta=delta)
    reachable = lowest if hoped.failed_at is None else max(lowest, hoped.failed_at)
    wanted = np.flatnonzero(different & np.isnan(gains) & (confidences >= reachable))
    if not hoped.passes_at_top:
        return wanted[:0]
    return wanted[np.argsort(-confidences[wanted], kind="stable")]


def find_descent(
    confidence: Floats,
    losses: Floats,
    *,
    epsilon: float,
    delta: float,
    population: int | None = None,
    rank: Floats | None = None,
) -> Descent:
    """Fixed-sequence tests of the mean of losses, of rows that exit; others have none. See `certify_accuracy`."""
    if rank is None:
        nothing = np.zeros_like(losses)
        return descend(confidence, nothing, losses, bound=epsilon, largest=1.0, delta=delta)
    order = np.argsort(rank, kind="stable")
    return _descend_in_order(confidence[order], losses[order], epsilon, delta, population)


def _descend_in_order(
    confidence: Floats, losses: Floats, epsilon: float, delta: float, population: int | None
) -> Descent:
    """Rows are in the order of their draw, and looked at after each of them.

    Where thinking does harm, wealth only grows. Without that it falls with the threshold, so that halving finds how far
    down all tests pass; from there on they are made one by one.
    """

    def evidence(step: float, values: Floats) -> float:
        exiting: Bools = confidence >= step
        path = log_wealth_path(np.where(exiting, values, 0.0), bound=epsilon, largest=1.0, population=population)
        return float(path.max(initial=0.0))

    needed = -np.log(delta)
    steps = [2.0, *np.unique(confidence[(losses != 0) & ~np.isnan(confidence)])[::-1]]
    no_gains = np.maximum(losses, 0.0)
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if evidence(steps[middle], no_gains) >= needed else (low, middle - 1)
    told = np.full(low, np.inf)
    for step in steps[low:]:
        told = np.append(told, evidence(step, losses))
        if told[-1] < needed:
            break
    found = down_to_first_failure(confidence, np.array(steps[1 : told.size]), told, delta=delta)
    if np.isfinite(found.log_evidence) or found.threshold is None:
        return found
    return replace(found, log_evidence=evidence(found.threshold, losses))
