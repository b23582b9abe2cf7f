"""Thresholds tested from the highest down, at level delta each; the first that fails ends it.

For losses that do not fall as the threshold rises. Proof: the hypotheses "the mean loss at threshold t is above the
bound", for all confidences t of the archive from 1 down, have an order that is fixed before the sample is drawn. Take
the first of them that is true. No threshold at or below it is accepted unless its own test fails, and that has
probability at most delta (Maurer et al. 1995; Learn-then-Test, Angelopoulos et al. 2021). Between two confidences of
the sample no test changes, so that the tests at the sample's confidences are all of them.

Above all confidences nothing exits. That is tested first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framegate.pipelines.calibrate.audited import Floats, lowest_above
from framegate.pipelines.calibrate.wealth import log_factors, log_mean, log_wealth_path


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How far down the tests went.

    threshold: the lowest confidence of the sample that was accepted; None where none was.
    passes_at_top: whether the test passed where nothing exits.
    log_evidence: the logarithm of the wealth at the threshold, or at the top where there is none; 1 / delta passes.
    failed_at: the confidence at which the first test failed; None where none did below the top.
    """

    threshold: float | None
    passes_at_top: bool
    log_evidence: float
    failed_at: float | None


def descend(
    confidence: Floats, thinking: Floats, exiting: Floats, *, bound: float, largest: float, delta: float
) -> Descent:
    """The lowest threshold down to which the mean loss is shown to be at most the bound.

    thinking, exiting: each row's loss where it thinks and where it exits, at most `largest`; rows without a confidence
    (NaN) always think.
    """
    top = log_factors(thinking, bound=bound, largest=largest).sum(axis=1)
    changing = np.flatnonzero((thinking != exiting) & ~np.isnan(confidence))
    changing = changing[np.argsort(-confidence[changing], kind="stable")]
    steps = log_factors(exiting[changing], bound=bound, largest=largest)
    steps -= log_factors(thinking[changing], bound=bound, largest=largest)
    ends = np.flatnonzero(np.append(np.diff(confidence[changing]) != 0, True)) if changing.size else changing
    wealths = np.column_stack([top, top[:, None] + np.cumsum(steps, axis=1)[:, ends]])
    evidence = log_mean(wealths)
    return down_to_first_failure(confidence, confidence[changing][ends], evidence, delta=delta)


def descend_in_order(
    confidence: Floats,
    thinking: Floats,
    exiting: Floats,
    *,
    bound: float,
    largest: float,
    delta: float,
    population: int | None,
) -> Descent:
    """As `descend`, of rows in the order of their draw, which are looked at after each of them.

    A test passes where its wealth ever came to 1 / delta (Ville's inequality): however many rows there are when one
    looks, and for whatever reason there are not more, the promise holds. population: see `log_wealth_path`.
    """
    changing = (thinking != exiting) & ~np.isnan(confidence)
    steps = np.unique(confidence[changing])[::-1]

    def evidence(values: Floats) -> float:
        path = log_wealth_path(values, bound=bound, largest=largest, population=population)
        return float(path.max(initial=0.0))

    told = [evidence(thinking)]
    for step in steps:
        if told[-1] < -math.log(delta):
            break
        told.append(evidence(np.where(confidence >= step, exiting, thinking)))
    return down_to_first_failure(confidence, steps[: len(told) - 1], np.array(told), delta=delta)


def num_within(bounds: Sequence[float], epsilon: float) -> int:
    """Of settings in an order that is fixed beforehand, how many come before the first whose bound is above epsilon.

    Each bound of a share holds with probability 1 - delta. With that probability all settings that are counted keep to
    epsilon: the first whose true share is above it is counted only where its own bound is wrong.
    """
    return next((place for place, bound in enumerate(bounds) if bound > epsilon), len(bounds))


def down_to_first_failure(confidence: Floats, steps: Floats, evidence: Floats, *, delta: float) -> Descent:
    """steps: the confidences at which the evidence changes, from the highest down; evidence: at the top, then there."""
    failing = np.flatnonzero(evidence < -math.log(delta))
    first = int(failing[0]) if failing.size else evidence.size
    if first == 0:
        return Descent(threshold=None, passes_at_top=False, log_evidence=float(evidence[0]), failed_at=None)
    limit = float(steps[first - 1]) if first < evidence.size else -1.0
    return Descent(
        threshold=lowest_above(confidence, limit),
        passes_at_top=True,
        log_evidence=float(evidence[first - 1]),
        failed_at=limit if first < evidence.size else None,
    )
