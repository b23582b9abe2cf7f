"""An engine without weights: a function says what the model writes, and everything after that is real.

Courses, budgets, forced texts and answers are those of a real run. For tests, and for trying out a job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from framegate.pipelines.reason.engines.failures import fail
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    Course,
    FinishedAsk,
    Token,
    start_course,
)
from framegate.schemas.errors import EngineError

Written = tuple[str, float] | tuple[str, float, float] | tuple[str, float, float, float]
"""One token: text, log-probability, and entropy and margin where the strategy needs them."""

Script = Callable[[Ask], Sequence[Written]]
"""What the model writes for one ask; after the last token it ends its turn. Forced texts come in between."""


def say_yes(ask: Ask) -> Sequence[Written]:
    """The simplest script: a sure yes, or the first option, or a 1, or the clip's first second."""
    content = {"choice": "A", "number": "1", "span": "[0, 1]"}.get(ask.question.type, "yes")
    return [("\\boxed{", -0.001), (content, -0.001), ("}", -0.001)]


FIRST_ID = 64
"""Of a script's tokens. Those below it are forced texts: a script has the same tokens whatever may be forced on it."""


class ScriptedEngine:
    """Satisfies `engines.protocol.Engine`; each step moves every open ask one token on.

    It claims every capability: a script reads what an ask wants (`sampling`, `label`, `frames`) and writes accordingly.
    `num_asks` and `num_tokens` count what was asked of it and what it wrote. A forced text is one token.

    `before_step` gets the asks in hand at the beginning of each step that has any: a test hangs, grows or dies there.
    """

    capabilities: frozenset[Capability] = frozenset({"sampling", "distribution", "logits", "value_cache", "pruning"})
    num_slots = None

    def __init__(
        self, script: Script = say_yes, *, before_step: Callable[[Sequence[Ask]], object] | None = None
    ) -> None:
        self._script = script
        self._before_step = before_step
        self._running: deque[_Running] = deque()
        self._failed: list[FinishedAsk] = []
        self.num_asks = 0
        self.num_tokens = 0

    @property
    def num_unfinished(self) -> int:
        return len(self._running) + len(self._failed)

    def add(self, ask: Ask) -> None:
        """Take an ask. A script that raises fails it, as an engine's own error would."""
        self.num_asks += 1
        try:
            written = self._script(ask)
            encoded = {text: [index] for index, text in enumerate(ask.budget.forced_texts)}
            course = start_course(ask.make_course, encoded)
        except Exception as error:
            self._failed.append(fail(ask, error))
            return
        tokens = islice(_as_tokens(written, first_id=FIRST_ID), ask.budget.num_tokens)
        self._running.append(_Running(ask, course, tokens))

    def step(self) -> list[FinishedAsk]:
        if self._before_step is not None and self._running:
            self._before_step([running.ask for running in self._running])
        finished, self._failed = self._failed, []
        for _ in range(len(self._running)):
            running = self._running.popleft()
            try:
                running.course.append(self._next_token(running))
            except Exception as error:
                finished.append(fail(running.ask, error))
                continue
            if running.course.is_over:
                finished.append(_finish(running.ask, running.course))
            else:
                self._running.append(running)
        return finished

    def _next_token(self, running: _Running) -> Token:
        self.num_tokens += 1
        texts = running.ask.budget.forced_texts
        if running.course.forced:
            index = running.course.forced.popleft()
            if index >= len(texts):  # the model's own token of before, which is given back to it
                return self._given(running, index)
            return Token(index, texts[index].encode(), 0.0, entropy=0.0, margin=1.0)
        token = next(running.tokens, None)
        if token is None:
            raise EngineError(f"the course goes on beyond its budget of {running.ask.budget.num_tokens} tokens")
        return token

    def _given(self, running: _Running, token_id: int) -> Token:
        """The script goes on behind a token that it wrote before; another one stands for a text of no bytes."""
        written = next(running.tokens, None)
        return written if written is not None and written.id == token_id else Token(token_id, b"", 0.0)


class _Running(NamedTuple):
    """`tokens` are those of the model's choice, as many as the budget has."""

    ask: Ask
    course: Course
    tokens: Iterator[Token]


def _finish(ask: Ask, course: Course) -> FinishedAsk:
    num_frames = len(ask.clip.frames) if ask.frames is None else len(ask.frames)
    num_prompt_tokens = num_frames + len(ask.question.text.split()) + len(ask.carried)
    return FinishedAsk(ask=ask, course=course, num_prompt_tokens=num_prompt_tokens, num_video_tokens=num_frames)


def _as_tokens(written: Sequence[Written], *, first_id: int) -> Iterator[Token]:
    for token_id, (text, logprob, *told) in enumerate(written, start=first_id + 1):
        entropy, margin, *_ = (*told, None, None)
        yield Token(token_id, text.encode(), logprob, entropy=entropy, margin=margin)
    while True:
        yield Token(first_id, b"", 0.0, ends_turn=True, entropy=0.0)
