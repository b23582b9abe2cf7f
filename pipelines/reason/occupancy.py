"""How full an engine is kept, and why not fuller: wall time of one worker by what its units were doing.

The worker tells where its units are, the engine's thread how much the engine has to do, each from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

Place = Literal["arriving", "asked", "leaving"]
"""Where a unit is: on its way to the engine, given to it, or answered and on its way to storage."""

STATES: Final[dict[str, str]] = {
    "full": "the engine had at least as many questions as it has slots",
    "short": "it had fewer, and no unit was on its way to it: decoding was behind, or the end was near",
    "short_beside_units": "it had fewer while units were on their way to it: looked up, noted, or waiting for a turn",
    "loading": "units waited for the engine to be built",
    "before_first": "no unit had come yet",
    "no_unit": "it had nothing, and no unit was there: decoding was behind",
    "arriving": "it had nothing while units were on their way to it",
    "leaving": "it had nothing, and all units were on their way to storage",
}
"""What the seconds of `Occupancy.read` are spent in. The last five are those in which an engine starves."""


class Occupancy:
    """Sums wall seconds by state, since it was made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._num_at: Counter[str] = Counter()
        self._num_asks = 0
        self._num_slots: int | None = None
        self._state = "before_first"
        self._since = clock()
        self._seconds = dict.fromkeys(STATES, 0.0)

    @contextmanager
    def unit(self) -> Iterator[Callable[[Place], None]]:
        """One unit is here for as long as this lasts: it arrives, and goes where it is told to."""
        places: list[Place] = ["arriving"]

        def move(place: Place) -> None:
            places.append(place)
            self._change(places[-2], place)

        self._change(None, "arriving")
        try:
            yield move
        finally:
            self._change(places[-1], None)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """The engine is being built for as long as this lasts."""
        self._change(None, "loading")
        try:
            yield
        finally:
            self._change("loading", None)

    def hold(self, num_asks: int, num_slots: int | None) -> None:
        """The engine has so many asks that have not come back yet, and so many slots (None: it takes all)."""
        with self._lock:
            self._num_asks, self._num_slots = num_asks, num_slots
            self._settle()

    def reset(self) -> None:
        """Counts from now on, as if nothing had come yet."""
        with self._lock:
            self._state, self._since = "before_first", self._clock()
            self._seconds = dict.fromkeys(STATES, 0.0)

    def read(self) -> dict[str, float]:
        """Seconds in each of STATES until now."""
        with self._lock:
            self._settle()
            return dict(self._seconds)

    def _change(self, before: str | None, after: str | None) -> None:
        with self._lock:
            self._num_at.update({before: -1} if before else {})
            self._num_at.update({after: 1} if after else {})
            self._settle()

    def _settle(self) -> None:
        now = self._clock()
        self._seconds[self._state] += now - self._since
        self._since = now
        self._state = self._find_state()

    def _find_state(self) -> str:
        if self._num_asks:
            if self._num_slots is None or self._num_asks >= self._num_slots:
                return "full"
            return "short_beside_units" if self._num_at["arriving"] else "short"
        for place in ("loading", "arriving", "asked", "leaving"):
            if self._num_at[place]:
                return "arriving" if place == "asked" else place
        return "before_first" if self._state == "before_first" else "no_unit"
