"""GateConfig: when the model thinks, and how many tokens it may write."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from framegate.schemas.config.part import Part


class GateConfig(Part):
    """When to think, and how much may be produced."""

    strategy: Literal["direct", "always_think", "gated"] = Field(default="gated")
    threshold: float = Field(default=0.97, ge=0, le=1, description="exit at this confidence or above; per model")
    max_answer_tokens: int = Field(default=64, ge=1, le=4096, description="for the first answer")
    max_thinking_tokens: int = Field(default=1024, ge=1, le=65_536, description="then the closing is forced")
