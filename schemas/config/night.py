"""NightConfig: how one run of a job behaves as a whole, from its first second to its last."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from framegate.schemas.config.part import Part


class NightConfig(Part):
    """How a run behaves as a whole. Changes no answer."""

    heartbeat_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=3600,
        description="between two heartbeats of a run's record; without three of them the run counts as dead",
    )
    second: Literal["refuse", "wait", "beside"] = Field(
        default="refuse",
        description="what a run does where another one is at work on the same output and config_id: end with exit code"
        " 4, wait until that one has ended, or go on beside it: nothing is doubled, and some work is done twice",
    )
