"""What a strategy is: it says what the model is asked about one question at one clip, and what the outcomes mean.

    begin(clip, question) ──asks──> engine ──finished asks──> after(finished) ──more asks──> engine
                                                                  ├──answer
                                                                  └──None: wait for the asks that are still open

A strategy is a value: frozen, free of torch and Ray, with nothing kept between calls. An engine runs asks and knows no
strategy. One ask is one sequence of tokens over one clip; its `Course` says, token by token, what was written, what
must be written next, and when it is over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from framegate.pipelines.reason.asking.prompt import PromptText
from framegate.schemas.clip import ClipSteps, FrameBatch
from framegate.schemas.config.pruning import PruneConfig
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question

Capability = Literal[
    "sampling",  # asks with a temperature above 0
    "distribution",  # tokens that carry the entropy of their distribution, and their margin
    "logits",  # courses that change the logits of the next token
    "value_cache",  # courses that change values in the cache
    "pruning",  # clips that are pruned in another way than the job says, or not at all
]


CAPABILITY_MEANINGS: Mapping[Capability, str] = MappingProxyType(
    {
        "sampling": "tokens that are drawn",
        "distribution": "the distribution of each token",
        "logits": "a change of logits",
        "value_cache": "a change of values in the cache",
        "pruning": "clips that are pruned in another way than the job says",
    }
)
"""As a sentence says that they are missing."""


def describe_missing(missing: Iterable[Capability]) -> str:
    return ", ".join(f"{CAPABILITY_MEANINGS[name]} ({name})" for name in sorted(missing))


class Token(NamedTuple):
    """One token that was written. `piece` are its bytes; a token that ends the turn writes none.

    `logprob` is of the raw logits over the full vocabulary. `entropy`, in nats, and `margin` are there where the ask
    needs them; the margin is the token's probability minus that of the most probable other one.
    """

    id: int
    piece: bytes
    logprob: float
    ends_turn: bool = False
    entropy: float | None = None
    margin: float | None = None


class Course(Protocol):
    """What the tokens of one ask mean. An engine calls `start` once, then `append` until `is_over`.

    forced        ids that the engine must write next, in place of the model's own choice; it takes them from the left
    is_over       nothing more is written
    is_thinking   it has many tokens still to write: engines keep such sequences together
    """

    forced: deque[int]

    @property
    def is_over(self) -> bool: ...

    @property
    def is_thinking(self) -> bool: ...

    def start(self, encoded: Mapping[str, Sequence[int]]) -> None:
        """`encoded` has the token ids of each text in the ask's `budget.forced_texts`."""
        ...

    def append(self, token: Token) -> None: ...


class SteeredCourse(Course, Protocol):
    """The course of an ask with a `value_control`: it says how the distribution of the next token shall change."""

    @property
    def entropy_sign(self) -> Literal[-1, 0, 1]:
        """1: to a higher entropy; -1: to a lower one; 0: it stays."""
        ...


def start_course(make_course: Callable[[], Course], encoded: Mapping[str, Sequence[int]]) -> Course:
    """A fresh course, started. Raises what it raises, and EngineError where it is over before its first token."""
    course = make_course()
    course.start(encoded)
    if course.is_over:
        raise EngineError("the course of the ask is over before its first token")
    return course


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen. Temperature 0: the most probable one. Above 0: one drawn from softmax(logits /
    temperature), cut to the smallest set that has the probability `top_p`; the same seed draws the same tokens."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ValueControl:
    """Numbers that are added to the values of the video's tokens in the last layer's cache, for one ask alone and while
    its course thinks. Each time that the course's `entropy_sign` is not 0, one step along the gradient of the next
    token's entropy changes them: before that token is chosen, and in that direction.

    rate   the norm of a step, as a share of the norm of these values; 0: nothing is added
    keep   share of the video's tokens, rounded up, that the ask sees while it thinks: those whose values have the
           largest norms in the last layer. The others are hidden from it in all layers. 1: all
    """

    rate: float
    keep: float = 1.0

    def num_kept(self, num_video_tokens: int) -> int:
        return math.ceil(self.keep * num_video_tokens)


