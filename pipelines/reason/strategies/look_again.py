"""Look at few frames first, and at all of them only where that answer is unsure.

sparse ──sure──> exit
   └──unsure──> dense: a new first answer ──sure──> exit
                   └──unsure──> thinks, and answers again, in the same sequence
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from framegate.pipelines.reason.strategies.frame_steps import share_of_steps, spread
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.many_asks import (
    ManyAsks,
    by_label,
    is_final,
    on_frames,
    read,
    to_row,
)
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, TokenBudget
from framegate.schemas.qa import Answer, Question


@dataclass(frozen=True, kw_only=True)
class LookAgain(ManyAsks):
    """The sparse ask sees `sparse_share` of the clip's temporal steps, spread evenly. An answer of it that is
    confident by `sparse_threshold` and can be read is final. Everything else is asked anew about all frames, as `gated`
    does with `threshold`. A question with `think: always`, and a clip of so few steps that the sparse ask would see
    all of them, is asked about all frames at once; with `think: never` it is looked at again, and not thought about.

    `sparse_share` and `sparse_threshold` are part of `document`, as they decide which frames an answer was given of,
    and nothing completes a row for another value of them. `threshold` is not: as of `gated`, it decides whether to
    think, and is a column. A question's own threshold takes its place, and leaves `sparse_threshold` as it is.
    """

    threshold: float
    sparse_share: float
    sparse_threshold: float

    @property
    def name(self) -> str:
        return "look_again"

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        num_frames = len(clip.frames)
        frames = spread(num_frames, share_of_steps(num_frames, self.sparse_share))
        if question.think == "always" or frames is None:
            return [self._dense(clip, question)]
        return [on_frames(self.first_answer("sparse", clip, question, self.sparse_threshold), frames)]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        asked = by_label(finished)
        if "dense" in asked:
            answer = read(asked["dense"])
            return to_row(answer, asked, reason=answer.verdict.reason, threshold=answer.threshold)
        answer = read(asked["sparse"])
        if is_final(answer):
            return to_row(answer, asked, reason=answer.verdict.reason, threshold=answer.threshold)
        return [self._dense(finished[0].ask.clip, answer.question)]

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        dense = self._gate.budgets(question)
        return dense if question.think == "always" else [self.answer_budget, *dense]

    def document(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "sparse_share": self.sparse_share,
            "sparse_threshold": self.sparse_threshold,
            **self.limits(),
        }

    @property
    def _gate(self) -> Gated:
        return Gated(
            threshold=self.threshold,
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
        )

    def _dense(self, clip: ClipFrames, question: Question) -> Ask:
        (ask,) = self._gate.begin(clip, question)
        return replace(ask, label="dense")
