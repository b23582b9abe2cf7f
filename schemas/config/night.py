"""NightConfig: how one run of a job behaves as a whole, from its first second to its last."""

from __future__ import annotations

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
