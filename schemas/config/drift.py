"""DriftConfig: how a run is held against the nights before it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from framegate.schemas.config.part import Part


class DriftConfig(Part):
    """What a complete run compares itself with as it ends. Changes no answer."""

    on_end: bool = Field(default=True, description="a complete run looks for drift; what it finds stands in its record")
    runs: int = Field(default=10, ge=1, le=100, description="the nights before it that a night is held against")
    by: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None,
        max_length=4,
        description="manifest columns whose values are looked at one by one, without `input_`; without it `camera`,"
        " where the manifest has that",
    )
    delta: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="the chance that any alarm of any night is false, all questions and values together",
    )
    min_change: float = Field(
        default=0.05, ge=0, lt=1, description="an alarm is about a change that is surely larger than this share"
    )

    @field_validator("by")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and (twice := sorted({name for name in names if names.count(name) > 1})):
            raise ValueError(f"'{twice[0]}' stands twice; name each column once")
        return names
