"""Wear: whether an engine's process has lived or grown enough to be replaced by a new one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from framegate.schemas.config import EngineConfig

_STATUS = Path("/proc/self/status")
MIB = 2**20


def private_bytes() -> int:
    """Resident memory that is this process's own. Frames of units lie in memory shared with Ray, and do not count.

    0 where there is no /proc (macOS): growth is then not bounded.
    """
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no line RssAnon; engine.max_growth_mib needs Linux 4.5 or newer")


class Wear:
    """Counts from the first answer on: by then the model is loaded and its buffers are made. From any thread."""

    def __init__(
        self,
        limits: EngineConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        read_bytes: Callable[[], int] = private_bytes,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._read_bytes = read_bytes
        self._since: float | None = None
        self._first_bytes = 0

    def look(self) -> str | None:
        """Called after each answer. Why the process should be replaced, or None."""
        num_bytes = self._read_bytes()
        if self._since is None:
            self._since, self._first_bytes = self._clock(), num_bytes
        if (seconds := self._clock() - self._since) > self._limits.max_lifetime:
            return f"it is {seconds:,.0f} s old, and engine.max_lifetime is {self._limits.max_lifetime:,.0f} s"
        if (grown := num_bytes - self._first_bytes) > self._limits.max_growth_mib * MIB:
            return f"it has grown by {grown / MIB:,.0f} MiB, and engine.max_growth_mib is {self._limits.max_growth_mib}"
        return None
