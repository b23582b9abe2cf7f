"""CostConfig: what a run costs, for its progress and for reports."""

from __future__ import annotations

from pydantic import Field

from framegate.schemas.config.part import Part
from framegate.schemas.config.ray import RayConfig

SECONDS_PER_HOUR = 3600.0


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
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$", description="three capital letters, such as EUR or USD")

    def of_run(self, elapsed_seconds: float, ray: RayConfig) -> float | None:
        """What a run of `elapsed_seconds` of wall-clock time has cost; None where there is no price.

        Every GPU that a run sets out with counts for the whole run, busy or not, since it is nobody else's meanwhile.
        Where a pool of engines may grow, its smallest size counts (see `is_least`).
        """
        if self.gpu_hour is None:
            return None
        gpus = ray.reason_actors.min * (ray.gpus_per_actor or 1.0)
        return self.gpu_hour * gpus * elapsed_seconds / SECONDS_PER_HOUR

    def is_least(self, ray: RayConfig) -> bool:
        """Whether a run may cost more than `of_run` says, since its pool of engines may grow."""
        return ray.reason_actors.max > ray.reason_actors.min
