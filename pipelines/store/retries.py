"""Retries after transient errors: exponential back-off with full jitter, inside one budget of time.

Full jitter (any pause between nothing and the bound) spreads hundreds of workers that were turned away together.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from framegate.pipelines.store.errors import RetriesExhausted, is_transient

PATIENCE_SECONDS: Final = 120.0  # longer than a server needs to restart, or S3 to split a busy prefix
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 10.0

T = TypeVar("T")


class Pauses:
    """The pauses between the tries of one request."""

    def __init__(self, patience_seconds: float) -> None:
        self.num_failed = 0
        self._patience_seconds = patience_seconds
        self._started = time.monotonic()

    def after(self, error: Exception) -> float:
        """Seconds to wait after a try that failed. Raises the error itself where it is final, RetriesExhausted."""
        if not is_transient(error):
            raise error
        self.num_failed += 1
        longest = min(FIRST_PAUSE_SECONDS * 2 ** (self.num_failed - 1), LONGEST_PAUSE_SECONDS)
        pause = random.uniform(0, longest)
        passed = time.monotonic() - self._started
        if passed + pause > self._patience_seconds:
            raise RetriesExhausted(self.num_failed, passed) from error
        return pause


async def retry(request: Callable[[], Awaitable[T]], patience_seconds: float) -> T:
    """The answer to a request; each call of `request` is one try. Raises RetriesExhausted, or the final error."""
    pauses = Pauses(patience_seconds)
    while True:
        try:
            return await request()
        except Exception as error:
            pause = pauses.after(error)
        await asyncio.sleep(pause)


def retry_blocking(request: Callable[[], T], patience_seconds: float) -> T:
    """`retry` for a request that blocks."""
    pauses = Pauses(patience_seconds)
    while True:
        try:
            return request()
        except Exception as error:
            pause = pauses.after(error)
        time.sleep(pause)
