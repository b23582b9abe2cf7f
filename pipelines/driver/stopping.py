"""Why a run should stop, as one value: signals, the deadline and watchers set it, and every phase looks at it.

The first reason stays. Whoever waits looks again each TICK_SECONDS, so that a stop needs no receipt, and no exception
that strikes in the middle of something. What the run does then has to fit into `seconds_left`; `driver.signals` ends
a process that takes longer.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from framegate.schemas.clock import now
from framegate.schemas.errors import RunStopped
from framegate.schemas.run import Deadline, Stop

TICK_SECONDS: Final = 0.2
Made = TypeVar("Made")


class Stopping:
    """The stop of one run, asked for or not. Any thread and signal handler may look and ask: no lock is held."""

    def __init__(self, deadline: Deadline | None = None) -> None:
        self._deadline = deadline
        self._stop: Stop | None = None
        self._over_by: float | None = None  # of the monotonic clock
        self.reserve_seconds: Callable[[], float] = lambda: 0.0
        """How long before the deadline the run has to stop asking, as far as is known now."""

    @property
    def has_deadline(self) -> bool:
        return self._deadline is not None

    @property
    def deadline_seconds(self) -> float | None:
        """How long it is until the deadline, 0 at least; None where there is none."""
        return None if self._deadline is None else max(0.0, (self._deadline.at - now()).total_seconds())

    @property
    def reason(self) -> Stop | None:
        """Why the run should stop; None while it should not."""
        if self._stop is None and self._deadline is not None:
            left_seconds = (self._deadline.at - now()).total_seconds()
            if left_seconds <= self.reserve_seconds():
                sentence = f"the deadline ({self._deadline.said}) would pass before all was done and sealed"
                self.ask(Stop(code="deadline", sentence=sentence), over_in_seconds=max(0.0, left_seconds))
        return self._stop

    def ask(self, stop: Stop, *, over_in_seconds: float | None = None) -> None:
        """The run should stop, and be over by then; None: as soon as it has done what it has to."""
        if self._stop is None:
            self._over_by = None if over_in_seconds is None else time.monotonic() + over_in_seconds
            self._stop = stop

    def hurry(self, *, over_in_seconds: float) -> None:
        """Whatever the reason, the run has to be over by then at the latest."""
        over_by = time.monotonic() + over_in_seconds
        self._over_by = over_by if self._over_by is None else min(self._over_by, over_by)

    def seconds_left(self) -> float | None:
        """How long the run may take from now on; None where nothing bounds it."""
        return None if self._over_by is None else max(0.0, self._over_by - time.monotonic())

    def check(self) -> None:
        """Raises RunStopped where the run should stop."""
        if (stop := self.reason) is not None:
            raise RunStopped(stop)

    def call(self, work: Callable[[], Made]) -> Made:
        """What `work` returns or raises. Raises RunStopped as soon as the run should stop, and leaves `work` to itself.

        For work that may break off anywhere: it goes on in a thread of its own, which ends with the process.
        """
        side = _Side(work)
        while not side.is_done(TICK_SECONDS):
            self.check()
        return side.outcome()

    def finish(self, work: Callable[[], Made], *, keep_seconds: float) -> Made | None:
        """What `work` returns or raises; None, leaving it to itself, where it would take of the last `keep_seconds`.

        For work that is to be done although the run stops, and may break off anywhere.
        """
        side = _Side(work)
        while not side.is_done(TICK_SECONDS):
            left_seconds = self.seconds_left()
            if left_seconds is not None and left_seconds <= keep_seconds:
                return None
        return side.outcome()


class _Side(Generic[Made]):
    """Work in a thread of its own."""

    def __init__(self, work: Callable[[], Made]) -> None:
        self._work, self._context = work, contextvars.copy_context()
        self._made: list[Made] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="beside the driver", daemon=True)
        self._thread.start()

    def is_done(self, wait_seconds: float) -> bool:
        self._thread.join(wait_seconds)
        return not self._thread.is_alive()

    def outcome(self) -> Made:
        if self._error is not None:
            raise self._error
        return self._made[0]

    def _run(self) -> None:
        try:
            self._made.append(self._context.run(self._work))
        except BaseException as error:
            self._error = error
