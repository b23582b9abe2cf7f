"""RayConfig: how a run is spread over the processes and GPUs of a cluster."""

from __future__ import annotations

from pydantic import Field, model_validator

from framegate.schemas.config.part import Part


class ActorBounds(Part):
    min: int = Field(default=1, ge=1, le=10_000, description="engines at least")
    max: int = Field(default=1, ge=1, le=10_000, description="engines at most")

    @model_validator(mode="after")
    def _in_order(self) -> ActorBounds:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class RayConfig(Part):
    """How the work is spread. Changes no answer."""

    reason_actors: ActorBounds = Field(default=ActorBounds(), description="one engine each")
    gpus_per_actor: float = Field(default=0.0, ge=0, le=64, description="0 runs the model on the CPU")
    decode_workers: int = Field(default=2, ge=1, le=10_000, description="processes that decode")
    address: str | None = Field(default=None, description="a running cluster; without it one is started here")
    trust_cluster: bool = Field(
        default=False, description="a cluster that is joined may do without token authentication"
    )
