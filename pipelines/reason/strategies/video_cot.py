"""Describe step by step, then answer in a box: one thought, one answer.

The prompting variant of thinking, for models that were not trained to answer first: the words behind the question ask
for it, and nothing else does. A row has no first answer: what the box holds is its second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from framegate.pipelines.reason.asking.prompt import suffix_after_video
from framegate.pipelines.reason.asking.wording import STEP_BY_STEP, Wording
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, TokenBudget
from framegate.pipelines.reason.strategies.ruling import Decide, Ruling, think_always
from framegate.pipelines.reason.strategies.two_answers import TwoAnswerCourse, TwoAnswers
from framegate.schemas.qa import Question


@dataclass(frozen=True, kw_only=True)
class VideoCot(TwoAnswers):
    """A question with `think: never` is answered at once, in the words for that."""

    wording: Wording = STEP_BY_STEP

    @property
    def name(self) -> str:
        return "video_cot"

    @property
    def decide(self) -> Decide:
        return think_always

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        if not self._may_think(question):
            return super().begin(clip, question)
        (budget,) = self.budgets(question)
        make_course = partial(
            TwoAnswerCourse,
            question,
            ruling=Ruling(decide=think_always),
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
            closing=self.wording.closing,
            skips_first=True,
        )
        suffix = suffix_after_video(question, self.wording.step_by_step or "")
        return [Ask(clip=clip, question=question, suffix=suffix, make_course=make_course, budget=budget)]

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """Thoughts, the forced closing, an answer; of a question that is not thought about, an answer."""
        if not self._may_think(question):
            return super().budgets(question)
        num_tokens = self.max_thinking_tokens + self.max_answer_tokens
        return [TokenBudget(num_tokens=num_tokens, forced_texts=(self.wording.closing,))]
