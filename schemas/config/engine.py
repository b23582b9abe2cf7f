"""EngineConfig: how long an engine may take, live and grow before another process takes its place."""

from __future__ import annotations

from pydantic import Field

from framegate.schemas.config.part import Part
from framegate.schemas.config.span import Span


class EngineConfig(Part):
    """When an answer worker ends its process, so that Ray starts another one. Changes no answer.

    A step that is late ends the process with what it had in hand, which is tried again and counted. A worker that has
    lived or grown enough finishes what it has in hand, and takes nothing new.
    """

    deadline_seconds: float = Field(
        default=600.0, gt=0, le=86_400, description="for one step of the engine; then its process ends"
    )
    load_seconds: float = Field(
        default=3600.0, gt=0, le=86_400, description="to load the model; then the run ends with an error"
    )
    max_lifetime: Span = Field(
        default=43_200.0, gt=0, le=31 * 86_400, description="such as 12h; then another process takes its place"
    )
    max_growth_mib: int = Field(
        default=8192, ge=1, le=16_777_216, description="private memory beyond that at its first answer; then likewise"
    )
