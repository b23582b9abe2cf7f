"""How long a plan will take and what it will cost, by how fast the last runs of its config_id were.

The rate of a run is its rows over the seconds in which it worked. The estimate takes the rate of the last runs
together, and its interval goes from the fastest of them to the slowest. The mean time beside the work is added: to
start, to plan, to load the model, and to seal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.schemas.config import CostConfig, RayConfig
from framegate.schemas.config.cost import SECONDS_PER_HOUR

MAX_RUNS: Final = 5
MIN_ROWS: Final = 20
"""Rows of a run, with fewer of which its rate says little."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """An estimate, and the least and most that the runs it is made of speak for."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(value=self.value * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, kw_only=True)
class Price:
    """`hours` of wall-clock time of a run that does `num_rows`, by the last `num_runs`. `cost` in `currency`; None
    where the job has no price."""

    num_rows: int
    num_runs: int
    hours: Range
    cost: Range | None
    currency: str


def estimate_price(
    runs: Iterable[Mapping[str, Any]], config_id: str, num_rows: int, cost: CostConfig, ray: RayConfig
) -> Price | None:
    """None where no run of the config_id was long enough to tell. `runs` are records, the oldest first."""
    known = [found for found in map(_measured, runs) if found is not None and found.config_id == config_id][-MAX_RUNS:]
    if not known:
        return None
    rates = [one.num_rows / one.work_seconds for one in known]
    pooled = sum(one.num_rows for one in known) / sum(one.work_seconds for one in known)
    beside = sum(one.beside_seconds for one in known) / len(known)
    low, value, high = ((beside + num_rows / rate) / SECONDS_PER_HOUR for rate in (max(rates), pooled, min(rates)))
    hours, per_hour = Range(value=value, low=low, high=high), cost.per_hour(ray)
    return Price(
        num_rows=num_rows,
        num_runs=len(known),
        hours=hours,
        cost=None if per_hour is None else hours.times(per_hour),
        currency=cost.currency,
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    config_id: str
    num_rows: int
    work_seconds: float
    beside_seconds: float


def _measured(run: Mapping[str, Any]) -> _Measured | None:
    counts, phases = run.get("counts") or {}, run.get("phase_seconds") or {}
    num_rows = (counts.get("num_answers") or 0) + (counts.get("num_failures") or 0)
    work, elapsed = phases.get("working"), run.get("elapsed_seconds")
    if not run.get("config_id") or num_rows < MIN_ROWS or not work or elapsed is None:
        return None
    beside = max(0.0, elapsed - work)
    return _Measured(config_id=run["config_id"], num_rows=num_rows, work_seconds=work, beside_seconds=beside)
