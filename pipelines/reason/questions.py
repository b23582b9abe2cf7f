"""Drives questions over an engine of asks: a strategy says what is asked next, until each question has its answer.

One level above an engine and used like one: `add` takes a clip with its questions, `step` hands back the questions that
are answered or failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from framegate.pipelines.reason.engines.failures import describe_failure, is_fatal
from framegate.pipelines.reason.engines.protocol import Engine
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    Strategy,
    describe_missing,
)
from framegate.schemas.clip import ClipSteps, FrameBatch
from framegate.schemas.config.pruning import PruneConfig
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """All questions that are open on one clip. `id` is the caller's, unique among the requests that are open.

    `key`, `given`, `think_below` and `prune` are as in ClipFrames.
    """

    id: str
    frames: FrameBatch
    clip_start_seconds: float
    questions: tuple[Question, ...]
    key: str = ""
    given: Mapping[str, GivenAnswer] = field(default_factory=dict)
    think_below: float | None = None
    prune: PruneConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One question of one request came to its end: an answer, or the reason code and message of its failure.

    `clip_embedding` and `clip_steps` are as in FinishedAsk.
    """

    request_id: str
    question: Question
    answer: Answer | None
    clip_embedding: np.ndarray | None = None
    clip_steps: ClipSteps | None = None
    failure_reason: str | None = None
    failure_message: str | None = None


@dataclass(eq=False)
class _OpenQuestion:
    """A question with asks in the engine, and those that have come back. `held` asks are open, and not in the engine
    yet."""

    request_id: str
    question: Question
    num_open: int = 0
    held: list[Ask] = field(default_factory=list)
    finished: list[FinishedAsk] = field(default_factory=list)
    failure: tuple[str, str] | None = None


class QuestionRunner:
    """Every question of every added request comes back exactly once. What the engine raises is raised; so is a fatal
    error of the strategy, while any other one fails its question alone."""

    def __init__(self, engine: Engine, strategy: Strategy, *, needs: frozenset[Capability] = frozenset()) -> None:
        """`needs`: of the engine, by requests to come. Raises EngineError where it is not capable of these, or of what
        the strategy needs."""
        if missing := strategy.needs - engine.capabilities:
            raise EngineError(f"the strategy {strategy.name} needs {describe_missing(missing)}, which the engine lacks")
        if missing := needs - engine.capabilities:
            raise EngineError(f"the job needs {describe_missing(missing)}, which the engine lacks")
        self.engine = engine
        self._strategy = strategy
        self._open: dict[Ask, _OpenQuestion] = {}
        self._of_request: dict[str, list[_OpenQuestion]] = {}
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
        clip = ClipFrames(
            id=request.id,
            frames=request.frames,
            start_seconds=request.clip_start_seconds,
            key=request.key,
            given=request.given,
            think_below=request.think_below,
            prune=request.prune,
        )
        questions = [_OpenQuestion(request.id, question) for question in request.questions]
        self._num_open_questions += len(questions)
        if questions:
            self._of_request.setdefault(request.id, []).extend(questions)
        for one in questions:
            self._go_on(one, lambda question=one.question: self._strategy.begin(clip, question))

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
        self._go_on(one, lambda: self._strategy.after(one.finished, one.num_open))

    def _go_on(self, one: _OpenQuestion, decide: Callable[[], Sequence[Ask] | Answer | None]) -> None:
        """Ask what the strategy says, or hand the question back. One that failed waits for its open asks alone."""
        outcome = None
        if one.failure is None:
            try:
                outcome = decide()
                self._check(one, outcome)
            except Exception as error:
                if is_fatal(error):
                    raise
                one.failure = describe_failure(error)
        if one.failure is not None:
            if not one.num_open:
                self._close(one, answer=None)
        elif isinstance(outcome, Answer):
            self._close(one, answer=outcome)
        else:
            self._ask(one, outcome or ())
        self._release(one.request_id)

    def _check(self, one: _OpenQuestion, outcome: Sequence[Ask] | Answer | None) -> None:
        name = f"the strategy {self._strategy.name}"
        if isinstance(outcome, Answer):
            if one.num_open:
                raise EngineError(f"{name} answered with {one.num_open} asks still open")
            return
        asks = outcome or ()
        if not asks and not one.num_open:
            raise EngineError(f"{name} waits for asks, and none is open" if one.finished else f"{name} asks nothing")
        if len({*asks}) < len(asks) or any(ask in self._open for ask in asks):
            raise EngineError(f"{name} asks the same ask twice")

    def _ask(self, one: _OpenQuestion, asks: Sequence[Ask]) -> None:
        for ask in asks:
            self._open[ask] = one
            one.num_open += 1
        for ask in asks:
            if ask.in_step:
                one.held.append(ask)
            else:
                self.engine.add(ask)

    def _release(self, request_id: str) -> None:
        """Let held asks of a request into the engine once none of its questions has another ask there."""
        questions = self._of_request.get(request_id, [])
        if any(one.num_open > len(one.held) or not one.num_open for one in questions):
            return
        for one in questions:
            held, one.held = one.held, []
            for ask in held:
                self.engine.add(ask)

    def _close(self, one: _OpenQuestion, *, answer: Answer | None) -> None:
        reason, message = one.failure or (None, None)
        self._num_open_questions -= 1
        questions = self._of_request[one.request_id]
        questions.remove(one)
        if not questions:
            del self._of_request[one.request_id]
        self._finished.append(
            Finished(
                request_id=one.request_id,
                question=one.question,
                answer=answer,
                clip_embedding=next(
                    (ask.clip_embedding for ask in one.finished if ask.clip_embedding is not None), None
                ),
                clip_steps=next((ask.clip_steps for ask in one.finished if ask.clip_steps is not None), None),
                failure_reason=reason,
                failure_message=message,
            )
        )
