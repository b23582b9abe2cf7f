"""What the parts of `gate` have in common: bounds of keys, and the parts within them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from framegate.schemas.audit_sample import AuditSample, AuditUnit
from framegate.schemas.config.part import Part

Threshold = Annotated[float, Field(ge=0, le=1, description="exit at this confidence or above; per model")]
UnusedThreshold = Annotated[float, Field(ge=0, le=1, description="gated's; accepted here, and without effect")]
AnswerTokens = Annotated[int, Field(ge=1, le=4096, description="at most, for one answer")]
ThinkingTokens = Annotated[int, Field(ge=1, le=65_536, description="at most; then the closing is forced")]


class AuditConfig(Part):
    """Rows that think although the gate would let them go: what calibration learns from. Changes no answer."""

    rate: float | None = Field(
        default=None, ge=0, le=1, description="share of rows; a larger one audits the same rows and more. None: none is"
    )
    rows: int | None = Field(
        default=None, ge=1, description="in place of `rate`: about so many rows of all that the output will have"
    )
    unit: AuditUnit = Field(
        default="row", description="`clip`: all questions of a clip are audited together, which costs less a row"
    )
    salt: str = Field(default="framegate", max_length=200, description="another text draws other rows")

    @model_validator(mode="after")
    def _one_size(self) -> AuditConfig:
        if self.rate is not None and self.rows is not None:
            raise ValueError(f"give rate or rows, not both, got rate: {self.rate:g} and rows: {self.rows}")
        return self

    def sample(self, rate: float) -> AuditSample:
        """The sample of that share of rows."""
        return AuditSample(rate=rate, unit=self.unit, salt=self.salt)


class BudgetConfig(Part):
    """What one run, or one deepening, may spend on thinking. Rows that it leaves keep their first answer."""

    thinking_tokens: int | None = Field(default=None, ge=1, description="tokens after first answers, of all rows")
    engine_hours: float | None = Field(
        default=None, gt=0, le=1e6, description="in its place: hours in which engines worked, first answers included"
    )

    @model_validator(mode="after")
    def _one_limit(self) -> BudgetConfig:
        if (self.thinking_tokens is None) == (self.engine_hours is None):
            given = "neither" if self.thinking_tokens is None else "both"
            raise ValueError(f"give thinking_tokens or engine_hours, got {given}")
        return self
