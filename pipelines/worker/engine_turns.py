"""Who may go to the engine now: as many questions as keep it busy, or one unit that must be alone.

Threads wait here for their turn. Knows nothing of units, engines or storage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Turns at one engine."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_rows = 0
        self._num_inside = 0
        self._num_waiting_alone = 0
        self._is_alone = False

    @contextmanager
    def together(self, num_rows: int, max_rows: int | None) -> Iterator[None]:
        """A turn beside others, once fewer than `max_rows` questions have one (None: at once). Who waits to be alone
        goes first. With nobody there it is given whatever `num_rows` is."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_free(max_rows))
            self._num_inside += 1
            self._num_rows += num_rows
        try:
            yield
        finally:
            with self._changed:
                self._num_inside -= 1
                self._num_rows -= num_rows
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A turn in which nobody else has one: it begins when all others are over."""
        with self._changed:
            self._num_waiting_alone += 1
            try:
                self._changed.wait_for(lambda: not self._num_inside and not self._is_alone)
                self._is_alone = True
            finally:
                self._num_waiting_alone -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

    @property
    def is_anyone_waiting_alone(self) -> bool:
        return self._num_waiting_alone > 0

    def _is_free(self, max_rows: int | None) -> bool:
        if self._is_alone or self.is_anyone_waiting_alone:
            return False
        return not self._num_inside or max_rows is None or self._num_rows < max_rows
