"""Go on from a first answer that is there: the model gets it back, and thinks. What `framegate deepen` asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from framegate.pipelines.reason.strategies.gated import Gated, judge
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk
from framegate.pipelines.reason.strategies.ruling import FirstAnswer, Ruling, think_always
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.errors import FirstAnswerDiffers
from framegate.schemas.qa import Answer, Question, Verdict

ASKED = "asked"
"""Why a row was thought about whose confidence would have let it go: a person asked for it."""


def think_after(
    first: FirstAnswer, confidence: float | None, *, given: GivenAnswer, threshold: float | None
) -> Verdict:
    """Think, for the reason that a gate with this threshold would have had; else as somebody asked for it.

    The confidence is the `given` one, where there is one: what was measured when the answer was given. A row of the
    audit sample that is sure enough thinks for the sample alone.
    """
    if confidence is not None and given.confidence is not None:
        confidence = given.confidence
    if first != "box" or threshold is not None:
        is_audited = given.audit_rank is not None
        verdict = judge(first, confidence, 0.0 if threshold is None else threshold, is_audited=is_audited)
        if verdict.route == "think":
            return verdict
    return Verdict(route="think", reason=ASKED, confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Deepened(Gated):
    """Of each question at each clip the `given` first answer of its `ClipFrames` goes first. Its tokens are written
    again one by one, as the model wrote them, so that all that follows is what an undisturbed sequence would have.

    Where a row has no tokens, the question is asked from the start: the most probable tokens are the same ones. A first
    answer that is another one all the same fails the question (FirstAnswerDiffers), and its row stays as it was.

    The threshold is the new one; None where rows were chosen in another way. All of them think.
    """

    def ruling(self, clip: ClipFrames, question: Question) -> Ruling:
        if question.think == "always":
            return Ruling(decide=think_always)
        threshold = self.threshold_of(question)
        given = _given(clip, question)
        return Ruling(decide=partial(think_after, given=given, threshold=threshold), threshold=threshold)

    def given_tokens(self, clip: ClipFrames, question: Question) -> Sequence[int]:
        return _given(clip, question).token_ids or ()

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        answer = super().after(finished, num_open)
        if not isinstance(answer, Answer):
            return answer
        self.check(answer, finished)
        return answer

    @staticmethod
    def check(answer: Answer, finished: Sequence[FinishedAsk]) -> None:
        """Raises FirstAnswerDiffers where the first answer is not the given one."""
        given = _given(finished[0].ask.clip, answer.question)
        if answer.answer_first != given.answer_first:
            raise FirstAnswerDiffers(
                f"the first answer was {given.answer_first!r}, and is {answer.answer_first!r} now that it was asked"
                f" again of {answer.question.id}"
            )


def _given(clip: ClipFrames, question: Question) -> GivenAnswer:
    return clip.given[question.hash]
