"""First answers on interleaved parts of a clip's frames, whose mean is what counts; where it is unsure, think.

What carries over to answers of training-free ensembles of generator seeds (Chain-of-Steps, arXiv 2603.16870): there,
runs of one generator with other seeds are averaged; here, runs of one model on other frames of the same clip. This is
our own adaptation, and no method of that paper. Frames are not mirrored: left and right would change places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from framegate.pipelines.reason.strategies.frame_steps import count_steps, phase
from framegate.pipelines.reason.strategies.many_asks import (
    ManyAsks,
    by_label,
    join_answers,
    on_frames,
    read,
    to_row,
)
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, TokenBudget
from framegate.pipelines.reason.strategies.voting import agree
from framegate.schemas.qa import Answer, Question

_ALL = "all"


def average(answers: Sequence[Answer]) -> tuple[Answer, float]:
    """The answer with the largest mean probability, and that probability.

    A token carries the probability of what was written, and not that of the other options. So of the distribution of
    phase k over values, its answer a[k] with confidence c[k] is known, and of every other value a lower bound, 0:

        p(v) = 1/K sum over k of (c[k] where a[k] and v agree, else 0)

    c[k] is the geometric mean of the probabilities of the answer's tokens: for an answer of one token, such as a
    letter, the model's own probability of it. The sum over all values is 1 at most. A first answer that cannot be read,
    or has no confidence, adds to none. Of equals the first phase's answer wins.
    """
    weights = [one.confidence_first or 0.0 for one in answers]
    means = [
        sum(weight for other, weight in zip(answers, weights, strict=True) if agree(one, other)) / len(answers)
        for one in answers
    ]
    most = max(means)
    return answers[means.index(most)], most


@dataclass(frozen=True, kw_only=True)
class FrameEnsemble(ManyAsks):
    """Phase k of K = `num_phases` sees the temporal steps k, k + K, k + 2 K, ... of the clip. A clip of fewer steps has
    as many phases as steps. The row's `confidence_first` and `agreement` are the mean probability of the answer
    (`average` says which), and its first answer is that of the first phase that gave it.

    Qwen2.5-VL is told distances between frames and no times: to it each phase begins at second 0, so that spans of
    phase k are k steps early. Qwen3-VL is told the times themselves.

    Below `threshold`, a question's own in its place, one more ask sees all frames, answers, thinks and answers again:
    its second answer is the row's, else its first one, else that of the phases. `threshold` decides whether to think:
    it is a column and not part of `document`, as of `gated`. A question with `think: always` has the last ask alone,
    one with `think: never` none of it.
    """

    threshold: float
    num_phases: int

    @property
    def name(self) -> str:
        return "frame_ensemble"

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        if question.think == "always":
            return [self.thought(_ALL, clip, question)]
        num_frames = len(clip.frames)
        num_phases = min(self.num_phases, count_steps(num_frames))
        return [
            on_frames(self.first_answer(f"phase {k}", clip, question, 0.0), phase(num_frames, k, num_phases))
            for k in range(num_phases)
        ]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        """All phases are waited for."""
        if num_open:
            return None
        asked = by_label(finished)
        clip, question = finished[0].ask.clip, finished[0].ask.question
        if question.think == "always":
            return to_row(read(asked[_ALL]), asked, reason="always", threshold=None)
        first, agreement = average([read(one) for label, one in asked.items() if label != _ALL])
        if first.answer is None:
            reason = first.verdict.reason if first.verdict.reason != "confident" else "unsure"
            agreement = 0.0
        else:
            reason = "unsure"
            first = replace(first, confidence_first=agreement)
        if question.think == "never":
            return to_row(first, asked, reason="never", threshold=None, agreement=agreement)
        threshold = self.threshold_of(question, self.threshold)
        if first.answer is not None and agreement >= threshold:
            return to_row(first, asked, reason="confident", threshold=threshold, agreement=agreement)
        if _ALL not in asked:
            return [self.thought(_ALL, clip, question)]
        answer = join_answers(first, read(asked[_ALL]))
        return to_row(answer, asked, reason=reason, threshold=threshold, agreement=agreement)

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        phases = [self.answer_budget] * self.num_phases
        if question.think == "never":
            return phases
        thought = self.thought_budget(question)
        return [thought] if question.think == "always" else [*phases, thought]

    def document(self) -> dict[str, Any]:
        return {"strategy": self.name, "num_phases": self.num_phases, **self.limits()}
