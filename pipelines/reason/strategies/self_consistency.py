"""Several samples of an answer vote (self-consistency, arXiv 2203.11171), where a gate is unsure, or always.

decide_by     first                                        sure of its measure   else
confidence    one first answer, not sampled                exit                  N samples think, and vote
agreement     N samples of a first answer, which vote      exit                  N samples think, and vote
none          nothing                                                            N samples think, and vote
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from framegate.pipelines.reason.strategies.many_asks import (
    ManyAsks,
    by_label,
    is_final,
    join_answers,
    read,
    to_row,
)
from framegate.pipelines.reason.strategies.protocol import Ask, Capability, ClipFrames, FinishedAsk, TokenBudget
from framegate.pipelines.reason.strategies.voting import count_votes, draw_samples
from framegate.schemas.config.many_asks import DecideBy
from framegate.schemas.qa import Answer, Question

_FIRST, _GUESS, _SAMPLE = "first", "guess", "sample"


@dataclass(frozen=True, kw_only=True)
class SelfConsistency(ManyAsks):
    """All asks of a question have the same frames, and so one prefix while one of them runs.

    The row of a vote has the columns of the sample that won (`voting` says how), its answer and thoughts among them;
    `agreement` is the share of samples that gave its answer. With `decide_by` `agreement`, `confidence_first` is the
    agreement of the first vote, as that is what the threshold is for. `asks` has each ask's own confidence.

    A question with `think: never` has the first column of the table above, which is final; with `decide_by: none` that
    is a vote of first answers. One with `think: always` has the last column. `threshold`, or a question's own,
    decides whether to think: it is a column and not part of `document`, as of `gated`.
    """

    threshold: float
    decide_by: DecideBy
    num_samples: int
    temperature: float
    top_p: float

    @property
    def name(self) -> str:
        return "self_consistency"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"sampling"})

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        if question.think == "always" or (self.decide_by == "none" and question.think == "auto"):
            return self._samples(clip, question)
        threshold = self.threshold_of(question, self.threshold)
        first = self.first_answer(_FIRST, clip, question, threshold)
        return [first] if self.decide_by == "confidence" else self._draw(first, _GUESS)

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        """All samples of a vote are waited for."""
        if num_open:
            return None
        asked = by_label(finished)
        question, clip = finished[0].ask.question, finished[0].ask.clip
        threshold = (
            None
            if question.think != "auto" or self.decide_by == "none"
            else self.threshold_of(question, self.threshold)
        )
        first, reason, agreement = self._judge(asked, question, threshold)
        if first is not None and reason in ("confident", "never"):
            return to_row(first, asked, reason=reason, threshold=threshold, agreement=agreement)
        if f"{_SAMPLE} 0" not in asked:
            return self._samples(clip, question)
        votes = count_votes([read(asked[f"{_SAMPLE} {number}"]) for number in range(self.num_samples)])
        answer = votes.winner if first is None else join_answers(first, votes.winner)
        return to_row(answer, asked, reason=reason, threshold=threshold, agreement=votes.agreement)

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        num_first = {"confidence": 1, "agreement": self.num_samples, "none": 0}[self.decide_by]
        if question.think == "never":
            return [self.answer_budget] * (num_first or self.num_samples)
        if question.think == "always":
            num_first = 0
        return [self.answer_budget] * num_first + [self.thought_budget(question)] * self.num_samples

    def document(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "decide_by": self.decide_by,
            "num_samples": self.num_samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            **self.limits(),
        }

    def _judge(
        self, asked: dict[str, FinishedAsk], question: Question, threshold: float | None
    ) -> tuple[Answer | None, str, float | None]:
        """The first answer of the row, why it is final or not, and the agreement of its vote."""
        agreement = None
        if _FIRST in asked:
            first = read(asked[_FIRST])
            is_sure = is_final(first)
            reason = "unsure" if first.verdict.reason == "confident" else first.verdict.reason
        elif f"{_GUESS} 0" in asked:
            votes = count_votes([read(asked[f"{_GUESS} {number}"]) for number in range(self.num_samples)])
            agreement = votes.agreement
            first = votes.winner
            if self.decide_by == "agreement":
                first = replace(first, confidence_first=agreement if first.answer is not None else None)
            is_sure = first.answer is not None and threshold is not None and agreement >= threshold
            reason = "unsure" if first.answer is not None else first.verdict.reason
        else:
            return None, "always", None
        if question.think == "never":
            return first, "never", agreement
        return first, "confident" if is_sure else reason, agreement

    def _samples(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        return self._draw(self.thought(_SAMPLE, clip, question), _SAMPLE)

    def _draw(self, ask: Ask, part: str) -> Sequence[Ask]:
        return draw_samples(
            ask, part=part, num_samples=self.num_samples, temperature=self.temperature, top_p=self.top_p
        )
