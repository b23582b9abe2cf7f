"""What a job may say in `gate`: one part per strategy, told apart by `gate.strategy`.

    direct         answer at once, never think
    always_think   answer, think, and answer again
    gated          answer; think and answer again where the first answer is unsure
    entropy_switch     as gated, and thoughts are steered by their entropy
    bounded_thinking   as gated, with thoughts in chunks: a context of bounded size, however long they are
    video_cot      describe step by step, then answer

and those that ask more than once (`schemas.config.many_asks`):

    look_again         answer on few frames; unsure: on all of them; still unsure: think
    self_consistency   several samples, of which most agree on the answer
    sparse_to_dense    the same, on more and more frames until they agree
    frame_ensemble     first answers on different frames; unsure of their mean: think on all frames
    streaming          chunk after chunk of a long clip, with the answers so far as text; unsure at its end: think

A job without `gate.strategy` is gated. What a strategy does is said in `pipelines.reason.strategies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from framegate.schemas.certificate import VIDEO, YES_NO_CLAIMS, Claim, Scope
from framegate.schemas.config.calibration_name import check_names_one
from framegate.schemas.config.entropy import EntropyConfig
from framegate.schemas.config.gate_parts import (
    AnswerTokens,
    AuditConfig,
    BudgetConfig,
    ThinkingTokens,
    Threshold,
    UnusedThreshold,
)
from framegate.schemas.config.many_asks import (
    FrameEnsembleConfig,
    LookAgainConfig,
    SelfConsistencyConfig,
    SparseToDenseConfig,
    StreamingConfig,
)
from framegate.schemas.config.part import Part
from framegate.schemas.qa import Measure

Defer = Literal["auto", "always", "never"]


def _each_once(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    if len(set(measures)) < len(measures):
        raise ValueError(f"each measure is named once, got {', '.join(measures)}")
    return measures


_Measures = Annotated[
    tuple[Measure, ...],
    AfterValidator(_each_once),
    Field(
        description="of first answers, beside their confidence: columns that calibration compares; no answer changes"
    ),
]


class DirectConfig(Part):
    """Never think. `max_thinking_tokens` counts where a question asks to think whatever the strategy says."""

    strategy: Literal["direct"] = Field(default="direct", description="answer at once, never think")
    threshold: UnusedThreshold = 0.97
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)
    measures: _Measures = ()


class AlwaysThinkConfig(Part):
    """Always think."""

    strategy: Literal["always_think"] = Field(default="always_think", description="answer, think, and answer again")
    threshold: UnusedThreshold = 0.97
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)
    measures: _Measures = ()


class CertifiedThreshold(Part):
    """A threshold that `framegate calibrate` has certified, in place of a number. Changes no answer."""

    certificate: Annotated[str, AfterValidator(check_names_one)] = Field(
        description="`latest`, or the id of a calibration"
    )
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


def _name_inner(values: Any) -> Any:
    return {"strategy": values} if isinstance(values, str) else values


class VideoCotWords(Part):
    """Describe step by step, then answer, in words for models that were not trained to answer first."""

    strategy: Literal["video_cot"] = Field(default="video_cot", description="describe step by step, then answer")
    instruction: Annotated[str, Field(pattern=r"\S", max_length=4000)] | None = Field(
        default=None, description="behind a question, in place of the built-in words: think first, then answer in a box"
    )


class VideoCotConfig(VideoCotWords):
    """The same as the strategy of a job."""

    threshold: UnusedThreshold = 0.97
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)


InnerConfig = Annotated[VideoCotWords, BeforeValidator(_name_inner)]
"""What unsure rows are asked anew by: its name, or a mapping with its name and what else it takes. Budgets are the
gate's own."""

THRESHOLD_KINDS: Final = ("a number", "a certificate")


def _kind_of_threshold(value: Any) -> str:
    """So that what is wrong is told of the kind that was meant."""
    return THRESHOLD_KINDS[isinstance(value, Mapping | CertifiedThreshold)]


class GatePart(Part):
    """What all strategies have that think where the first answer is unsure, however they think."""

    threshold: Annotated[
        Annotated[Threshold, Tag(THRESHOLD_KINDS[0])] | Annotated[CertifiedThreshold, Tag(THRESHOLD_KINDS[1])],
        Discriminator(_kind_of_threshold),
    ] = Field(default=0.97, description="exit at this confidence or above; per model")
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024
    audit: AuditConfig = Field(default_factory=AuditConfig)
    measures: _Measures = ()
    budget: BudgetConfig | None = Field(default=None, description="of each run; none: as much as it takes")
    defer: Defer = Field(
        default="auto",
        description="under a budget or a deadline: `auto` thinks at a pace, `always` after all first answers",
    )

    @model_validator(mode="after")
    def _defers_under_a_budget(self) -> GatePart:
        if self.budget is not None and self.defer == "never":
            raise ValueError("defer: never lets all rows think, which keeps to no budget; leave out one of the two")
        return self


class GatedConfig(GatePart):
    """Think where the first answer is unsure: the sequence goes on, or an inner strategy asks anew."""

    strategy: Literal["gated"] = Field(
        default="gated", description="answer; think and answer again where the first answer is unsure"
    )
    inner: InnerConfig | None = Field(
        default=None, description="what asks unsure rows anew: `video_cot`, or a mapping; none: the sequence goes on"
    )


class EntropySwitchConfig(GatePart):
    """As gated, and thoughts are steered by their entropy."""

    strategy: Literal["entropy_switch"] = Field(
        default="entropy_switch", description="gated, and thoughts are steered: our reconstruction of V-Reason"
    )
    entropy: EntropyConfig = Field(default_factory=EntropyConfig)


class BoundedThinkingConfig(GatePart):
    """Think where the first answer is unsure, in chunks: each begins with the end of the one before."""

    strategy: Literal["bounded_thinking"] = Field(
        default="bounded_thinking", description="as gated, with thoughts in chunks of bounded size"
    )
    max_thinking_tokens: ThinkingTokens = Field(
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


STRATEGY_NAMES: Final = (
    "direct",
    "always_think",
    "gated",
    "entropy_switch",
    "bounded_thinking",
    "video_cot",
    "look_again",
    "self_consistency",
    "sparse_to_dense",
    "frame_ensemble",
    "streaming",
)


def _name_the_default(values: Any) -> Any:
    return {"strategy": "gated", **values} if isinstance(values, Mapping) else values


StrategyConfig = Annotated[
    DirectConfig
    | AlwaysThinkConfig
    | GatedConfig
    | EntropySwitchConfig
    | BoundedThinkingConfig
    | VideoCotConfig
    | LookAgainConfig
    | SelfConsistencyConfig
    | SparseToDenseConfig
    | FrameEnsembleConfig
    | StreamingConfig,
    Field(discriminator="strategy"),
    BeforeValidator(_name_the_default),
]
