"""An ask, and the clip that it is about, from the moment they are added to the engine until they have come back.

One object each holds all that is known of it. Who sets a field is said beside it; nobody keeps records of their own.
There are no tensors here: a prompt is its length, keys and values are a slot of the cache.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, Course, start_course
from framegate.schemas.clip import ClipSteps
from framegate.schemas.config.pruning import PruneConfig

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class Clip:
    """A clip with asks that have not come back. Its prefix, system turn and video, is run once for all of them."""

    source: ClipFrames
    frames: tuple[int, ...] | None = None  # as in `Ask`
    prune: PruneConfig | None = None  # which video tokens are left out; None: none is
    num_prefix_tokens: int  # where it is pruned: at most, until its prefix has been run
    num_video_tokens: int = 0  # of these
    num_video_tokens_full: int | None = None  # before pruning; None where it is not pruned
    num_prefix_positions: int = 0  # the position of what follows the prefix

    # Set by the scheduler.
    waiting: deque[Request] = field(default_factory=deque)
    num_running: int = 0
    was_alone: bool = False  # one of its asks ran, and no other, when memory ran out

    # Set by the runner, when its prefix has been run.
    video_places: np.ndarray = field(init=False)  # of the video's tokens in the prefix
    embedding: np.ndarray | None = None  # as in `FinishedAsk`
    steps: ClipSteps | None = None  # likewise

    # Set by the cache.
    is_in_slot: bool = False
    next_position: int = field(init=False)  # of the token after the prefix, from when it is in a slot


@dataclass(kw_only=True, eq=False)
class Request:
    """One ask. Its own tokens are all that follow the clip's prefix: its suffix, and what the model writes."""

    ask: Ask
    clip: Clip
    suffix_ids: Sequence[int]
    max_own_tokens: int
    control_bytes: int = 0  # that its `value_control` takes, at most

    # Set by the engine.
    seconds: float = 0.0  # its share of the engine's time so far
    prompt_seconds: float = 0.0  # of these, before its first token
    thinking_seconds: float = 0.0  # of these, while its course was thinking
    course: Course = field(init=False)  # from `begin` on
    draws: random.Random = field(init=False)  # from `begin` on
    next_token: int = field(init=False)  # written and not yet run, from when the suffix has been run

    # Set by the cache, from when it is in a slot.
    num_own_tokens: int = field(init=False)
    next_position: int = field(init=False)
    is_in_front: bool = field(init=False)  # it stands among those that think

    @property
    def num_prompt_tokens(self) -> int:
        return self.clip.num_prefix_tokens + len(self.suffix_ids)

    @property
    def num_written(self) -> int:
        """Tokens so far; the last one of them is not in the cache yet."""
        return self.num_own_tokens - len(self.suffix_ids) + 1

    @property
    def is_used_up(self) -> bool:
        """Nothing more may be written."""
        return self.num_own_tokens + 1 >= self.max_own_tokens

    @property
    def is_plain(self) -> bool:
        """The most probable token is taken, and nothing more is told of its distribution."""
        return self.ask.sampling.temperature <= 0 and not self.is_told

    @property
    def is_told(self) -> bool:
        """Its next token carries what the ask needs of the distribution."""
        return self.ask.needs_distribution and not (self.ask.until_thinking and self.is_in_front)

    def begin(self, encode: Callable[[str], Sequence[int]]) -> None:
        """Start a course; anew where the ask ran before and was stopped: it then draws the same tokens again."""
        encoded = {text: encode(text) for text in self.ask.budget.forced_texts}
        self.course = start_course(self.ask.make_course, encoded)
        self.draws = random.Random(self.ask.sampling.seed)

    def advance(self, num_tokens: int) -> None:
        """So many more of its own tokens are in the cache."""
        self.num_own_tokens += num_tokens
        self.next_position += num_tokens


def cut_batches(items: Sequence[T], num_tokens: Callable[[T], int], max_tokens: int) -> Iterator[Sequence[T]]:
    """Consecutive items that have `max_tokens` tokens together at most; at least one item each."""
    start = total = 0
    for end, item in enumerate(items):
        count = num_tokens(item)
        if end > start and total + count > max_tokens:
            yield items[start:end]
            start, total = end, 0
        total += count
    if items:
        yield items[start:]
