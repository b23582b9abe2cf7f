"""A strategy of the tests alone: the model answers several times, by chance, and the answer that most agree on counts.

It is what a new strategy takes: this file, the config part in it, and a test. Nothing else knows of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    Sampling,
    TokenBudget,
)
from framegate.schemas.config.part import Part
from framegate.schemas.qa import Answer, Question, Verdict


class VoteConfig(Part):
    strategy: Literal["vote"] = "vote"
    num_samples: int = Field(default=3, ge=1)
    temperature: float = Field(default=0.7, gt=0)
    max_answer_tokens: int = Field(default=64, ge=1)


@dataclass(frozen=True, kw_only=True)
class Vote:
    num_samples: int
    temperature: float
    max_answer_tokens: int

    @classmethod
    def from_part(cls, part: VoteConfig) -> Vote:
        return cls(num_samples=part.num_samples, temperature=part.temperature, max_answer_tokens=part.max_answer_tokens)

    @property
    def name(self) -> str:
        return "vote"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"sampling"})

    @property
    def _each(self) -> Direct:
        return Direct(max_answer_tokens=self.max_answer_tokens, max_thinking_tokens=0)

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        (ask,) = self._each.begin(clip, replace(question, think="never"))
        return [
            replace(ask, sampling=Sampling(temperature=self.temperature, seed=seed), label=f"sample {seed}")
            for seed in range(self.num_samples)
        ]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Answer | None:
        """The samples in the order of their seeds, whatever the order in which they came: the first of equals wins."""
        if num_open:
            return None
        answers = [self._each.after([one], 0) for one in sorted(finished, key=lambda one: one.ask.sampling.seed)]
        votes = Counter(answer.answer for answer in answers if answer.answer is not None)
        winner, num_votes = votes.most_common(1)[0] if votes else (None, 0)
        return replace(
            next(answer for answer in answers if answer.answer == winner),
            verdict=Verdict(route="exit", reason="vote", confidence=num_votes / len(answers)),
            confidence_first=num_votes / len(answers),
            num_answer_tokens=sum(answer.num_answer_tokens for answer in answers),
            engine_seconds=sum(answer.engine_seconds for answer in answers),
            prompt_seconds=sum(answer.prompt_seconds for answer in answers),
        )

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        return [TokenBudget(num_tokens=self.max_answer_tokens)] * self.num_samples

    def document(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "num_samples": self.num_samples,
            "temperature": self.temperature,
            "max_answer_tokens": self.max_answer_tokens,
        }
