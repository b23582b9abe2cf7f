"""Where the driver of vLLM and its worker meet, if one process holds both.

vLLM builds its logits processors itself, deep inside. While it does, a desk lies open in the driver's context; the
processor that finds it there takes its sequences from it instead of making its own. A worker in another process finds
none, and the driver then follows from outside. Free of vLLM.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from framegate.pipelines.reason.engines.vllm.worker_rows import Row, TokenTable
from framegate.pipelines.reason.strategies.sequence import GatedSequence


class RunningBatch(Protocol):
    """The processor, as the driver sees it."""

    def take_new_tokens(self) -> list[Row]:
        """Feed every sequence of the batch with what the last step produced; the rows that got a token."""
        ...

    def __len__(self) -> int: ...


class Desk:
    """`sequences` are the driver's, by request key; `batch` is there once the worker's processor has come by."""

    def __init__(self, tokens: TokenTable) -> None:
        self.tokens = tokens
        self.sequences: dict[str, GatedSequence] = {}
        self.batch: RunningBatch | None = None
        self._pid = os.getpid()

    @contextmanager
    def open(self) -> Iterator[None]:
        """A processor that is built meanwhile, in this process, finds this desk."""
        token = _OPEN.set(self)
        try:
            yield
        finally:
            _OPEN.reset(token)

    @staticmethod
    def find() -> Desk | None:
        """The open desk; None where there is none, and in a forked process, which has a copy of it alone."""
        desk = _OPEN.get()
        return desk if desk is not None and desk._pid == os.getpid() else None


_OPEN: ContextVar[Desk | None] = ContextVar("framegate_vllm_desk", default=None)
