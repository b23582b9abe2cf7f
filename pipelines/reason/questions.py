"""Questions over an engine of asks: a strategy says what is asked next, until each question has its answer.

Satisfies the same contract as an engine, one level up: `add` takes a clip with its questions, `step` hands back
questions that are answered or failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from framegate.pipelines.reason.engines.failures import describe_failure
from framegate.pipelines.reason.engines.poison import is_poisoned
from framegate.pipelines.reason.engines.protocol import Engine
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, Strategy
from framegate.schemas.clip import FrameBatch
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """All questions that are open on one clip. `id` is the caller's, unique among the requests that are open."""

    id: str
    frames: FrameBatch
    clip_start_seconds: float
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One question of one request came to its end: an answer, or the reason code and message of its failure."""

    request_id: str
    question: Question
    answer: Answer | None
    failure_reason: str | None = None
    failure_message: str | None = None


@dataclass(eq=False)
class _OpenQuestion:
    """A question with asks in the engine, and those that have come back."""

    request_id: str
    question: Question
    num_open: int = 0
    finished: list[FinishedAsk] = field(default_factory=list)
    failure: tuple[str, str] | None = None


class QuestionRunner:
    """Every question of every added request comes back exactly once. What the engine raises is raised."""

    def __init__(self, engine: Engine, strategy: Strategy) -> None:
        self.engine = engine
        self._strategy = strategy
        self._open: dict[Ask, _OpenQuestion] = {}
        self._num_open_questions = 0
        self._finished: list[Finished] = []

    @property
    def num_unfinished(self) -> int:
        """Questions that were added and have not come back yet."""
        return self._num_open_questions + len(self._finished)

    @property
    def num_slots(self) -> int | None:
        return self.engine.num_slots

    def add(self, request: ClipRequest) -> None:
        clip = ClipFrames(id=request.id, frames=request.frames, start_seconds=request.clip_start_seconds)
        for question in request.questions:
            one = _OpenQuestion(request.id, question)
            self._num_open_questions += 1
            try:
                asks = self._strategy.begin(clip, question)
                if not asks:
                    raise EngineError(f"the strategy {self._strategy.name} asks nothing")
            except Exception as error:  # of this question alone
                one.failure = _describe(error)
                self._close(one)
                continue
            self._ask(one, asks)

    def step(self) -> list[Finished]:
        """Move all running asks on; the questions that came to their end."""
        for finished in self.engine.step():
            self._take(finished)
        finished, self._finished = self._finished, []
        return finished

    def _take(self, finished: FinishedAsk) -> None:
        one = self._open.pop(finished.ask)
        one.num_open -= 1
        if finished.failure_reason is not None or finished.course is None:
            one.failure = one.failure or (
                finished.failure_reason or EngineError.reason,
                finished.failure_message or "the engine gave no reason",
            )
        else:
            one.finished.append(finished)
        if one.failure is None:
            try:
                self._go_on(one)
            except Exception as error:  # of this question alone
                one.failure = _describe(error)
        if one.failure is not None and not one.num_open:
            self._close(one)

    def _go_on(self, one: _OpenQuestion) -> None:
        outcome = self._strategy.after(one.finished, one.num_open)
        if isinstance(outcome, Answer):
            if one.num_open:
                raise EngineError(f"the strategy {self._strategy.name} answered with {one.num_open} asks still open")
            self._num_open_questions -= 1
            self._finished.append(Finished(request_id=one.request_id, question=one.question, answer=outcome))
        elif outcome:
            self._ask(one, outcome)
        elif not one.num_open:
            raise EngineError(f"the strategy {self._strategy.name} waits for asks, and none is open")

    def _ask(self, one: _OpenQuestion, asks: Sequence[Ask]) -> None:
        for ask in asks:
            self._open[ask] = one
            one.num_open += 1
            self.engine.add(ask)

    def _close(self, one: _OpenQuestion) -> None:
        """Hand a failed question back."""
        assert one.failure is not None
        reason, message = one.failure
        self._num_open_questions -= 1
        self._finished.append(
            Finished(
                request_id=one.request_id,
                question=one.question,
                answer=None,
                failure_reason=reason,
                failure_message=message,
            )
        )


def _describe(error: Exception) -> tuple[str, str]:
    """Raises `error` itself where after it no engine can work in this process."""
    if is_poisoned(error):
        raise error
    return describe_failure(error)
