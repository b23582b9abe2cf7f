"""SIGTERM, SIGINT and SIGHUP while a run is at work: the first asks it to stop, a second one ends the process at once.

A run that was asked has `grace_seconds` to end in order. A process that is still there then ends itself: schedulers
send SIGKILL some seconds later, and what is committed stays either way. Ray's processes die with their driver.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from framegate.pipelines.driver.stopping import Stopping
from framegate.schemas.run import Stop

HEEDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EXIT_SIGNALLED: Final = 128
"""Plus the signal's number: how a shell reports a program that a signal ended."""
ONE_STOP_SECONDS: Final = 1.0
"""`timeout` signals the process and then its group; systemd can send SIGHUP behind SIGTERM: one wish, not two."""

_heeding: list[_Heeding] = []


@contextmanager
def heed_signals(stopping: Stopping, *, grace_seconds: float) -> Iterator[None]:
    """In here the signals ask `stopping`. Does nothing in another thread than the main one, or inside of itself.

    A signal that the process was started to ignore (nohup; a shell's background job) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread() or _heeding:
        yield
        return
    heeding = _Heeding(stopping, grace_seconds)
    before = {number: signal.getsignal(number) for number in HEEDED}
    _heeding.append(heeding)
    try:
        heed_again()
        yield
    finally:
        _heeding.clear()
        heeding.is_over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def heed_again() -> None:
    """Sets the handlers again where another library may have set its own."""
    for heeding in _heeding:
        for number in HEEDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, heeding.handle)


class _Heeding:
    def __init__(self, stopping: Stopping, grace_seconds: float) -> None:
        self._stopping, self._grace_seconds = stopping, grace_seconds
        self._first_at: float | None = None
        self.is_over = threading.Event()

    def handle(self, number: int, _frame: FrameType | None) -> Any:
        at = time.monotonic()
        if self._first_at is None:
            self._first_at = at
            stop = Stop(code="signal", sentence=f"signal {signal.Signals(number).name}", signal_number=number)
            self._stopping.ask(stop)
            self._stopping.hurry(over_in_seconds=self._grace_seconds)
            threading.Thread(target=self._watch_grace, args=(number,), name="grace", daemon=True).start()
        elif at - self._first_at > ONE_STOP_SECONDS:
            _end(number, "stopped at once by a second signal")

    def _watch_grace(self, number: int) -> None:
        if not self.is_over.wait(self._grace_seconds):
            _end(number, f"not over {self._grace_seconds:g} s (run.grace_seconds) after the signal, and ended there")


def _end(number: int, sentence: str) -> None:
    """Ends the process as a shell would report it. By `os.write`: a signal may have come in the middle of a print."""
    os.write(2, f"{sentence}; everything committed is kept; the next run goes on from there\n".encode())
    os._exit(EXIT_SIGNALLED + number)
