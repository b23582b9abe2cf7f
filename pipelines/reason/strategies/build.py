"""From a job's `gate` part to its strategy."""

from __future__ import annotations

from typing import Any

from framegate.pipelines.reason.asking.wording import wording_of
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking, DeepenedInChunks
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.entropy_switch import DeepenedEntropySwitch, EntropySwitch, Steering
from framegate.pipelines.reason.strategies.frame_ensemble import FrameEnsemble
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.look_again import LookAgain
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.pipelines.reason.strategies.self_consistency import SelfConsistency
from framegate.pipelines.reason.strategies.sparse_to_dense import SparseToDense
from framegate.pipelines.reason.strategies.streaming import Streaming
from framegate.pipelines.reason.strategies.video_cot import VideoCot
from framegate.schemas.config.gate import (
    AlwaysThinkConfig,
    BoundedThinkingConfig,
    CertifiedThreshold,
    DirectConfig,
    EntropySwitchConfig,
    GatedConfig,
    StrategyConfig,
    VideoCotConfig,
)
from framegate.schemas.config.many_asks import (
    FrameEnsembleConfig,
    LookAgainConfig,
    SelfConsistencyConfig,
    SparseToDenseConfig,
    StreamingConfig,
)
from framegate.schemas.config.part import Part
from framegate.schemas.deepening import Thresholds


def make_strategy(part: StrategyConfig) -> Strategy:
    """What only an output can tell is settled later: see `plan.audit_rate` and `plan.certified_threshold`."""
    answer, thinking = part.max_answer_tokens, part.max_thinking_tokens
    if isinstance(part, DirectConfig):
        return Direct(max_answer_tokens=answer, max_thinking_tokens=thinking, measures=part.measures)
    if isinstance(part, AlwaysThinkConfig):
        return AlwaysThink(max_answer_tokens=answer, max_thinking_tokens=thinking, measures=part.measures)
    if isinstance(part, VideoCotConfig):
        return VideoCot(max_answer_tokens=answer, max_thinking_tokens=thinking, wording=wording_of(part))
    if isinstance(part, LookAgainConfig):
        return LookAgain(**_values(part))
    if isinstance(part, SelfConsistencyConfig):
        return SelfConsistency(**_values(part))
    if isinstance(part, SparseToDenseConfig):
        return SparseToDense(**_values(part))
    if isinstance(part, FrameEnsembleConfig):
        return FrameEnsemble(**_values(part))
    if isinstance(part, StreamingConfig):
        return Streaming(**_values(part))
    gate: dict[str, Any] = {
        "threshold": part.threshold.otherwise if isinstance(part.threshold, CertifiedThreshold) else part.threshold,
        "audit": None if part.audit.rate is None else part.audit.sample(part.audit.rate),
        "max_answer_tokens": answer,
        "max_thinking_tokens": thinking,
        "wording": wording_of(part),
        "inner": make_inner(part) if isinstance(part, GatedConfig) else None,
        "measures": part.measures,
    }
    if isinstance(part, EntropySwitchConfig):
        return EntropySwitch(**gate, steering=Steering(**part.entropy.model_dump()))
    if isinstance(part, BoundedThinkingConfig):
        return BoundedThinking(**gate, chunk_tokens=part.chunk_tokens, carry_tokens=part.carry_tokens)
    return Gated(**gate)


def make_inner(part: GatedConfig) -> Strategy | None:
    """What rows are asked anew by which the gate does not let go; within the gate's own budgets."""
    if part.inner is None:
        return None
    answer, thinking = part.max_answer_tokens, part.max_thinking_tokens
    return VideoCot(max_answer_tokens=answer, max_thinking_tokens=thinking, wording=wording_of(part))


def make_deepened(gate: Gated, thresholds: Thresholds | None) -> Deepened:
    """What goes on from first answers that are there, and thinks as the job's `gate` does."""
    how: dict[str, Any] = {
        "threshold": None if thresholds is None else thresholds.default,
        "by_question": () if thresholds is None else tuple(thresholds.of_question.items()),
        "max_answer_tokens": gate.max_answer_tokens,
        "max_thinking_tokens": gate.max_thinking_tokens,
        "wording": gate.wording,
        "inner": gate.inner,
    }
    if isinstance(gate, EntropySwitch):
        return DeepenedEntropySwitch(**how, steering=gate.steering)
    if isinstance(gate, BoundedThinking):
        return DeepenedInChunks(**how, chunk_tokens=gate.chunk_tokens, carry_tokens=gate.carry_tokens)
    return Deepened(**how)


def _values(part: Part) -> dict[str, Any]:
    """All keys but the strategy's name and the audit: the fields of the strategy are called as the keys are."""
    return part.model_dump(exclude={"strategy", "audit"})
