"""CostConfig: what a run costs, for its progress and for reports."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from framegate.schemas.config.part import Part
from framegate.schemas.config.ray import RayConfig

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An amount of money. `is_least`: it may be more, since more engines may have been started."""

    amount: float
    currency: str
    is_least: bool = False

    def __str__(self) -> str:
        return f"{'at least ' if self.is_least else ''}{self.amount:,.2f} {self.currency}"


class CostConfig(Part):
    """What a run costs. Changes no answer."""

    gpu_hour: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        description="price of one GPU for an hour; where engines run without one, of one engine for an hour. Without it"
        " nothing is said of cost",
    )
    cpu_hour: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        description="price of a CPU core for an hour; each of `ray.decode_workers` counts as one",
    )
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$", description="three capital letters, such as EUR or USD")

    def of_run(self, elapsed_seconds: float, ray: RayConfig) -> float | None:
        """What a run of `elapsed_seconds` of wall-clock time has cost; None where there is no price."""
        per_hour = self.per_hour(ray)
        return None if per_hour is None else per_hour * elapsed_seconds / SECONDS_PER_HOUR

    def per_hour(self, ray: RayConfig) -> float | None:
        """What an hour of a run costs; None where there is no price.

        Every GPU and decode worker that a run sets out with counts for the whole run, busy or not, since it is nobody
        else's meanwhile. Where a pool of engines may grow, its smallest size counts (see `is_least`).
        """
        if self.gpu_hour is None and self.cpu_hour is None:
            return None
        gpus = ray.reason_actors.min * (ray.gpus_per_actor or 1.0)
        return (self.gpu_hour or 0.0) * gpus + (self.cpu_hour or 0.0) * ray.decode_workers

    def is_least(self, ray: RayConfig) -> bool:
        """Whether a run may cost more than `of_run` says, since its pool of engines may grow."""
        return ray.reason_actors.max > ray.reason_actors.min

    def describe_run(self, elapsed_seconds: float, ray: RayConfig) -> Cost | None:
        """`of_run` with its currency, as it is said to a person."""
        amount = self.of_run(elapsed_seconds, ray)
        return None if amount is None else Cost(amount=amount, currency=self.currency, is_least=self.is_least(ray))
