"""A pipe between a benchmark and the process that it started: when the benchmark ends, so does the child.

Otherwise a killed benchmark would leave a process behind that keeps computing for minutes on the cores that the next
benchmark measures. This module does not import torch, so that a child can follow the pipe before it imports anything.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hold_lifeline() -> Iterator[int]:
    """The descriptor for a child, started meanwhile as the head of a process group of its own. At the end whatever is
    left of the group is ended."""
    line, held = os.pipe()
    try:
        yield line
    finally:
        os.close(held)
        os.close(line)


def follow_lifeline(line: int) -> None:
    """End this process and its group when the parent closes its end of the pipe, or ended before.

    The kernel does it, by SIGIO, whose default action ends a process: no thread and no GIL is needed, and what vLLM
    has started goes as well. Raises OSError where this process does not head a group, or is not on Linux.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(line, fcntl.F_SETOWN, -os.getpid())  # negative: a group
    fcntl.fcntl(line, fcntl.F_SETFL, fcntl.fcntl(line, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(line, select.POLLIN)
    if poll.poll(0):  # it was closed before we could ask for the signal
        os._exit(1)
