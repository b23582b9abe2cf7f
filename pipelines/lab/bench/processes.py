"""Processor time, bytes read and memory of a process and its descendants, from Linux's /proc.

Ray's own servers (raylet, control store, agents, monitors) do not count: they serve a machine, not a video.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
RAY_WORKER = "ray::"
RAY_AGENT = "Agent"
RAY_PACKAGE = "/site-packages/ray/"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Usage of running processes since their start. `bytes_read` counts read calls on any file."""

    cpu_seconds: float
    bytes_read: int


def usage(pid: int) -> Usage:
    """Usage of `pid` and its descendants."""
    cpu_ticks = bytes_read = 0
    for member in family(pid):
        with suppress(OSError):  # it has ended since, or hides what it reads
            cpu_ticks += sum(int(field) for field in _stat(member)[11:13])
            bytes_read += int(_status(member, "io")["rchar"])
    return Usage(cpu_ticks / TICKS_PER_SECOND, bytes_read)


def cpu_seconds(pid: int, *, with_ray: bool = False) -> dict[int, float]:
    """Processor time since their start, of `pid` and each of its descendants that still run."""
    seconds: dict[int, float] = {}
    for member in family(pid, with_ray=with_ray):
        with suppress(OSError):  # it has ended since
            seconds[member] = sum(int(field) for field in _stat(member)[11:13]) / TICKS_PER_SECOND
    return seconds


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory of processes together: what they share is counted once, libraries in each."""
    own = shared = 0
    for member in pids:
        with suppress(OSError, KeyError):  # it has ended since
            sizes = _status(member, "status")
            own += _kib(sizes["RssAnon"]) + _kib(sizes["RssFile"])
            shared = max(shared, _kib(sizes["RssShmem"]))
    return (own + shared) * 1024


def peak_rss_bytes(pid: int) -> int:
    """The most resident memory that a process has had since its program began; `ru_maxrss` counts from its parent's."""
    return _kib(_status(pid, "status")["VmHWM"]) * 1024


def family(pid: int, *, with_ray: bool = False) -> list[int]:
    """`pid` and its descendants; without Ray's servers, unless they are asked for."""
    parents: dict[int, int] = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            with suppress(OSError):
                parents[int(entry)] = int(_stat(int(entry))[1])
    members = {pid}
    while more := {child for child, parent in parents.items() if parent in members} - members:
        members |= more
    return [member for member in sorted(members) if with_ray or member == pid or not _is_ray_server(member)]


def _is_ray_server(pid: int) -> bool:
    """True for Ray's processes but its workers, which are called `ray::<task>`."""
    with suppress(OSError):
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if command.startswith(RAY_WORKER):
            return RAY_AGENT in command
        return RAY_PACKAGE in command
    return True


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _status(pid: int, name: str) -> dict[str, str]:
    lines = (PROC / str(pid) / name).read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)


def _kib(size: str) -> int:
    return int(size.split()[0])
