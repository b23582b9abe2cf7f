"""Who may be at the engine: many units beside each other, as many as keep it busy, or one unit alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class EngineAdmission:
    """A lock with two modes, for many threads: shared up to a number of questions, and exclusive. `shut` ends both."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_questions = 0
        self._num_sharing = 0
        self._num_waiting_exclusive = 0
        self._is_exclusive = False
        self._is_closed = False

    @contextmanager
    def shared(self, num_questions: int, max_questions: int | None) -> Iterator[Callable[[], None]]:
        """Waits until fewer than `max_questions` questions are admitted; None: no bound.

        Callers of `exclusive` go first. Where nobody is admitted, the caller enters even if `num_questions` is above
        `max_questions`. What is given is to be called for each question that is answered, from any thread: others may
        come in its place while the caller waits for the last one.
        """
        num_open = num_questions

        def answered() -> None:
            nonlocal num_open
            with self._changed:
                if not num_open:  # the caller has left, and its questions with it
                    return
                num_open -= 1
                self._num_questions -= 1
                # One only: those that wait may be hundreds of threads, and the next answer wakes the next of them.
                # Who must be alone is woken where a caller leaves.
                self._changed.notify()

        with self._changed:
            self._changed.wait_for(lambda: self._may_share(max_questions))
            self._num_sharing += 1
            self._num_questions += num_questions
        try:
            yield answered
        finally:
            with self._changed:
                self._num_sharing -= 1
                self._num_questions -= num_open
                num_open = 0
                self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Waits until everybody has left, and keeps all others out."""
        with self._changed:
            self._num_waiting_exclusive += 1
            try:
                self._changed.wait_for(lambda: not self._is_closed and self._is_empty)
                self._is_exclusive = True
            finally:
                self._num_waiting_exclusive -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()

    def shut(self) -> None:
        """Lets nobody in any more: who waits to be let in waits for ever."""
        with self._changed:
            self._is_closed = True

    def close(self) -> None:
        """`shut`, and waits until everybody has left."""
        self.shut()
        with self._changed:
            self._changed.wait_for(lambda: self._is_empty)

    @property
    def _is_empty(self) -> bool:
        return not self._num_sharing and not self._is_exclusive

    @property
    def is_exclusive_awaited(self) -> bool:
        return self._num_waiting_exclusive > 0

    def _may_share(self, max_questions: int | None) -> bool:
        if self._is_closed or self._is_exclusive or self.is_exclusive_awaited:
            return False
        return not self._num_sharing or max_questions is None or self._num_questions < max_questions
