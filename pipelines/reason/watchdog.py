"""A watchdog over native code: what does not come back in time is told of, and the process ends in any case.

A thread of Python looks at the clock, and tells of what is late. Where native code holds the interpreter's lock no such
thread runs. So it also winds up a timer in C (`faulthandler`) that ends the process unless it is wound up again. Both
print where every thread stands to stderr.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

STDERR = 2  # the file descriptor: a worker's sys.stderr may be something else
BEATS = 8  # of the watching thread in one deadline: so much of it a late step may be seen too late
MAX_BEAT_SECONDS = 60.0


class Late(NamedTuple):
    """`what` has not come back for more than `max_seconds`."""

    what: str
    max_seconds: float


class _Watched(NamedTuple):
    what: str
    max_seconds: float
    began_seconds: float


class Watchdog:
    """Watches one thing at a time. At most one per process, as there is one timer in C.

    `on_late` is called in the watchdog's thread, once, and is the last thing it does. Where it cannot be called, the
    process ends with exit code 1, between one and 1.5 times `max_seconds` after it began.
    """

    def __init__(self, on_late: Callable[[Late], None], *, max_seconds: float) -> None:
        """`max_seconds`: the least that anything watched may take."""
        self._on_late = on_late
        self._max_seconds = max_seconds
        self._beat_seconds = min(max_seconds / BEATS, MAX_BEAT_SECONDS)
        self._watched: _Watched | None = None
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="engine-watchdog", daemon=True)

    def start(self) -> None:
        self._wind_up(self._max_seconds)
        self._thread.start()

    @contextmanager
    def watch(self, what: str, max_seconds: float) -> Iterator[None]:
        """What happens in here should take at most so long. Costs a microsecond, but where it may take longer than the
        least: then the timer is wound up before the thread looks, as the code in here or behind may keep it out."""
        watched = _Watched(what, max_seconds, time.monotonic())
        if max_seconds <= self._max_seconds:
            self._watched = watched
            try:
                yield
            finally:
                self._watched = None
            return
        self._set(watched)
        try:
            yield
        finally:
            self._set(None)

    def _set(self, watched: _Watched | None) -> None:
        with self._lock:
            self._watched = watched
            self._wind_up(self._max_seconds if watched is None else watched.max_seconds)

    def close(self) -> None:
        """Nothing is watched any more, and the timer is stopped."""
        self._is_closed.set()
        if self._thread.ident and self._thread is not threading.current_thread():
            self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._is_closed.wait(self._beat_seconds):
            watched = self._watched
            if watched is not None and time.monotonic() - watched.began_seconds > watched.max_seconds:
                self._wind_up(self._max_seconds)  # what is done about it may hang as well
                faulthandler.dump_traceback(STDERR, all_threads=True)
                self._on_late(Late(watched.what, watched.max_seconds))
                return
            with self._lock:  # a long one that ends just now must not leave a long timer behind
                watched = self._watched
                self._wind_up(self._max_seconds if watched is None else watched.max_seconds)

    def _wind_up(self, max_seconds: float) -> None:
        """The process ends so long from now, unless this is called again. Two beats: the thread goes first if it can,
        and what begins just after a beat has its time."""
        faulthandler.dump_traceback_later(max_seconds + 2 * self._beat_seconds, exit=True, file=STDERR)
