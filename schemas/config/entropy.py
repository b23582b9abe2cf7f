"""What a job may say in `gate.entropy`, for the strategy `entropy_switch`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from framegate.schemas.config.part import Part

EntropyMode = Literal["switch", "minimise", "maximise", "off"]


class EntropyConfig(Part):
    """How the entropy of thoughts is steered. Our reconstruction of V-Reason: its authors publish no optimiser, rate or
    interval, and the defaults here are tuned on nothing. All of it is part of config_id."""

    mode: EntropyMode = Field(
        default="switch",
        description="`switch`: more entropy while its average rises, less while it falls and once its peak is passed",
    )
    rate: float = Field(
        default=0.01, ge=0, le=1, description="the length of a step, as a share of the norm of the video's values"
    )
    every: int = Field(default=4, ge=1, le=1024, description="a step is taken after each so many tokens of thought")
    smoothing: float = Field(
        default=0.9, ge=0, lt=1, description="of the moving average of entropies: the share of the one before"
    )
    patience: int = Field(
        default=16, ge=1, le=65_536, description="the peak is passed once so many tokens have stayed below it"
    )
    lite: bool = Field(
        default=False,
        description="thoughts see half of the video's tokens: those with the largest values in the last layer",
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a plain `off` as false
