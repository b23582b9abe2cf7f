"""Our three claims on one sample of an archive, as the commands make them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from framegate.pipelines.calibrate.accuracy import certify_accuracy, labels_wanted
from framegate.pipelines.calibrate.agreement import certify_agreement
from framegate.pipelines.calibrate.labelled import LOWEST_RATE, certify_error
from framegate.pipelines.calibrate.neyman import allocate_labels, guessed_deviations, label_strata
from framegate.pipelines.lab.bench.calibrate.worlds import World


@dataclass(frozen=True)
class Chosen:
    """A threshold, and how many rows a person labelled for it."""

    threshold: float | None
    num_labels: int = 0


def claim_1(world: World, rows: np.ndarray, epsilon: float, delta: float) -> Chosen:
    found = certify_agreement(
        world.confidence[rows], world.differs[rows], epsilon=epsilon, delta=delta, population=world.num_rows
    )
    return Chosen(found.threshold)


def claim_2(world: World, rows: np.ndarray, epsilon: float, delta: float) -> Chosen:
    """Labels are given from the highest confidence down, until the test fails: no label below that changes anything."""
    assert world.first_right is not None
    assert world.second_right is not None
    confidence, differs = world.confidence[rows], world.differs[rows]
    gain = world.second_right[rows].astype(np.float64) - world.first_right[rows]
    found = certify_accuracy(confidence, differs, gain, epsilon=epsilon, delta=delta, population=world.num_rows)
    wanted = labels_wanted(confidence, differs, np.full(rows.size, np.nan), epsilon=epsilon, delta=delta)
    below = confidence[wanted][confidence[wanted] < (2.0 if found.threshold is None else found.threshold)]
    lowest = below.max(initial=0.0) if below.size else 0.0  # the first that failed: its labels were needed, too
    return Chosen(found.threshold, int((confidence[wanted] >= lowest).sum()))


def claim_3(
    world: World, rows: np.ndarray, alpha: float, delta: float, num_labels: int, random: np.random.Generator
) -> Chosen:
    """Labels by strata of agreement and confidence, which rows of a stratum get them by chance."""
    assert world.first_right is not None
    assert world.second_right is not None
    confidence, agrees = world.confidence[rows], ~world.differs[rows]
    strata = label_strata(confidence, agrees)
    sizes = np.bincount(strata)
    labels = allocate_labels(num_labels, sizes, guessed_deviations(confidence, agrees, strata), lowest_rate=LOWEST_RATE)
    order = np.lexsort((random.random(rows.size), strata))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place_in_stratum = np.empty(rows.size, np.int64)
    place_in_stratum[order] = np.arange(rows.size) - starts[strata[order]]
    has_label = place_in_stratum < labels[strata]
    wrong_first = np.where(has_label, ~world.first_right[rows], np.nan)
    wrong_second = np.where(has_label, ~world.second_right[rows], np.nan)
    found = certify_error(
        confidence, wrong_first, wrong_second, alpha=alpha, delta=delta, rates=(labels / np.maximum(sizes, 1))[strata]
    )
    return Chosen(found.threshold, int(has_label.sum()))
