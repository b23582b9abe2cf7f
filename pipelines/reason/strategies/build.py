"""From a job's `gate` part to its strategy."""

from __future__ import annotations

from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config.gate import AlwaysThinkConfig, DirectConfig, StrategyConfig


def make_strategy(part: StrategyConfig) -> Strategy:
    """An audit sample of so many rows has its rate from the plan alone: see `plan.audit_rate`."""
    budgets = {"max_answer_tokens": part.max_answer_tokens, "max_thinking_tokens": part.max_thinking_tokens}
    if isinstance(part, DirectConfig):
        return Direct(**budgets)
    if isinstance(part, AlwaysThinkConfig):
        return AlwaysThink(**budgets)
    audit = None if part.audit.rate is None else part.audit.sample(part.audit.rate)
    return Gated(threshold=part.threshold, audit=audit, **budgets)
