"""From a job's `gate` part to its strategy."""

from __future__ import annotations

from typing import Any

from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.frame_ensemble import FrameEnsemble
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.look_again import LookAgain
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.pipelines.reason.strategies.self_consistency import SelfConsistency
from framegate.pipelines.reason.strategies.sparse_to_dense import SparseToDense
from framegate.schemas.config.gate import AlwaysThinkConfig, CertifiedThreshold, DirectConfig, StrategyConfig
from framegate.schemas.config.many_asks import (
    FrameEnsembleConfig,
    LookAgainConfig,
    SelfConsistencyConfig,
    SparseToDenseConfig,
)
from framegate.schemas.config.part import Part


def make_strategy(part: StrategyConfig) -> Strategy:
    """What only an output can tell is settled later: see `plan.audit_rate` and `plan.certified_threshold`."""
    answer, thinking = part.max_answer_tokens, part.max_thinking_tokens
    if isinstance(part, DirectConfig):
        return Direct(max_answer_tokens=answer, max_thinking_tokens=thinking)
    if isinstance(part, AlwaysThinkConfig):
        return AlwaysThink(max_answer_tokens=answer, max_thinking_tokens=thinking)
    if isinstance(part, LookAgainConfig):
        return LookAgain(**_values(part))
    if isinstance(part, SelfConsistencyConfig):
        return SelfConsistency(**_values(part))
    if isinstance(part, SparseToDenseConfig):
        return SparseToDense(**_values(part))
    if isinstance(part, FrameEnsembleConfig):
        return FrameEnsemble(**_values(part))
    return Gated(
        threshold=part.threshold.otherwise if isinstance(part.threshold, CertifiedThreshold) else part.threshold,
        audit=None if part.audit.rate is None else part.audit.sample(part.audit.rate),
        max_answer_tokens=answer,
        max_thinking_tokens=thinking,
    )


def _values(part: Part) -> dict[str, Any]:
    """All keys but the strategy's name: the fields of the strategy are called as the keys are."""
    return part.model_dump(exclude={"strategy"})
