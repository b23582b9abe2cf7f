"""FailuresConfig: how often a failed video is tried again, and when failures stop the run."""

from __future__ import annotations

from pydantic import Field

from framegate.schemas.config.part import Part


class FailuresConfig(Part):
    """What becomes of what failed. Changes no answer."""

    max_attempts: int = Field(default=3, ge=1, le=100, description="then it is left alone: run --retry-failed")
    stop_share: float = Field(
        default=0.5, gt=0, le=1, description="the run ends where more of a window than this fails for one reason"
    )
    stop_unparsed_share: float = Field(
        default=0.5, gt=0, le=1, description="the run ends where more of the last answers than this cannot be read"
    )
    stop_unparsed_rows: int = Field(default=200, ge=1, le=1_000_000, description="of so many answers")
    stop_window: int = Field(default=100, ge=1, le=1_000_000, description="units in that window")
