"""NightConfig: how one run of a job behaves as a whole, from its first second to its last."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from framegate.schemas.config.part import Part


class NightConfig(Part):
    """How a run behaves as a whole. Changes no answer."""

    grace_seconds: float = Field(
        default=25.0, ge=1, le=3600, description="a run that a signal stops has ended by then; a scheduler waits longer"
    )
    timezone: str = Field(default="UTC", description="an IANA name, such as Europe/Berlin: what `--until 06:00` means")

    heartbeat_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=3600,
        description="between two heartbeats of a run's record; without three of them the run counts as dead",
    )
    second: Literal["refuse", "wait", "join", "beside"] = Field(
        default="refuse",
        description="what a run does where another one is at work on the same output and config_id: end with exit code"
        " 4, wait until that one has ended, share the work with it, or do all of it once more beside it: nothing is"
        " doubled, and work is done twice",
    )

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"'{name}' is no time zone that this machine knows; give an IANA name such as Europe/Berlin or UTC"
            ) from error
        return name
