"""Answers of fixed length: what random weights need, as they never write a box.

The decision comes after exactly `max_answer_tokens` tokens, and is the real strategy's, over the confidence of all of
them. What is thought about ends after exactly `max_thinking_tokens` more. No token ends the turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from framegate.pipelines.reason.asking.confidence import measure_confidence
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    Token,
    TokenBudget,
)
from framegate.pipelines.reason.strategies.two_answers import Decide, TwoAnswers
from framegate.schemas.config.gate import StrategyConfig
from framegate.schemas.qa import Answer, Question, Verdict


@dataclass(frozen=True, kw_only=True)
class FixedLength:
    """A strategy that asks and budgets as `real` does, and decides like it, without heeding a question's own `think`.

    Its answers' raw contents are the ids of the tokens that were written, as numbers between blanks.
    """

    real: TwoAnswers

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def needs(self) -> frozenset[Capability]:
        return self.real.needs

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        (ask,) = self.real.begin(clip, question)
        make_course = partial(
            FixedLengthCourse,
            decide=self.real.decide,
            num_answer_tokens=self.real.max_answer_tokens,
            num_thinking_tokens=self.real.max_thinking_tokens,
        )
        return [replace(ask, make_course=make_course)]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Answer:
        (one,) = finished
        assert isinstance(one.course, FixedLengthCourse)
        return one.course.to_answer(one)

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        return self.real.budgets(question)

    def document(self) -> dict[str, Any]:
        return self.real.document()


class FixedLengthCourse:
    """Over after the first answer, or after `num_thinking_tokens` more."""

    def __init__(self, *, decide: Decide, num_answer_tokens: int, num_thinking_tokens: int) -> None:
        self.token_ids: list[int] = []
        self.forced: deque[int] = deque()
        self.verdict: Verdict | None = None
        self.is_over = False
        self._decide = decide
        self._num_answer_tokens = num_answer_tokens
        self._num_thinking_tokens = num_thinking_tokens
        self._logprobs: list[float] = []

    @property
    def is_thinking(self) -> bool:
        return self.verdict is not None

    def start(self, encoded: Mapping[str, Sequence[int]]) -> None:
        pass  # nothing is forced

    def append(self, token: Token) -> None:
        assert not self.is_over, "a course that is over takes no more tokens"
        self.token_ids.append(token.id)
        self._logprobs.append(token.logprob)
        num_tokens = len(self.token_ids)
        if num_tokens == self._num_answer_tokens:
            self.verdict = self._decide("box", measure_confidence(self._logprobs))
            self.is_over = self.verdict.route == "exit"
        elif num_tokens == self._num_answer_tokens + self._num_thinking_tokens:
            self.is_over = True

    def to_answer(self, finished: FinishedAsk) -> Answer:
        assert self.verdict is not None
        first, second = self.token_ids[: self._num_answer_tokens], self.token_ids[self._num_answer_tokens :]
        return Answer(
            question=finished.ask.question,
            answer=None,
            answer_first=_write(first),
            answer_second=_write(second) or None,
            confidence_first=self.verdict.confidence,
            confidence_second=None,
            verdict=self.verdict,
            thinking=bool(second),
            thinking_text=None,
            span_start_seconds=None,
            span_end_seconds=None,
            num_prompt_tokens=finished.num_prompt_tokens,
            num_video_tokens=finished.num_video_tokens,
            num_answer_tokens=len(first),
            num_thinking_tokens=len(second),
            finish_reason="answered" if second else "exit",
            status="unparsed",
            engine_seconds=finished.engine_seconds,
        )


def make_fixed_length(name: str, threshold: float, *, num_answer_tokens: int, num_thinking_tokens: int) -> FixedLength:
    """`name` is one that a job may say in `gate.strategy`, and whose strategy answers twice in one sequence."""
    values = {
        "strategy": name,
        "threshold": threshold,
        "max_answer_tokens": num_answer_tokens,
        "max_thinking_tokens": num_thinking_tokens,
    }
    real = make_strategy(TypeAdapter(StrategyConfig).validate_python(values))
    assert isinstance(real, TwoAnswers)
    return FixedLength(real=real)


def read_token_ids(answer: Answer) -> list[int]:
    """What a `FixedLengthCourse` was given, thinking included."""
    return [int(token_id) for token_id in f"{answer.answer_first} {answer.answer_second or ''}".split()]


def _write(token_ids: Sequence[int]) -> str:
    return " ".join(map(str, token_ids))
