"""Asks of a thought in chunks, run over bytes that come whatever the context."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk, Strategy, Token
from framegate.schemas.qa import Answer
from tests.asking import YES_NO, make_clip

CLOSING_ID = 1


def bounded(*, chunk: int = 4, carry: int = 2, thinking: int = 12, answer: int = 3, **more: Any) -> BoundedThinking:
    how = {"threshold": 0.97, "max_answer_tokens": answer, "max_thinking_tokens": thinking, **more}
    return BoundedThinking(chunk_tokens=chunk, carry_tokens=carry, **how)


def gate_of(strategy: BoundedThinking) -> Gated:
    """The same with one chunk for all."""
    return Gated(
        threshold=strategy.threshold,
        audit=strategy.audit,
        max_answer_tokens=strategy.max_answer_tokens,
        max_thinking_tokens=strategy.max_thinking_tokens,
    )


class Course:
    """Runs the asks of one question over bytes that come whatever the context. Each course is made twice, and once
    from a pickle, as engines may."""

    def __init__(self, strategy: Strategy, written: Sequence[Token]) -> None:
        self.asks: list[Ask] = []
        self.num_written: list[int] = []
        self._written = deque(written)
        finished: list[FinishedAsk] = []
        outcome: Any = strategy.begin(make_clip(), YES_NO)
        while not isinstance(outcome, Answer):
            [ask] = outcome
            self.asks.append(ask)
            finished.append(FinishedAsk(ask=ask, course=self._run(ask), num_prompt_tokens=50 + len(self.asks)))
            outcome = strategy.after(finished, 0)
        self.answer: Answer = outcome
        kept = [len(one.course.token_ids) for one in finished]  # type: ignore[union-attr]
        assert not any(kept[:-1]), "a long thought is kept once"
        self.token_ids: list[int] = finished[-1].course.token_ids  # type: ignore[union-attr]

    def _run(self, ask: Ask) -> Any:
        spare = ask.make_course()  # what is done to one course is nothing to another
        spare.start({FORCED_CLOSING: [CLOSING_ID]})
        before = list(spare.token_ids)
        spare.append(Token(2, b"}", -1.0))
        course = pickle.loads(pickle.dumps(ask.make_course))()
        course.start({text: [CLOSING_ID] for text in ask.budget.forced_texts})
        assert course.token_ids == before
        count = 0
        while not course.is_over:
            count += 1
            if course.forced:
                course.append(Token(course.forced.popleft(), FORCED_CLOSING.encode(), -0.1))
            else:
                course.append(self._written.popleft() if self._written else Token(3, b"", -0.1, ends_turn=True))
        assert count <= ask.budget.max_tokens(lambda text: 1)
        self.num_written.append(count)
        return course


def tokens_of(*pieces: bytes | str) -> list[Token]:
    return [
        Token(10 + place, piece.encode() if isinstance(piece, str) else piece, -0.3 - place / 100)
        for place, piece in enumerate(pieces)
    ]


FIRST = ("\\boxed{", "yes", "}")


def same(answer: Answer, other: Answer) -> bool:
    return replace(answer, num_chunks=None) == other
