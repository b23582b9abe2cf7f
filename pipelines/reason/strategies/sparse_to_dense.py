"""Samples vote on few frames; where they do not agree enough, on twice as many, until all frames are seen.

Sparse-to-dense test-time scaling of Video-RTS (arXiv 2507.06485), with a share of the samples in place of one voice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from framegate.pipelines.reason.strategies.frame_steps import count_steps, share_of_steps, spread
from framegate.pipelines.reason.strategies.many_asks import ManyAsks, by_label, on_frames, read, to_row
from framegate.pipelines.reason.strategies.protocol import Ask, Capability, ClipFrames, FinishedAsk, TokenBudget
from framegate.pipelines.reason.strategies.voting import count_votes, draw_samples
from framegate.schemas.qa import Answer, Question


@dataclass(frozen=True, kw_only=True)
class SparseToDense(ManyAsks):
    """Round 0 sees `sparse_share` of the clip's temporal steps, each round after it twice as many, the last one all.
    The votes of a round agree at `agree_at`. Those of the last round that was asked count, and no earlier ones.

    All samples think, unless the question says `think: never`. All of it decides which frames an answer was given of,
    and so `agree_at` is part of `document`; a question's own threshold, which is not, has no effect, as under `direct`.
    The row's `confidence_first` is the first confidence of the sample that won.
    """

    sparse_share: float
    agree_at: float
    num_samples: int
    temperature: float
    top_p: float

    @property
    def name(self) -> str:
        return "sparse_to_dense"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"sampling"})

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        return self._round(clip, question, 0)

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        """All samples of a round are waited for."""
        if num_open:
            return None
        asked = by_label(finished)
        clip, question = finished[0].ask.clip, finished[0].ask.question
        number = len(asked) // self.num_samples - 1
        last = [asked[f"{self._part(number)} {sample}"] for sample in range(self.num_samples)]
        votes = count_votes([read(one) for one in last])
        if votes.agreement < self.agree_at and last[0].ask.frames is not None:
            return self._round(clip, question, number + 1)
        reason = "never" if question.think == "never" else "always"
        return to_row(votes.winner, asked, reason=reason, threshold=None, agreement=votes.agreement)

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """How many rounds there are at most follows from the share, whatever the clip: each sees twice the steps."""
        budget = self.answer_budget if question.think == "never" else self.thought_budget(question)
        return [budget] * (self.num_samples * self.max_rounds)

    @property
    def max_rounds(self) -> int:
        """Rounds of a clip of any length. With a single step or few, the rounding of the share makes fewer."""
        rounds, share = 1, self.sparse_share
        while share < 1:
            rounds, share = rounds + 1, share * 2
        return rounds

    def document(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "sparse_share": self.sparse_share,
            "agree_at": self.agree_at,
            "num_samples": self.num_samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            **self.limits(),
        }

    def _round(self, clip: ClipFrames, question: Question, number: int) -> Sequence[Ask]:
        num_frames = len(clip.frames)
        frames = None
        if number + 1 < self.max_rounds:
            wanted = share_of_steps(num_frames, self.sparse_share) * 2**number
            frames = spread(num_frames, min(wanted, count_steps(num_frames)))
        part = self._part(number)
        # A sample that may not think is a first answer alone, judged by nothing.
        ask = (
            self.first_answer(part, clip, question, 0.0)
            if question.think == "never"
            else self.thought(part, clip, question)
        )
        return draw_samples(
            on_frames(ask, frames),
            part=part,
            num_samples=self.num_samples,
            temperature=self.temperature,
            top_p=self.top_p,
        )

    @staticmethod
    def _part(number: int) -> str:
        return f"round {number} sample"
