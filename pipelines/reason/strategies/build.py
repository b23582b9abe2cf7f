"""From a job's `gate` part to its strategy."""

from __future__ import annotations

from typing import Any

from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.entropy_switch import DeepenedEntropySwitch, EntropySwitch, Steering
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config.gate import (
    AlwaysThinkConfig,
    CertifiedThreshold,
    DirectConfig,
    EntropySwitchConfig,
    StrategyConfig,
)


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
    if isinstance(part, EntropySwitchConfig):
        return EntropySwitch(**gate, steering=Steering(**part.entropy.model_dump()))
    return Gated(**gate)


def make_deepened(gate: Gated, *, threshold: float | None, by_question: tuple[tuple[str, float], ...]) -> Deepened:
    """What goes on from first answers that are there, and thinks as `gate` does."""
    budgets = {"max_answer_tokens": gate.max_answer_tokens, "max_thinking_tokens": gate.max_thinking_tokens}
    if isinstance(gate, EntropySwitch):
        return DeepenedEntropySwitch(threshold=threshold, by_question=by_question, **budgets, steering=gate.steering)
    return Deepened(threshold=threshold, by_question=by_question, **budgets)
