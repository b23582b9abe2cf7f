"""Rules against archives whose truth is known: how often each breaks its promise, and what it lets exit.

Each repetition draws a new sample of the same archive, and all rules are given that one, but for BARGAIN and LOTUS,
which draw their own. A promise is broken where the whole archive, not the sample, loses more than was promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.share import lower_bound, upper_bound
from framegate.pipelines.lab.bench.calibrate import rivals, truth
from framegate.pipelines.lab.bench.calibrate.bargain import is_installed, run_bargain
from framegate.pipelines.lab.bench.calibrate.certified import Chosen, claim_1, claim_2, claim_3, claim_3_by_strata
from framegate.pipelines.lab.bench.calibrate.worlds import World

MARGIN_OF_ENDS: Final = 0.025
OURS: Final = ("claim 1", "claim 2", "claim 3", "claim 3 by strata")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a bench is to measure. num_sampled: rows that think although they could exit, of each archive."""

    epsilon: float
    delta: float
    num_sampled: int
    num_labels: int
    repetitions: int
    bargain_repetitions: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class RuleFigures:
    """One rule on one archive.

    broken: repetitions that broke the promise; broken_low and broken_high: the exact 95 % interval of their share.
    exit_share: mean share of the archive that exits, without the sampled rows; of_best: of what full knowledge of the
    archive would let exit for the same promise, None where that is none. num_sampled: calls of the second answer to
    choose; num_calls: all of them, where the rule makes the others itself; num_labels: rows that a person labelled.
    Means over repetitions.
    """

    world: str
    num_rows: int
    rule: str
    promise: str
    epsilon: float
    repetitions: int
    broken: int
    broken_low: float
    broken_high: float
    exit_share: float
    best_exit_share: float
    of_best: float | None
    num_sampled: float
    num_calls: float | None
    num_labels: float


def measure_world(world: World, setting: Setting, *, only_claim_1: bool = False) -> Iterator[RuleFigures]:
    """All rules that this archive allows, ours first; only the first claim where asked for."""
    tally = _Tally(world, setting)
    yield tally.of_claim_1()
    if only_claim_1:
        return
    if world.first_right is not None:
        yield tally.of_claim_2()
        yield from tally.of_claim_3()
    if is_installed() and setting.bargain_repetitions:
        yield tally.of_bargain()
    yield from tally.of_rivals()
    if world.name == "drift":
        yield tally.of_early_sample()


