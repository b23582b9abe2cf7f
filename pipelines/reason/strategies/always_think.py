"""Think about every question, and answer again."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.pipelines.reason.strategies.ruling import Decide, think_always
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers


@dataclass(frozen=True, kw_only=True)
class AlwaysThink(TwoAnswers):
    @property
    def name(self) -> str:
        return "always_think"

    @property
    def decide(self) -> Decide:
        return think_always
