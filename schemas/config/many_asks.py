"""Parts of `gate` for strategies that ask a question more than once. What they do: `pipelines.reason.strategies`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from framegate.schemas.config.gate_parts import AnswerTokens, AuditConfig, ThinkingTokens, Threshold
from framegate.schemas.config.part import Part

DecideBy = Literal["confidence", "agreement", "none"]

_OF_THE_GATE: Final = {
    "budget": "keeps to no budget of thinking",
    "defer": "defers no thinking",
}
_Samples = Annotated[int, Field(ge=2, le=64, description="samples of an answer, which vote")]
_Temperature = Annotated[float, Field(gt=0, le=5, description="of the samples")]
_TopP = Annotated[float, Field(gt=0, le=1, description="samples are drawn from the likeliest tokens of this sum")]
_Share = Annotated[float, Field(gt=0, lt=1)]


class ManyAsksPart(Part):
    """What all of them have, and what they refuse: keys of the gate that they do not go by. Rows are audited of still
    clips alone."""

    audit: AuditConfig = Field(default_factory=AuditConfig)

    @model_validator(mode="before")
    @classmethod
    def _refuse_the_gates_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key, why in _OF_THE_GATE.items():
                if key in values:
                    name = cls.model_fields["strategy"].default
                    raise ValueError(
                        f"the strategy {name} {why}: leave out gate.{key}, or say strategy: gated, which it is for"
                    )
        return values


class LookAgainConfig(ManyAsksPart):
    """Look at few frames; where the first answer is unsure at all of them; where it still is, think."""

    strategy: Literal["look_again"] = Field(
        default="look_again",
        description="answer on few frames; where unsure, answer on all of them; where still unsure, think",
    )
    threshold: Threshold = 0.97
    sparse_share: _Share = Field(
        default=0.25, description="share of a clip's temporal steps that are seen first; one step at least"
    )
    sparse_threshold: float = Field(
        default=0.97, ge=0, le=1, description="an answer on these alone is final at this confidence or above"
    )
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024


class SelfConsistencyConfig(ManyAsksPart):
    """Let several samples vote, where the first answer is unsure or always."""

    strategy: Literal["self_consistency"] = Field(
        default="self_consistency", description="where unsure, several samples think, and the answer of most is taken"
    )
    threshold: Threshold = 0.97
    decide_by: DecideBy = Field(
        default="confidence",
        description="what the threshold is for: `confidence` of one first answer, `agreement` of as many first answers"
        " as there are samples; `none`: all rows think",
    )
    num_samples: _Samples = 5
    temperature: _Temperature = 0.7
    top_p: _TopP = 0.95
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024


class SparseToDenseConfig(ManyAsksPart):
    """Let samples vote on few frames, and on twice as many until they agree."""

    strategy: Literal["sparse_to_dense"] = Field(
        default="sparse_to_dense", description="samples think and vote on few frames; on twice as many until they agree"
    )
    sparse_share: _Share = Field(
        default=0.25, description="share of a clip's temporal steps that are seen first; one step at least"
    )
    agree_at: float = Field(
        default=0.8, gt=0, le=1, description="votes agree where this share of all samples, or more, gave the answer"
    )
    num_samples: _Samples = 5
    temperature: _Temperature = 0.7
    top_p: _TopP = 0.95
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024


class FrameEnsembleConfig(ManyAsksPart):
    """Ask about interleaved parts of the frames, and think where the mean of the answers is unsure."""

    strategy: Literal["frame_ensemble"] = Field(
        default="frame_ensemble",
        description="first answers on interleaved parts of the frames; where their mean is unsure, think on all frames",
    )
    threshold: Threshold = 0.97
    num_phases: int = Field(default=3, ge=2, le=16, description="parts of the frames, each asked about by itself")
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024


class StreamingConfig(ManyAsksPart):
    """Ask chunk after chunk of a long clip, with the answers so far as text."""

    strategy: Literal["streaming"] = Field(
        default="streaming",
        description="asks chunk after chunk of a long clip, with the answers so far; where unsure at its end, thinks",
    )
    threshold: Threshold = 0.97
    chunk_seconds: float = Field(
        default=30.0, gt=0, le=86_400, description="of a clip, at whose end it answers; the clip's chunks are equal"
    )
    window_chunks: int = Field(
        default=2,
        ge=1,
        le=64,
        description="the last ones, whose frames an ask sees; of those before it has the answers",
    )
    carry_bytes: int = Field(
        default=1024, ge=0, le=65_536, description="of answers at ends of chunks, the last ones, that an ask reads"
    )
    max_chunks: int = Field(
        default=256, ge=1, le=4096, description="of a clip; one that would have more has longer ones"
    )
    max_answer_tokens: AnswerTokens = 64
    max_thinking_tokens: ThinkingTokens = 1024
