"""Asks without questions around them: what the engine itself is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, Token, TokenBudget
from tests.small_checkpoints import SURE, make_request


class Written:
    """A course of `num_tokens` tokens, which keeps them. `opening` is a text that is forced first."""

    def __init__(self, num_tokens: int, *, thinks_from: int | None = None, opening: str | None = None) -> None:
        self.forced: deque[int] = deque()
        self.tokens: list[Token] = []
        self._num_tokens, self._thinks_from, self._opening = num_tokens, thinks_from, opening

    @property
    def is_over(self) -> bool:
        return len(self.tokens) >= self._num_tokens

    @property
    def is_thinking(self) -> bool:
        return self._thinks_from is not None and len(self.tokens) >= self._thinks_from

    @property
    def token_ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    def start(self, encoded: Mapping[str, Sequence[int]]) -> None:
        assert not self.tokens
        if self._opening is not None:
            self.forced.extend(encoded[self._opening])

    def append(self, token: Token) -> None:
        self.tokens.append(token)


def make_clip(number: int, **shape: Any) -> ClipFrames:
    request = make_request(number, (), **shape)
    return ClipFrames(id=request.id, frames=request.frames, start_seconds=request.clip_start_seconds)


def make_ask(clip: ClipFrames, num_tokens: int, *, suffix: str = "look again", **settings: Any) -> Ask:
    """`course` among the settings goes to `Written`."""
    course = settings.pop("course", {})
    opening = course.get("opening")
    return Ask(
        clip=clip,
        question=SURE,
        suffix=suffix,
        make_course=partial(Written, num_tokens, **course),
        budget=TokenBudget(num_tokens=num_tokens, forced_texts=() if opening is None else (opening,)),
        **settings,
    )


def run_asks(engine: TransformersEngine, asks: Iterable[Ask] = ()) -> dict[Ask, FinishedAsk]:
    """Add the asks and step until nothing is left."""
    for ask in asks:
        engine.add(ask)
    outcome: dict[Ask, FinishedAsk] = {}
    for _ in range(2000):
        for finished in engine.step():
            assert finished.ask not in outcome
            outcome[finished.ask] = finished
        if not engine.num_unfinished:
            return outcome
    raise AssertionError(f"{engine.num_unfinished} asks never come back")
