"""What a job may say in `gate`: one part per strategy, told apart by `gate.strategy`.

    direct         answer at once, never think
    always_think   answer, think, and answer again
    gated          answer; think and answer again where the first answer is unsure
    bounded_thinking   the same, with thoughts in chunks: a context of bounded size, however long they are

A job without `gate.strategy` is gated. What a strategy does is said in `pipelines.reason.strategies`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from framegate.schemas.audit_sample import AuditSample, AuditUnit
from framegate.schemas.certificate import CALIBRATION_ID, VIDEO, YES_NO_CLAIMS, Claim, Scope
from framegate.schemas.config.part import Part

LATEST: Final = "latest"
Defer = Literal["auto", "always", "never"]
_Threshold = Annotated[float, Field(ge=0, le=1, description="exit at this confidence or above; per model")]
_UnusedThreshold = Annotated[float, Field(ge=0, le=1, description="gated's; accepted here, and without effect")]
_AnswerTokens = Annotated[int, Field(ge=1, le=4096, description="at most, for one answer")]
_ThinkingTokens = Annotated[int, Field(ge=1, le=65_536, description="at most; then the closing is forced")]


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


class DirectConfig(Part):
    """Never think. `max_thinking_tokens` counts where a question asks to think whatever the strategy says."""

    strategy: Literal["direct"] = Field(default="direct", description="answer at once, never think")
    threshold: _UnusedThreshold = 0.97
    max_answer_tokens: _AnswerTokens = 64
    max_thinking_tokens: _ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)


class AlwaysThinkConfig(Part):
    """Always think."""

    strategy: Literal["always_think"] = Field(default="always_think", description="answer, think, and answer again")
    threshold: _UnusedThreshold = 0.97
    max_answer_tokens: _AnswerTokens = 64
    max_thinking_tokens: _ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)


class CertifiedThreshold(Part):
    """A threshold that `framegate calibrate` has certified, in place of a number. Changes no answer."""

    certificate: str = Field(description="`latest`, or the id of a calibration")
    claim: Claim = Field(default="agreement", description="what is promised; all but `agreement` need labels")
    scope: Scope = Field(
        default="archive", description="of the rows that are there, or `future`: of videos to come that are drawn alike"
    )
    unit: str = Field(
        default=VIDEO,
        min_length=1,
        description="with `scope: future`, what is to come: `video`, or the column of the calibration's `--unit`",
    )
    epsilon: float = Field(default=0.01, gt=0, lt=1, description="at most so much is lost, by the claim")
    delta: float = Field(default=0.05, gt=0, lt=1, description="the chance that this is wrong is at most so high")
    per: Literal["archive", "question"] = Field(
        default="archive", description="`question`: each question has the threshold that is certified for it"
    )
    otherwise: float | None = Field(
        default=None, ge=0, le=1, description="the threshold where none is certified yet; none: the run is refused"
    )

    @field_validator("certificate")
    @classmethod
    def _names_one(cls, text: str) -> str:
        if text != LATEST and not re.fullmatch(CALIBRATION_ID, text):
            raise ValueError(
                f"'{text}' is neither `{LATEST}` nor the id of a calibration, as 20261130T081500123456Z-0a1b2c"
            )
        return text

    @model_validator(mode="after")
    def _is_promised(self) -> CertifiedThreshold:
        if self.claim in YES_NO_CLAIMS and self.per != "question":
            raise ValueError(
                f"the claim {self.claim} is about yes/no questions; say per: question, and otherwise: for the others"
            )
        if self.scope == "future" and self.claim != "agreement":
            raise ValueError(f"scope: future is there for the claim agreement, not for {self.claim}")
        if self.scope != "future" and self.unit != VIDEO:
            raise ValueError(f"unit: {self.unit} is for scope: future; of the archive the rows are what is certified")
        return self


THRESHOLD_KINDS: Final = ("a number", "a certificate")


def _kind_of_threshold(value: Any) -> str:
    """So that what is wrong is told of the kind that was meant."""
    return THRESHOLD_KINDS[isinstance(value, Mapping | CertifiedThreshold)]


class GatedConfig(Part):
    """Think where the first answer is unsure."""

    strategy: Literal["gated"] = Field(
        default="gated", description="answer; think and answer again where the first answer is unsure"
    )
    threshold: Annotated[
        Annotated[_Threshold, Tag(THRESHOLD_KINDS[0])] | Annotated[CertifiedThreshold, Tag(THRESHOLD_KINDS[1])],
        Discriminator(_kind_of_threshold),
    ] = Field(default=0.97, description="exit at this confidence or above; per model")
    max_answer_tokens: _AnswerTokens = 64
    max_thinking_tokens: _ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)
    budget: BudgetConfig | None = Field(default=None, description="of each run; none: as much as it takes")
    defer: Defer = Field(
        default="auto",
        description="under a budget or a deadline: `auto` thinks at a pace, `always` after all first answers",
    )

    @model_validator(mode="after")
    def _defers_under_a_budget(self) -> GatedConfig:
        if self.budget is not None and self.defer == "never":
            raise ValueError("defer: never lets all rows think, which keeps to no budget; leave out one of the two")
        return self


class BoundedThinkingConfig(GatedConfig):
    """Think where the first answer is unsure, in chunks: each begins with the end of the one before."""

    strategy: Literal["bounded_thinking"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="bounded_thinking", description="as gated, with thoughts in chunks of bounded size"
    )
    max_thinking_tokens: _ThinkingTokens = Field(
        default=8192, description="at most, all chunks together, 8192 unless it is given; then the closing is forced"
    )
    chunk_tokens: int = Field(default=1024, ge=2, le=65_536, description="of thought, before the context is reset")
    carry_tokens: int = Field(
        default=512, ge=1, le=65_535, description="the last ones of a chunk, which the next one begins with"
    )

    @model_validator(mode="after")
    def _carries_less_than_a_chunk(self) -> BoundedThinkingConfig:
        if self.carry_tokens >= self.chunk_tokens:
            raise ValueError(
                f"carry_tokens must be below chunk_tokens, or no chunk says anything that the next one forgets; got"
                f" carry_tokens: {self.carry_tokens} and chunk_tokens: {self.chunk_tokens}"
            )
        return self


STRATEGY_NAMES: Final = ("direct", "always_think", "gated", "bounded_thinking")


def _name_the_default(values: Any) -> Any:
    return {"strategy": "gated", **values} if isinstance(values, Mapping) else values


StrategyConfig = Annotated[
    DirectConfig | AlwaysThinkConfig | GatedConfig | BoundedThinkingConfig,
    Field(discriminator="strategy"),
    BeforeValidator(_name_the_default),
]
