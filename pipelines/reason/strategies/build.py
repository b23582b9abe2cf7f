"""From a job's `gate` part to its strategy."""

from __future__ import annotations

from typing import Any

from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking, DeepenedInChunks
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config.gate import (
    AlwaysThinkConfig,
    BoundedThinkingConfig,
    CertifiedThreshold,
    DirectConfig,
    StrategyConfig,
)
from framegate.schemas.deepening import Thresholds


def make_strategy(part: StrategyConfig) -> Strategy:
    """What only an output can tell is settled later: see `plan.audit_rate` and `plan.certified_threshold`."""
    answer, thinking = part.max_answer_tokens, part.max_thinking_tokens
    if isinstance(part, DirectConfig):
        return Direct(max_answer_tokens=answer, max_thinking_tokens=thinking)
    if isinstance(part, AlwaysThinkConfig):
        return AlwaysThink(max_answer_tokens=answer, max_thinking_tokens=thinking)
    gate: dict[str, Any] = {
        "threshold": part.threshold.otherwise if isinstance(part.threshold, CertifiedThreshold) else part.threshold,
        "audit": None if part.audit.rate is None else part.audit.sample(part.audit.rate),
        "max_answer_tokens": answer,
        "max_thinking_tokens": thinking,
    }
    if isinstance(part, BoundedThinkingConfig):
        return BoundedThinking(chunk_tokens=part.chunk_tokens, carry_tokens=part.carry_tokens, **gate)
    return Gated(**gate)


def make_deepened(gate: Gated, thresholds: Thresholds | None) -> Deepened:
    """What goes on from first answers that are there, and thinks as the job's `gate` does."""
    how: dict[str, Any] = {
        "threshold": None if thresholds is None else thresholds.default,
        "by_question": () if thresholds is None else tuple(thresholds.of_question.items()),
        "max_answer_tokens": gate.max_answer_tokens,
        "max_thinking_tokens": gate.max_thinking_tokens,
    }
    if isinstance(gate, BoundedThinking):
        return DeepenedInChunks(chunk_tokens=gate.chunk_tokens, carry_tokens=gate.carry_tokens, **how)
    return Deepened(**how)