class _Tally:
    """Repeats rules on one archive and counts."""

    def __init__(self, world: World, setting: Setting) -> None:
        self.world, self.setting = world, setting
        self.num_sampled = min(setting.num_sampled, world.num_rows)

    def of_claim_1(self) -> RuleFigures:
        return self._repeat("claim 1", "rows", truth.disagreement(self.world), self.setting.epsilon, self._claim_1)

    def of_claim_2(self) -> RuleFigures:
        levels = (self.setting.epsilon, self.setting.delta)
        return self._repeat(
            "claim 2", "accuracy", truth.accuracy_loss(self.world), self.setting.epsilon,
            lambda rows, _: claim_2(self.world, rows, *levels),
        )  # fmt: skip

    def of_claim_3(self) -> Iterator[RuleFigures]:
        curve = truth.error(self.world)
        alpha = curve.at_top + self.setting.epsilon  # so that some thresholds would break it, wherever claim 2's would
        levels = (alpha, self.setting.delta, self.setting.num_labels)
        promise = f"error {alpha:.1%}"
        yield self._repeat("claim 3", promise, curve, alpha, lambda rows, _: claim_3(self.world, rows, *levels))
        yield self._repeat(
            "claim 3 by strata", promise, curve, alpha,
            lambda rows, random: claim_3_by_strata(self.world, rows, *levels, random),
        )  # fmt: skip

    def of_rivals(self) -> Iterator[RuleFigures]:
        confidence, differs = self.world.confidence, self.world.differs
        epsilon, delta = self.setting.epsilon, self.setting.delta
        curve = truth.disagreement(self.world)
        among = _among_exits(curve)

        def naive(rows: np.ndarray, _: np.random.Generator) -> Chosen:
            return Chosen(rivals.naive_sweep(confidence[rows], differs[rows], epsilon))

        def supg(rows: np.ndarray, _: np.random.Generator) -> Chosen:
            return Chosen(rivals.supg_threshold(confidence[rows], differs[rows], epsilon, delta))

        def lotus(_: np.ndarray, random: np.random.Generator) -> Chosen:
            rows = rivals.lotus_sample(cumulative, self.num_sampled, random)
            return Chosen(rivals.lotus_threshold(confidence[rows], differs[rows], epsilon, delta))

        cumulative = rivals.lotus_weights(confidence)
        yield self._repeat("naive sweep", "rows", curve, epsilon, naive)
        yield self._repeat("SUPG (from its paper)", "of exits", among, epsilon, supg)
        yield self._repeat("LOTUS (from its paper)", "of exits", among, epsilon, lotus)

    def of_early_sample(self) -> RuleFigures:
        """What is not promised: a certificate of the first half of the archive, held against all of it."""
        curve, half = truth.disagreement(self.world), self.world.num_rows // 2
        early = "claim 1 before the drift"
        return self._repeat(early, "not promised", curve, self.setting.epsilon, self._claim_1, num_from=half)

    def _claim_1(self, rows: np.ndarray, _: np.random.Generator) -> Chosen:
        return claim_1(self.world, rows, self.setting.epsilon, self.setting.delta)

    def _repeat(
        self,
        rule: str,
        promise: str,
        curve: truth.TruthCurve,
        bound: float,
        choose: Callable[[np.ndarray, np.random.Generator], Chosen],
        *,
        num_from: int | None = None,
    ) -> RuleFigures:
        """num_from: the sample is one of the first rows of the archive, as if the others had not come yet."""
        random = np.random.default_rng(self.setting.seed)
        broken, exits, labels = 0, 0.0, 0
        for _ in range(self.setting.repetitions):
            rows = random.choice(num_from or self.world.num_rows, self.num_sampled, replace=False)
            chosen = choose(rows, random)
            broken += chosen.threshold is not None and curve.loss(chosen.threshold) > bound
            exits += curve.exit_share(chosen.threshold) * (1 - self.num_sampled / self.world.num_rows)
            labels += chosen.num_labels
        best = curve.best_exit_share(bound)
        count = self.setting.repetitions
        return self._figures(rule, promise, count, broken, exits / count, best, self.num_sampled, None, labels / count)

    def of_bargain(self) -> RuleFigures:
        world, setting = self.world, self.setting
        broken, exits, sampled, calls = 0, 0.0, 0, 0
        for seed in range(setting.bargain_repetitions):
            run = run_bargain(
                world.confidence, world.differs, epsilon=setting.epsilon, delta=setting.delta, seed=setting.seed + seed
            )
            broken += int((run.exits & world.differs).sum()) / world.num_rows > setting.epsilon
            exits += float(run.exits.mean())
            sampled += run.num_choosing
            calls += run.num_calls
        count = setting.bargain_repetitions
        best = truth.disagreement(world).best_exit_share(setting.epsilon)
        return self._figures(
            "BARGAIN 0.1.3", "rows", count, broken, exits / count, best, sampled / count, calls / count, 0.0
        )

    def _figures(
        self, rule: str, promise: str, count: int, broken: int, exits: float, best: float,
        sampled: float, calls: float | None, labels: float,
    ) -> RuleFigures:  # fmt: skip
        return RuleFigures(
            world=self.world.name,
            num_rows=self.world.num_rows,
            rule=rule,
            promise=promise,
            epsilon=self.setting.epsilon,
            repetitions=count,
            broken=broken,
            broken_low=lower_bound(broken, count, MARGIN_OF_ENDS),
            broken_high=upper_bound(broken, count, MARGIN_OF_ENDS),
            exit_share=exits,
            best_exit_share=best,
            of_best=exits / best if best else None,
            num_sampled=sampled,
            num_calls=calls,
            num_labels=labels,
        )


def _among_exits(curve: truth.TruthCurve) -> truth.TruthCurve:
    """The loss as a share of the rows that exit."""
    return truth.TruthCurve(curve.confidences, curve.exits, curve.losses / curve.exits, 0.0)
