"""What each threshold does in a whole archive: the share that exits, and the mean loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from framegate.pipelines.lab.bench.calibrate.worlds import Floats, World


@dataclass(frozen=True)
class TruthCurve:
    """Shares of the archive at each of its confidences, from the highest down, shape (different confidences,).

    at_top: the mean loss where nothing exits.
    """

    confidences: Floats
    exits: Floats
    losses: Floats
    at_top: float

    def exit_share(self, threshold: float | None) -> float:
        return self._at(self.exits, threshold, 0.0)

    def loss(self, threshold: float | None) -> float:
        """The mean over all rows of the archive."""
        return self._at(self.losses, threshold, self.at_top)

    def best_exit_share(self, bound: float) -> float:
        """Of the threshold that lets most exit with a loss within the bound: what full knowledge would choose."""
        return float(self.exits[self.losses <= bound].max(initial=0.0))

    def _at(self, values: Floats, threshold: float | None, otherwise: float) -> float:
        if threshold is None:
            return otherwise
        place = int(np.searchsorted(-self.confidences, -threshold, side="right")) - 1
        return float(values[place]) if place >= 0 else otherwise


def disagreement(world: World) -> TruthCurve:
    """Claim 1: rows that exit and differ."""
    return _curve(world.confidence, np.zeros(world.num_rows), world.differs.astype(np.float64))


def accuracy_loss(world: World) -> TruthCurve:
    """Claim 2: how far accuracy is below that of thinking always."""
    firsts, seconds = _known(world)
    return _curve(world.confidence, np.zeros(world.num_rows), seconds - firsts)


def error(world: World) -> TruthCurve:
    """Claim 3: answers that are wrong."""
    firsts, seconds = _known(world)
    return _curve(world.confidence, 1 - seconds, 1 - firsts)


def _known(world: World) -> tuple[Floats, Floats]:
    if world.first_right is None or world.second_right is None:
        raise ValueError(f"nobody knows which answers of {world.name} are right")
    return world.first_right.astype(np.float64), world.second_right.astype(np.float64)


def _curve(confidence: Floats, thinking: Floats, exiting: Floats) -> TruthCurve:
    order = np.argsort(-confidence, kind="stable")  # NaN comes last
    known = int((~np.isnan(confidence)).sum())
    ranked = confidence[order][:known]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if known else np.zeros(0, np.int64)
    sums = thinking.sum() + np.cumsum((exiting - thinking)[order])
    rows = confidence.size
    return TruthCurve(ranked[ends], (ends + 1) / rows, sums[ends] / rows, float(thinking.sum() / rows))
