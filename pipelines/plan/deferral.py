"""Whether a run lets rows that would think go for now, so that all rows have a first answer before any thinks.

Under a budget it always does. Under a deadline it does unless the last runs say that the time is ample: a row that is
taken up later has its clip decoded and read a second time (infra/adr/0011-budget.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.plan.price import estimate_price
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config.cost import SECONDS_PER_HOUR
from framegate.schemas.config.gate import GatedConfig
from framegate.schemas.job import Job
from framegate.schemas.run import Plan

AMPLE: Final = 2.0
"""How many times as long as the slowest of the last runs would take is ample."""


def settle_deferral(
    job: Job,
    planned: Plan,
    strategy: Strategy,
    *,
    seconds_left: float | None,
    read_runs: Callable[[], Iterable[Mapping[str, Any]]],
) -> Strategy:
    """The strategy as `gate.defer` has it. `seconds_left`: until the deadline; None: there is none. `read_runs` gives
    the records of runs, the oldest first."""
    gate = job.config.gate
    if not isinstance(strategy, Gated) or not isinstance(gate, GatedConfig) or gate.defer == "never":
        return strategy
    if gate.defer == "always" or gate.budget is not None:
        return replace(strategy, defers=True)
    if seconds_left is None or planned.videos.num_rows == 0:
        return strategy
    return replace(strategy, defers=not _is_ample(job, planned, strategy, seconds_left, read_runs()))


def _is_ample(
    job: Job, planned: Plan, strategy: Strategy, seconds_left: float, runs: Iterable[Mapping[str, Any]]
) -> bool:
    """By runs that thought at once; without any nobody knows."""
    alike = [run for run in runs if not run.get("defers")]
    num_rows = forecast(job, planned, strategy).estimated_rows
    price = estimate_price(alike, planned.config_id, num_rows, job.config.cost, job.config.ray)
    return price is not None and AMPLE * price.hours.high * SECONDS_PER_HOUR <= seconds_left
