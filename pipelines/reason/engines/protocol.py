"""The seam between the flow and a model: what every engine does, and nothing of how.

An engine knows nothing of Ray, storage or SQL. It outlives any batch: requests are added while others run, and
whatever has finished comes back from `step`, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from framegate.schemas.clip import FrameBatch
from framegate.schemas.qa import Answer, Question


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """All questions that are open on one clip. `id` is the caller's, unique among the requests in the engine."""

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


class Engine(Protocol):
    """`add` takes work at any time; `step` moves all running work forward and returns what has finished.

    Every question of every added request comes back exactly once. `step` on an idle engine returns an empty list.
    """

    def add(self, request: ClipRequest) -> None: ...

    def step(self) -> Sequence[Finished]: ...

    @property
    def num_unfinished(self) -> int:
        """Questions that were added and have not come back yet."""
        ...


@runtime_checkable
class HasSlots(Protocol):
    """An engine that tells how many questions it runs at once. Twice as many are then given to it, and no more, so
    that the next ones wait inside. An engine that does not tell gets all that there is."""

    @property
    def num_slots(self) -> int: ...
