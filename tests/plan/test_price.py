"""A plan's time and cost, by how fast the last runs were."""

from __future__ import annotations

from typing import Any

import pytest

from framegate.pipelines.plan.price import MIN_ROWS, estimate_price
from framegate.schemas.config import CostConfig, RayConfig

OURS, OTHER = "a" * 16, "b" * 16
PRICE = CostConfig(gpu_hour=3.6, currency="USD")


def run(num_rows: int, seconds: float, *, beside: float = 30.0, config_id: str | None = OURS, **fields: Any) -> Any:
    counts = {"num_answers": num_rows - 1, "num_failures": 1}
    phases = {"starting": beside, "working": seconds}
    return {
        "config_id": config_id,
        "counts": counts,
        "phase_seconds": phases,
        "elapsed_seconds": seconds + beside,
        **fields,
    }


def test_the_interval_goes_from_the_fastest_run_to_the_slowest() -> None:
    found = estimate_price([run(1000, 100), run(3000, 600)], OURS, 10_000, PRICE, RayConfig())
    assert found is not None
    assert (found.num_runs, found.num_rows, found.currency) == (2, 10_000, "USD")
    hours = found.hours
    assert (hours.low, hours.value, hours.high) == (
        pytest.approx((30 + 1000) / 3600), pytest.approx((30 + 1750) / 3600), pytest.approx((30 + 2000) / 3600),
    )  # fmt: skip
    assert found.cost is not None
    assert found.cost.value == pytest.approx(3.6 * hours.value)


def test_only_the_last_runs_of_the_config_id_count() -> None:
    runs = [run(1000, 10_000), *(run(1000, 100) for _ in range(5)), run(1000, 1, config_id=OTHER)]
    found = estimate_price(runs, OURS, 1000, PRICE, RayConfig())
    assert found is not None
    assert (found.num_runs, found.hours.high) == (5, pytest.approx(130 / 3600))


@pytest.mark.parametrize(
    "useless",
    [
        run(MIN_ROWS - 1, 10),
        run(1000, 0),
        run(1000, 100, config_id=None),
        {"config_id": OURS, "counts": None, "phase_seconds": None, "elapsed_seconds": None},
        {"config_id": OURS},
    ],
    ids=["few rows", "no work", "no plan", "killed early", "an earlier version"],
)
def test_a_run_that_tells_nothing_is_left_out(useless: Any) -> None:
    assert estimate_price([useless], OURS, 1000, PRICE, RayConfig()) is None
    found = estimate_price([useless, run(1000, 100)], OURS, 1000, PRICE, RayConfig())
    assert found is not None
    assert found.num_runs == 1


def test_without_a_price_there_are_hours_alone() -> None:
    found = estimate_price([run(1000, 100)], OURS, 1000, CostConfig(), RayConfig())
    assert found is not None
    assert found.cost is None
    assert found.hours.value == pytest.approx(130 / 3600)