@dataclass(frozen=True, kw_only=True)
class TokenBudget:
    """The most that one ask writes: `num_tokens` of the model's choice, and each of `forced_texts` once. An ask whose
    course goes on beyond that fails. `num_carried` tokens, at most, stand in its prompt beside the question: `carried`
    ones, or words of the strategy."""

    num_tokens: int
    forced_texts: tuple[str, ...] = ()
    num_carried: int = 0

    def max_tokens(self, count: Callable[[str], int]) -> int:
        """`count` gives the number of tokens of a text, or a bound on it."""
        return self.num_tokens + sum(count(text) for text in self.forced_texts)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFrames:
    """A clip that is asked about. Asks of one `ClipFrames` object with the same `frames` share their prefix.

    `id` is the caller's, and another one each time the clip is asked about. `key` stays the same; it is empty where the
    clip is of no archive.
    `given` has, by question_hash, first answers that are there already and are gone on from.
    `think_below` bounds who may think, as `pace` of `schemas.spending.Ledger`; 0: none does.
    `prune` says which of its video tokens are left out, in place of the job's `frames.prune`; None: as the job says.
    """

    id: str
    frames: FrameBatch
    start_seconds: float
    key: str = ""
    given: Mapping[str, GivenAnswer] = field(default_factory=dict)
    think_below: float | None = None
    prune: PruneConfig | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """One sequence that an engine shall run. Two asks are never equal: an engine hands back the object that it got.

    frames               which of the clip's frames it sees, by increasing index; None: all of them
    suffix               the text between the video and the first token that the model writes; what of it a person wrote
                         stands in a PromptText as ordinary text
    carried              ids of tokens behind the suffix, as an earlier ask wrote them: they are read and not written
    make_course          makes a fresh course; picklable, as a worker in another process may have to make its own, and
                         called again where the engine must begin the ask anew
    needs_distribution   tokens carry their entropy and their margin
    until_thinking       of these, those alone that follow while the course does not say `is_thinking`
    value_control        where there is one, courses are `SteeredCourse`
    in_step              it begins when each open question of its clip waits for such an ask, or is over: those that see
                         the same frames then share a prefix
    label                the strategy's own name for it
    """

    clip: ClipFrames
    question: Question
    suffix: str | PromptText
    make_course: Callable[[], Course]
    budget: TokenBudget
    carried: tuple[int, ...] = ()
    frames: tuple[int, ...] | None = None
    sampling: Sampling = Sampling()
    needs_distribution: bool = False
    until_thinking: bool = False
    value_control: ValueControl | None = None
    in_step: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        if self.frames is not None and not isinstance(self.frames, tuple):
            raise TypeError(f"frames of an ask must be None or a tuple of indexes, got {self.frames!r}")


@dataclass(frozen=True, kw_only=True)
class FinishedAsk:
    """An ask that came to its end: its course is over, or there is a failure's reason code and message.

    `num_prompt_tokens` includes `num_video_tokens`; `num_video_tokens_full` is what these were before pruning, None
    where the engine does not prune. `engine_seconds` is its share of the engine's busy time, so that
    the sum over all asks is the whole. Of these, `prompt_seconds` went by before the first token was there, and
    `thinking_seconds` on tokens that followed when its course said `is_thinking`.
    `clip_embedding`, where the engine gives one and the ask saw all frames of the clip: float32 (E,) of length 1.
    `clip_steps` likewise: what the vision tower ran of the clip.
    """

    ask: Ask
    course: Course | None
    num_prompt_tokens: int = 0
    num_video_tokens: int = 0
    num_video_tokens_full: int | None = None
    engine_seconds: float = 0.0
    prompt_seconds: float = 0.0
    thinking_seconds: float = 0.0
    clip_embedding: np.ndarray | None = None
    clip_steps: ClipSteps | None = None
    failure_reason: str | None = None
    failure_message: str | None = None


class Strategy(Protocol):
    """How one question at one clip is answered. Any one can also be the second step of a gate (`strategies.inner`).

    name        as a job says it in `gate.strategy`
    needs       what an engine must be capable of; a job on another engine is refused before it starts
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Capability]: ...

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        """The first asks, at least one."""
        ...

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        """What follows from the asks of one question that have come back, none of which failed, the newest last.

        More asks, the answer, or None to wait for one of `num_open` others. With none open, None is an error.
        """
        ...

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """One for each ask that the question may lead to. Slots, contexts and estimates are computed from these."""
        ...

    def document(self) -> dict[str, Any]:
        """What of it can change an answer: its part of config_id."""
        ...
