"""What every engine does: it runs asks.

An engine outlives any batch: asks are added while others run, and whatever has finished comes back from `step`, in any
order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from framegate.pipelines.reason.strategies.protocol import Ask, Capability, FinishedAsk


class Engine(Protocol):
    """`add` takes work at any time; `step` moves all running work forward and returns what has finished.

    Every ask that was added comes back exactly once. `step` on an idle engine returns an empty list.
    """

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    @property
    def num_slots(self) -> int | None:
        """How many asks run at once, at most: three times as many questions are then given to it, so that some may be
        paused and the next ones wait inside. None: it takes all that there is."""
        ...

    @property
    def num_unfinished(self) -> int:
        """Asks that were added and have not come back yet."""
        ...

    def add(self, ask: Ask) -> None: ...

    def step(self) -> Sequence[FinishedAsk]: ...


EngineFactory = Callable[[], Engine]
