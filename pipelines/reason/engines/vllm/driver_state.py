"""What the driver of vLLM shares with its worker where one process holds both.

vLLM builds its logits processors itself, deep inside. While it does, the driver's state is published in a context
variable, and the processor that finds it there takes its courses from it. A worker in another process finds none and
makes its own courses; the driver then follows from outside. Free of vLLM.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from framegate.pipelines.reason.engines.vllm.sequence import Row, RunningAsk, TokenTable


class RunningBatch(Protocol):
    """The logits processor, as the driver sees it."""

    def take_new_tokens(self) -> list[Row]:
        """Feed every course of the batch with what the last step wrote; the rows that got a token."""
        ...

    def __len__(self) -> int: ...


class DriverState:
    """`running` are the driver's asks by request key. The worker's processor sets `batch` when it is built."""

    def __init__(self, tokens: TokenTable) -> None:
        self.tokens = tokens
        self.running: dict[str, RunningAsk] = {}
        self.batch: RunningBatch | None = None
        self._pid = os.getpid()

    @contextmanager
    def published(self) -> Iterator[None]:
        """A processor that is built meanwhile, in this process, finds this state."""
        token = _PUBLISHED.set(self)
        try:
            yield
        finally:
            _PUBLISHED.reset(token)

    @staticmethod
    def find() -> DriverState | None:
        """What is published; None where nothing is, and in a forked process, which has only a copy of it."""
        state = _PUBLISHED.get()
        return state if state is not None and state._pid == os.getpid() else None


_PUBLISHED: ContextVar[DriverState | None] = ContextVar("framegate_vllm_driver_state", default=None)
