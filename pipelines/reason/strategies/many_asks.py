"""What strategies with several asks per question share: asks of first answers and of thoughts, and one row of them all.

Every ask is one that `direct` or `always_think` would make, on some of the frames, sampled or not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.final_answer import take_answer
from framegate.pipelines.reason.strategies.gated import judge
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    TokenBudget,
)
from framegate.pipelines.reason.strategies.two_answers import FirstAnswer, Ruling, TwoAnswerCourse, TwoAnswers
from framegate.schemas.qa import Answer, AskRow, Question, ThinkPolicy, Verdict


def judge_only(first: FirstAnswer, confidence: float | None, *, threshold: float) -> Verdict:
    """What the gate says of a first answer, whose sequence ends here in any case."""
    return replace(judge(first, confidence, threshold), route="exit")


@dataclass(frozen=True, kw_only=True)
class _Judged(Direct):
    """A first answer alone, judged."""

    threshold: float

    def ruling(self, clip: ClipFrames, question: Question) -> Ruling:
        return Ruling(decide=partial(judge_only, threshold=self.threshold), threshold=self.threshold)


@dataclass(frozen=True, kw_only=True)
class ManyAsks(ABC):
    """`max_answer_tokens` and `max_thinking_tokens` are of each ask."""

    max_answer_tokens: int
    max_thinking_tokens: int

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset()

    def first_answer(self, label: str, clip: ClipFrames, question: Question, threshold: float) -> Ask:
        """Asks for a first answer alone. Its verdict is the gate's, and its route is to exit."""
        strategy = _Judged(
            threshold=threshold,
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
        )
        return _ask(strategy, label, clip, question, think="never")

    def thought(self, label: str, clip: ClipFrames, question: Question) -> Ask:
        """Asks for an answer, thoughts and a second answer."""
        strategy = AlwaysThink(max_answer_tokens=self.max_answer_tokens, max_thinking_tokens=self.max_thinking_tokens)
        return _ask(strategy, label, clip, question, think="always")

    @staticmethod
    def threshold_of(question: Question, threshold: float) -> float:
        """The question's own, where it has one: it decides whether to think, and nothing else."""
        return threshold if question.threshold is None else question.threshold

    @property
    def answer_budget(self) -> TokenBudget:
        """Of a first answer alone."""
        return TokenBudget(num_tokens=self.max_answer_tokens)

    def thought_budget(self, question: Question) -> TokenBudget:
        """Of an ask that thinks."""
        strategy = AlwaysThink(max_answer_tokens=self.max_answer_tokens, max_thinking_tokens=self.max_thinking_tokens)
        return strategy.budgets(replace(question, think="always"))[0]

    def limits(self) -> dict[str, int]:
        """The part of `document` that all have: these cut answers short."""
        return {"max_answer_tokens": self.max_answer_tokens, "max_thinking_tokens": self.max_thinking_tokens}


def by_label(finished: Sequence[FinishedAsk]) -> dict[str, FinishedAsk]:
    """Each ask of a question by its name: those of one stage (`sample 0`, `sample 1`, ...) by their numbers, and
    stages, of which one waits for the other, in the order in which they came back."""
    stages = list(dict.fromkeys(_stage(one)[0] for one in finished))
    return {
        one.ask.label: one for one in sorted(finished, key=lambda one: (stages.index(_stage(one)[0]), _stage(one)[1]))
    }


def _stage(one: FinishedAsk) -> tuple[str, int]:
    name, _, number = one.ask.label.rpartition(" ")
    return (name, int(number)) if name else (number, 0)


def read(one: FinishedAsk) -> Answer:
    """What came of one ask by itself."""
    assert isinstance(one.course, TwoAnswerCourse)
    return replace(one.course.to_answer(one), question=one.ask.question)


def is_final(answer: Answer) -> bool:
    """Whether a first answer that was judged is confident and can be read."""
    return answer.verdict.reason == "confident" and answer.status == "answered"


def join_answers(first: Answer, second: Answer) -> Answer:
    """`second` with the first answer of another ask: that is the row's answer where `second` has none."""
    told = second if second.answer is not None or first.answer is None else first
    return replace(
        take_answer(second, told),
        answer_first=first.answer_first,
        answer_first_value=first.answer_first_value,
        confidence_first=first.confidence_first,
    )


def to_row(
    answer: Answer,
    asked: Mapping[str, FinishedAsk],
    *,
    reason: str,
    threshold: float | None,
    agreement: float | None = None,
) -> Answer:
    """The row of a question: `answer` with all its asks, whose tokens and seconds it has the sums of.

    `num_answer_tokens` are those of all first answers, and `num_thinking_tokens` what was written after these. It
    thinks if one of its asks did. No first answer is kept to go on from: the row's asks are no one sequence.
    """
    answers = {label: read(one) for label, one in asked.items()}
    each = answers.values()
    full = [one.num_video_tokens_full for one in each if one.num_video_tokens_full is not None]
    thinks = any(one.thinking for one in each)
    return replace(
        answer,
        verdict=Verdict(route="think" if thinks else "exit", reason=reason, confidence=answer.confidence_first),
        thinking=thinks,
        threshold=threshold,
        num_prompt_tokens=sum(one.num_prompt_tokens for one in each),
        num_video_tokens=sum(one.num_video_tokens for one in each),
        num_video_tokens_full=sum(full) if full else None,
        num_answer_tokens=sum(one.num_answer_tokens for one in each),
        num_thinking_tokens=sum(one.num_thinking_tokens for one in each),
        engine_seconds=sum(one.engine_seconds for one in each),
        prompt_seconds=sum(one.prompt_seconds for one in each),
        thinking_seconds=sum(one.thinking_seconds for one in each),
        first_token_ids=None,
        asks=tuple(_ask_row(asked[label], one) for label, one in answers.items()),
        agreement=agreement,
    )


def on_frames(ask: Ask, frames: tuple[int, ...] | None) -> Ask:
    """The same ask about some of the clip's frames."""
    return replace(ask, frames=frames)


def _ask(strategy: TwoAnswers, label: str, clip: ClipFrames, question: Question, *, think: ThinkPolicy) -> Ask:
    (ask,) = strategy.begin(clip, replace(question, think=think))
    return replace(ask, label=label, question=question)


def _ask_row(finished: FinishedAsk, answer: Answer) -> AskRow:
    ask = finished.ask
    return AskRow(
        label=ask.label,
        num_frames=len(ask.clip.frames if ask.frames is None else ask.frames),
        num_video_tokens=answer.num_video_tokens,
        num_prompt_tokens=answer.num_prompt_tokens,
        num_tokens=answer.num_answer_tokens + answer.num_thinking_tokens,
        confidence=answer.confidence_first,
        answer=answer.answer,
        thinking=answer.thinking,
    )
