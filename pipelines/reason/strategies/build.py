"""From a job's `gate` part to its strategy."""

from __future__ import annotations

from framegate.pipelines.reason.asking.wording import wording_of
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.pipelines.reason.strategies.video_cot import VideoCot
from framegate.schemas.config.gate import (
    AlwaysThinkConfig,
    CertifiedThreshold,
    DirectConfig,
    GatedConfig,
    StrategyConfig,
    VideoCotConfig,
)


def make_strategy(part: StrategyConfig) -> Strategy:
    """What only an output can tell is settled later: see `plan.audit_rate` and `plan.certified_threshold`."""
    answer, thinking = part.max_answer_tokens, part.max_thinking_tokens
    if isinstance(part, DirectConfig):
        return Direct(max_answer_tokens=answer, max_thinking_tokens=thinking, measures=part.measures)
    if isinstance(part, AlwaysThinkConfig):
        return AlwaysThink(max_answer_tokens=answer, max_thinking_tokens=thinking, measures=part.measures)
    if isinstance(part, VideoCotConfig):
        return VideoCot(max_answer_tokens=answer, max_thinking_tokens=thinking, wording=wording_of(part))
    return Gated(
        threshold=part.threshold.otherwise if isinstance(part.threshold, CertifiedThreshold) else part.threshold,
        audit=None if part.audit.rate is None else part.audit.sample(part.audit.rate),
        max_answer_tokens=answer,
        max_thinking_tokens=thinking,
        wording=wording_of(part),
        inner=make_inner(part),
        measures=part.measures,
    )


def make_inner(part: GatedConfig) -> Strategy | None:
    """What rows are asked anew by which the gate does not let go; within the gate's own budgets."""
    if part.inner is None:
        return None
    answer, thinking = part.max_answer_tokens, part.max_thinking_tokens
    return VideoCot(max_answer_tokens=answer, max_thinking_tokens=thinking, wording=wording_of(part))
