"""When to think: the strategies that a job can name, each a small function in place of the gate.

A question's own `think` wins over the job's strategy. Knows nothing of models or text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from framegate.pipelines.reason.strategies.gate import FirstAnswer, judge
from framegate.schemas.qa import ThinkPolicy, Verdict

Strategy = Callable[[FirstAnswer, float | None, float], Verdict]
"""(what the first answer is, its confidence or None, threshold) -> verdict."""


def answer_directly(first: FirstAnswer, confidence: float | None, threshold: float) -> Verdict:
    """Never think, however unsure the first answer is."""
    return Verdict(route="exit", reason="never", confidence=confidence)


def think_always(first: FirstAnswer, confidence: float | None, threshold: float) -> Verdict:
    """Always think, however sure the first answer is."""
    return Verdict(route="think", reason="always", confidence=confidence)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {"direct": answer_directly, "always_think": think_always, "gated": judge}
)


def choose_strategy(name: str, think: ThinkPolicy) -> Strategy:
    """The strategy for one question: `think` = never or always overrides the job's, auto leaves it."""
    if think == "never":
        return answer_directly
    if think == "always":
        return think_always
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy '{name}', known: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
