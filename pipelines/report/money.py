"""What the night cost in money: by the job's price, else by what the records of its runs say an hour of them cost.

A question's or camera's part is its share of the engine's busy time. Time in which the engine waited is shared alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from framegate.pipelines.report.figures import Cost, CostShare, Ended, Estimate, Saving
from framegate.pipelines.report.night import Scope
from framegate.pipelines.report.rows import NIGHT, NightRows
from framegate.pipelines.results.run_table import cost_of
from framegate.schemas.config import CostConfig, RayConfig
from framegate.schemas.config.cost import SECONDS_PER_HOUR

MAX_SHARES: Final = 40

_SHARES: Final = """
    SELECT {name} AS name, count(*) AS num_rows,
        coalesce(sum(engine_seconds) / nullif(sum(sum(engine_seconds)) OVER (), 0), 0) AS engine_share
    FROM {night} GROUP BY {name} ORDER BY engine_share DESC, name LIMIT {most}"""


def find_cost(
    rows: NightRows, scope: Scope, ended: Ended, saving: Saving, price: CostConfig | None, ray: RayConfig | None
) -> Cost:
    """`price` and `ray` are those of the job; None where no job file was given. Raises StorageError."""
    price, ray = price or CostConfig(), ray or RayConfig()
    costs = [_cost_of(run, price, ray) for run in scope.night.runs]
    known = [cost for cost in costs if cost is not None]
    total = sum(known) if known else None
    is_same = scope.night is scope.answered  # else the rows are of another night than the time that was paid
    paid = total if is_same else None
    per_second = None if price.gpu_hour is None else price.gpu_hour * (ray.gpus_per_actor or 1.0) / SECONDS_PER_HOUR
    return Cost(
        currency=_currency(scope, price, ray),
        gpu_hour=price.gpu_hour,
        total=total,
        is_least=price.is_least(ray) or len(known) < len(costs),
        per_thousand_clips=paid / ended.num_clips * 1000 if paid is not None and ended.num_clips else None,
        per_clip_hour=paid / ended.clip_hours if paid is not None and ended.clip_hours else None,
        saved=_scaled(saving.saved_seconds, per_second),
        questions=_shares(rows, "question_id", paid),
        cameras=_shares(rows, "camera", paid),
    )


def _cost_of(run: Mapping[str, Any], price: CostConfig, ray: RayConfig) -> float | None:
    seconds = run.get("elapsed_seconds")
    if price.per_hour(ray) is None or seconds is None:
        return cost_of(run)
    return price.of_run(seconds, ray)


def _currency(scope: Scope, price: CostConfig, ray: RayConfig) -> str:
    """The job's; without a price of it, that of the records."""
    recorded = next((run["currency"] for run in scope.night.runs if run.get("currency")), price.currency)
    return price.currency if price.per_hour(ray) is not None else recorded


def _shares(rows: NightRows, name: str, total: float | None) -> tuple[CostShare, ...]:
    """The largest MAX_SHARES."""
    found = rows.ask(_SHARES.format(name=name, night=NIGHT, most=MAX_SHARES))
    return tuple(CostShare(**row, cost=None if total is None else total * row["engine_share"]) for row in found)


def _scaled(estimate: Estimate | None, factor: float | None) -> Estimate | None:
    if estimate is None or factor is None:
        return None
    return Estimate(value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor)
