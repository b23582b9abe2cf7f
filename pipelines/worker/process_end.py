"""How a worker ends its own process: at once after a fault, or when all that it has begun is committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from framegate.pipelines.worker.engine_admission import EngineAdmission

REPLY_SECONDS = 1.0  # for receipts on their way to Ray; a unit whose receipt is lost is looked up in the journal again


class ProcessEnd:
    """Ends this process by `end`, which should not return. Called from many threads; the first cause counts."""

    def __init__(self, end: Callable[[BaseException], object], admission: EngineAdmission) -> None:
        self._end = end
        self._admission = admission
        self._changed = threading.Condition()
        self._num_begun = 0
        self._is_worn = False

    @contextmanager
    def begun(self) -> Iterator[None]:
        """A unit is begun, and not committed, for as long as this lasts. Enter it while admitted to the engine."""
        with self._changed:
            self._num_begun += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_begun -= 1
                self._changed.notify_all()

    def soon(self, error: BaseException) -> None:
        """Lets no unit in any more, and ends the process after REPLY_SECONDS."""
        self._admission.shut()
        self._in_thread(lambda: self._after_replies(error))

    def wait_for_it(self, error: BaseException) -> NoReturn:
        """`soon`, and the caller never goes on: its unit is tried again by another process."""
        self.soon(error)
        while True:
            time.sleep(REPLY_SECONDS)

    def when_done(self, error: BaseException) -> None:
        """Lets no unit in any more, and ends the process when those that are begun are committed. Returns at once."""
        with self._changed:
            if self._is_worn:
                return
            self._is_worn = True
        self._in_thread(lambda: self._drain(error))

    def _drain(self, error: BaseException) -> None:
        self._admission.close()  # whoever has left it has entered `begun` before
        with self._changed:
            self._changed.wait_for(lambda: not self._num_begun)
        self._after_replies(error)

    def _after_replies(self, error: BaseException) -> None:
        time.sleep(REPLY_SECONDS)
        self._end(error)

    def _in_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="process-end", daemon=True).start()
