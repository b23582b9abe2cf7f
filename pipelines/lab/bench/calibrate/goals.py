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
    """One goal: in how many cases (archive and epsilon) it holds, and the case that is furthest from it."""

    goal: str
    holds: int
    of: int
    worst: str


@dataclass(frozen=True)
class _Case:
    """fulfilled: 1 where the goal is just reached, more beyond it."""

    fulfilled: float
    told: str


def judge(figures: Sequence[RuleFigures], delta: float) -> list[Goal]:
    """Goals about what was not measured, such as BARGAIN where it is not installed, are left out.

    A promise counts as broken too often where the number of breaks contradicts delta: its 95 % interval lies above it.
    """
    ours = [row for row in figures if row.rule in OURS]
    first = [row for row in ours if row.rule == "claim 1"]
    second = [row for row in ours if row.rule == "claim 2"]
    bargain = {_key(row): row for row in figures if row.rule.startswith("BARGAIN")}
    against_first = [(row, bargain[_key(row)]) for row in first if _key(row) in bargain]
    against_second = [(row, bargain[_key(row)]) for row in second if _key(row) in bargain]
    large = [row for row in first if row.num_rows >= MILLION and row.of_best is not None]
    goals = {
        f"promises are broken in at most {delta:.0%} of repetitions": [_kept(row, delta) for row in ours],
        f"{MIN_TIMES_BARGAIN} times as many rows exit as with BARGAIN": [_exits(*pair) for pair in against_first],
        f"{MIN_OF_BEST:.0%} of the best possible at a million rows": [_of_best(row) for row in large],
        f"labels of claim 2 are at most {MAX_LABELS_OF_CALLS:.0%} of BARGAIN's oracle calls": [
            _labels(row, float(there.num_calls or 0)) for row, there in against_second
        ],
        f"labels of claim 2 are at most {MAX_LABELS_OF_CALLS:.0%} of BARGAIN's calls to choose its threshold": [
            _labels(row, there.num_sampled) for row, there in against_second
        ],
    }
    return [_goal(goal, cases) for goal, cases in goals.items() if cases]


def _key(row: RuleFigures) -> tuple[str, int, float]:
    return row.world, row.num_rows, row.epsilon


def _goal(goal: str, cases: Sequence[_Case]) -> Goal:
    worst = min(cases, key=lambda case: case.fulfilled)
    return Goal(goal=goal, holds=sum(case.fulfilled >= 1 for case in cases), of=len(cases), worst=worst.told)


def _where(row: RuleFigures) -> str:
    return f"{row.world}, {row.num_rows:,} rows, epsilon {row.epsilon:.0%}"


def _kept(row: RuleFigures, delta: float) -> _Case:
    interval = f"{row.broken_low:.1%} to {row.broken_high:.1%}"
    told = f"{row.broken} of {row.repetitions} ({interval}): {row.rule}, {_where(row)}"
    share = row.broken / row.repetitions
    contradicted = share > delta and row.broken_low > delta
    return _Case(0.0 if contradicted else max(1.0, 2 - share / delta), told)


def _exits(ours: RuleFigures, there: RuleFigures) -> _Case:
    told = f"{ours.exit_share:.1%} against {there.exit_share:.1%}: {_where(ours)}"
    return _Case(ours.exit_share / max(MIN_TIMES_BARGAIN * there.exit_share, 1e-9), told)


def _of_best(row: RuleFigures) -> _Case:
    return _Case((row.of_best or 0.0) / MIN_OF_BEST, f"{row.of_best or 0.0:.1%}: {_where(row)}")


def _labels(row: RuleFigures, calls: float) -> _Case:
    told = f"{row.num_labels:.1f} labels against {calls:,.0f} calls: {_where(row)}"
    return _Case(MAX_LABELS_OF_CALLS * calls / max(row.num_labels, 1e-9), told)
