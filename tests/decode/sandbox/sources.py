"""Where a sandbox gets its bytes from in the tests, and whether a process still runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from framegate.pipelines.decode.sandbox.sandbox import Sandbox

MATROSKA = bytes.fromhex("1a45dfa3")


class Bytes:
    """A source in memory."""

    def __init__(self, data: bytes = MATROSKA) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.bytes_read = 0

    def read(self, start: int, end: int) -> bytes:
        self.bytes_read += end - start
        return self.data[start:end]


class FailsAfter(Bytes):
    """Storage that gives up after so many reads."""

    def __init__(self, data: bytes, num_reads: int, error: Exception) -> None:
        super().__init__(data)
        self.num_reads, self.error = num_reads, error

    def read(self, start: int, end: int) -> bytes:
        self.num_reads -= 1
        if self.num_reads < 0:
            raise self.error
        return super().read(start, end)


def is_running(pid: int) -> bool:
    """Not gone, and no zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def children() -> set[str]:
    """Numbers of all processes whose parent this one is, zombies among them."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


def read_some(sandbox: Sandbox, name: str, times_seconds: Sequence[float] = (1.0,)) -> np.ndarray:
    with sandbox.open(name, Bytes()) as reader:
        return reader.read(times_seconds, height=4, width=6).frames_THWC
