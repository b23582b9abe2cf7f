"""Our three claims on one sample of an archive, as the commands make them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from framegate.pipelines.calibrate.accuracy import certify_accuracy
from framegate.pipelines.calibrate.agreement import certify_agreement
from framegate.pipelines.calibrate.labelled import LOWEST_RATE, certify_error
from framegate.pipelines.calibrate.neyman import allocate_labels, guessed_deviations, label_strata
from framegate.pipelines.lab.bench.calibrate.worlds import Bools, World


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
    firsts, seconds = _known(world)
    confidence, differs = world.confidence[rows], world.differs[rows]
    found = certify_accuracy(
        confidence, differs, seconds[rows].astype(np.float64) - firsts[rows],
        epsilon=epsilon, delta=delta, population=world.num_rows, rank=np.arange(rows.size),
    )  # fmt: skip
    if found.num_missing:
        return Chosen(None)
    different = confidence[differs]
    below = different[different < (2.0 if found.threshold is None else found.threshold)]
    first_failed = below.max(initial=0.0)  # its labels were needed, too
    return Chosen(found.threshold, int((different >= first_failed).sum()))


def claim_3(world: World, rows: np.ndarray, alpha: float, delta: float, num_labels: int) -> Chosen:
    """Labels of the first rows, which are a uniform sample of the archive as all of them are."""
    firsts, seconds = _known(world)
    labelled = rows[:num_labels]
    found = certify_error(
        world.confidence[labelled], ~firsts[labelled], ~seconds[labelled],
        alpha=alpha, delta=delta, population=world.num_rows,
    )  # fmt: skip
    return Chosen(found.threshold, labelled.size)


def claim_3_by_strata(
    world: World, rows: np.ndarray, alpha: float, delta: float, num_labels: int, random: np.random.Generator
) -> Chosen:
    """Labels by strata of agreement and confidence, which rows of a stratum get them by chance."""
    firsts, seconds = _known(world)
    confidence, agrees = world.confidence[rows], ~world.differs[rows]
    strata = label_strata(confidence, agrees)
    sizes = np.bincount(strata)
    labels = allocate_labels(num_labels, sizes, guessed_deviations(confidence, agrees, strata), lowest_rate=LOWEST_RATE)
    order = np.lexsort((random.random(rows.size), strata))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place_in_stratum = np.empty(rows.size, np.int64)
    place_in_stratum[order] = np.arange(rows.size) - starts[strata[order]]
    has_label = place_in_stratum < labels[strata]
    found = certify_error(
        confidence,
        np.where(has_label, ~firsts[rows], np.nan),
        np.where(has_label, ~seconds[rows], np.nan),
        alpha=alpha,
        delta=delta,
        rates=(labels / np.maximum(sizes, 1))[strata],
    )
    return Chosen(found.threshold, int(has_label.sum()))


def _known(world: World) -> tuple[Bools, Bools]:
    if world.first_right is None or world.second_right is None:
        raise ValueError(f"nobody knows which answers of {world.name} are right")
    return world.first_right, world.second_right
