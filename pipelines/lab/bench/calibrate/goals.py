"""What the certificates are to reach, held against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framegate.pipelines.lab.bench.calibrate.measure import OURS, RuleFigures

MIN_TIMES_BARGAIN: Final = 1.2
MIN_OF_BEST: Final = 0.8
MAX_LABELS_OF_CALLS: Final = 0.05
MILLION: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One goal: whether it holds everywhere, and the figures of where it is nearest to failing, or fails furthest."""

    goal: str
    holds: bool
    worst: str


def judge(figures: Sequence[RuleFigures], delta: float) -> list[Goal]:
    """Goals about what was not measured, such as BARGAIN where it is not installed, are left out.

    A promise counts as broken too often where the number of breaks contradicts delta: their lower end is above it.
    """
    ours = [row for row in figures if row.rule in OURS]
    goals = [_kept(ours, delta)]
    bargain = {(row.world, row.num_rows, row.epsilon): row for row in figures if row.rule.startswith("BARGAIN")}
    pairs = [(row, there) for row in ours if (there := bargain.get((row.world, row.num_rows, row.epsilon)))]
    if first := [pair for pair in pairs if pair[0].rule == "claim 1"]:
        goals.append(_times_bargain(first))
    if large := [row for row in ours if row.rule == "claim 1" and row.num_rows >= MILLION and row.best_exit_share]:
        worst = min(large, key=lambda row: row.of_best)
        told = f"{worst.of_best:.1%} of the best in {worst.world}, epsilon {worst.epsilon:.1%}"
        goals.append(Goal(goal=f"at least {MIN_OF_BEST:.0%} of the best possible at a million rows",
                          holds=worst.of_best >= MIN_OF_BEST, worst=told))  # fmt: skip
    if second := [pair for pair in pairs if pair[0].rule == "claim 2"]:
        goals += [_labels(second, all_calls=True), _labels(second, all_calls=False)]
    return goals


def _kept(ours: Sequence[RuleFigures], delta: float) -> Goal:
    worst = max(ours, key=lambda row: row.broken / row.repetitions)
    told = (
        f"{worst.broken} of {worst.repetitions} ({worst.broken_low:.1%} to {worst.broken_high:.1%}):"
        f" {worst.rule} in {worst.world}, epsilon {worst.epsilon:.1%}"
    )
    holds = all(row.broken <= delta * row.repetitions or row.broken_low <= delta for row in ours)
    return Goal(goal=f"promises broken in at most {delta:.0%} of repetitions", holds=holds, worst=told)


def _times_bargain(pairs: Sequence[tuple[RuleFigures, RuleFigures]]) -> Goal:
    ours, there = min(pairs, key=lambda pair: pair[0].exit_share / max(pair[1].exit_share, 1e-9))
    told = f"{ours.exit_share:.1%} and {there.exit_share:.1%} in {ours.world}, epsilon {ours.epsilon:.1%}"
    return Goal(
        goal=f"at least {MIN_TIMES_BARGAIN} times as many rows exit as with BARGAIN",
        holds=ours.exit_share >= MIN_TIMES_BARGAIN * there.exit_share,
        worst=told,
    )


def _labels(pairs: Sequence[tuple[RuleFigures, RuleFigures]], *, all_calls: bool) -> Goal:
    def calls(there: RuleFigures) -> float:
        return float(there.num_calls or 0) if all_calls else there.num_sampled

    ours, there = max(pairs, key=lambda pair: pair[0].num_labels / max(calls(pair[1]), 1e-9))
    told = f"{ours.num_labels:.1f} and {calls(there):,.0f} in {ours.world}, epsilon {ours.epsilon:.1%}"
    which = "all of BARGAIN's oracle calls" if all_calls else "BARGAIN's oracle calls to choose its threshold"
    return Goal(
        goal=f"labels of claim 2 at most {MAX_LABELS_OF_CALLS:.0%} of {which}",
        holds=ours.num_labels <= MAX_LABELS_OF_CALLS * calls(there),
        worst=told,
    )
