"""Asks that vLLM runs: their courses, and how these are fed, one token at a time, whoever chose it.

Both sides of vLLM use this: the logits processor in a worker, and the driver where it must follow from outside. Free of
vLLM and torch.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from framegate.pipelines.reason.strategies.protocol import Course, Sampling, Token, start_course
from framegate.schemas.errors import EngineError

NO_TOKEN = -1
"""What vLLM writes in place of a token that is still on its way from the device."""

Encoded = Mapping[str, Sequence[int]]
"""The token ids of each text that a course may force."""


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """The bytes that each token id writes, and the ids that end a turn."""

    pieces: Sequence[bytes]
    end_ids: frozenset[int]

    def make_token(self, token_id: int, logprob: float) -> Token:
        ends_turn = token_id in self.end_ids
        # Rounding lifts the log-probability of a certain token above 0 by about 1e-7.
        return Token(token_id, b"" if ends_turn else self.pieces[token_id], min(logprob, 0.0), ends_turn)


@dataclass(eq=False, kw_only=True)
class RunningAsk:
    """The course of one ask and what it was fed, `max_tokens` at most.

    The course is called by `begin` and by `feed` alone. What it raises is kept in `error`: it ends this ask alone.

    sampling       how tokens of the model's own choice are chosen
    is_over        nothing that is written from now on counts
    forced_id      what must be written next, if anything
    was_thinking   whether the course was thinking before its newest token
    """

    course: Course
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    num_tokens: int = 0
    is_over: bool = False
    is_thinking: bool = False
    was_thinking: bool = False
    forced_id: int | None = None
    error: Exception | None = None
    _chance: random.Random | None = None
    _number: float | None = None

    def next_number(self) -> float | None:
        """What the next token is drawn by, in [0, 1), however often it is asked for before that token is there: vLLM
        has logits of tokens, too, that it throws away. None where the most probable token is taken, or a forced one."""
        if self.sampling.temperature <= 0 or self.is_over or self.forced_id is not None:
            return None
        if self._number is None:
            self._chance = self._chance or random.Random(self.sampling.seed)
            self._number = self._chance.random()
        return self._number

    def feed(self, token: Token) -> None:
        """Take one token that was written; where the course had forced it, that is done with."""
        self.num_tokens += 1
        self.was_thinking = self.is_thinking
        self._number = None
        try:
            if self.course.forced:
                self.course.forced.popleft()
            self.course.append(token)
            self.look()
            if not self.is_over and self.num_tokens >= self.max_tokens:
                raise EngineError(f"the ask goes on beyond the {self.max_tokens} tokens of its budget")
        except Exception as error:
            self.error, self.is_over, self.forced_id = error, True, None

    def look(self) -> None:
        """Ask the course where it is. Raises what it raises."""
        self.is_over, self.is_thinking = self.course.is_over, self.course.is_thinking
        self.forced_id = self.course.forced[0] if self.course.forced else None


@dataclass(eq=False, kw_only=True)
class Row:
    """One ask in a worker's batch. One without `running` was over before it was moved out of the batch.

    `output_ids` is vLLM's own list of what the request has written. vLLM makes it grow by one token for each step that
    counted, and not at all where a prompt was only read in part. `chosen` is what the last step's logits make the next
    token, with its log-probability.
    """

    key: str
    running: RunningAsk | None
    output_ids: list[int]
    num_taken: int = 0
    chosen: tuple[int, float] = field(default=(NO_TOKEN, 0.0))

    @property
    def is_over(self) -> bool:
        """Nothing that is written from now on counts."""
        return self.running is None or self.running.is_over

    def take(self, tokens: TokenTable) -> bool:
        """Feed the course with what has been written since. True where something has."""
        if self.running is None or len(self.output_ids) <= self.num_taken or self.is_over:
            return False
        self.num_taken += 1
        token_id, logprob = self.chosen
        written = self.output_ids[self.num_taken - 1]
        self.running.feed(tokens.make_token(token_id if written == NO_TOKEN else written, logprob))
        return True


def begin(
    make_course: Callable[[], Course], encoded: Encoded, max_tokens: int, sampling: Sampling | None = None
) -> RunningAsk:
    """A fresh course, started. Raises what the course raises, and EngineError where it is over at once."""
    course = start_course(make_course, encoded)
    running = RunningAsk(course=course, max_tokens=max_tokens, sampling=sampling or Sampling())
    running.look()
    return running


def pack_course(
    make_course: Callable[[], Course], encoded: Encoded, max_tokens: int, sampling: Sampling | None = None
) -> bytes:
    """What a worker in another process needs to make the same course."""
    return pickle.dumps((make_course, dict(encoded), max_tokens, sampling))


def begin_packed(packed: bytes) -> RunningAsk:
    """A fresh course from `pack_course`, started."""
    return begin(*pickle.loads(packed))
