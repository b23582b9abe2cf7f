"""Answer at once, and never think."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.pipelines.reason.strategies.ruling import Decide, exit_always
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers


@dataclass(frozen=True, kw_only=True)
class Direct(TwoAnswers):
    """`max_thinking_tokens` counts where a question asks to think whatever the strategy says."""

    @property
    def name(self) -> str:
        return "direct"

    @property
    def decide(self) -> Decide:
        return exit_always
