"""Processor time and memory of every process below one, by kind of process, sampled while it runs (Linux's /proc)."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

PROC: Final = Path("/proc")
LOOK_SECONDS: Final = 0.5
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
# By what stands in a command line; the first that fits. A worker of Ray bears the name of what it runs.
_KINDS: Final = (
    ("::MapWorker(MapBatches(Decode", "decode worker"),
    ("::MapWorker(MapBatches(Answer", "answer worker"),
    ("/raylet/raylet", "raylet"),
    ("gcs_server", "control store"),
    ("ray::", "other workers"),
    ("/site-packages/ray/", "other of Ray"),
)


@dataclass
class _Process:
    kind: str
    cpu_seconds: float = 0.0
    rss: list[tuple[float, int]] = field(default_factory=list)  # (monotonic seconds, bytes)
    own: list[tuple[float, int]] = field(default_factory=list)  # the same without shared pages of Ray's object store


@dataclass(frozen=True, kw_only=True)
class KindFigures:
    """Of all processes of one kind together (CPU) or of the largest of them (memory).

    grown_bytes_per_video   slope of a line through its memory over the videos begun, from a third of them on, without
                            pages of the object store, which all processes share and whose number is bounded; None
                            where too few samples or no count of videos were there
    """

    kind: str
    num_processes: int
    cpu_seconds: float
    peak_bytes: int
    last_bytes: int
    grown_bytes_per_video: float | None


class Sampler:
    """Looks at a process and its descendants until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._processes: dict[int, _Process] = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()

    def figures(self, progress: Sequence[tuple[float, int]]) -> list[KindFigures]:
        """`progress`: (monotonic seconds, videos begun), ascending."""
        by_kind: dict[str, list[_Process]] = defaultdict(list)
        for process in self._processes.values():
            by_kind[process.kind].append(process)
        return [_figures(kind, processes, progress) for kind, processes in sorted(by_kind.items())]

    def _run(self) -> None:
        while not self._ends.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        parents = _parents()
        for pid in _below(self._pid, parents):
            with suppress(OSError, IndexError):  # it has ended since
                process = self._processes.setdefault(pid, _Process(""))
                process.kind = self._kind(pid, parents, process.kind)
                stat = _stat(pid)
                process.cpu_seconds = sum(int(ticks) for ticks in stat[11:13]) / TICKS_PER_SECOND
                rss = int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
                process.rss.append((now, rss))
                process.own.append((now, rss - _shared_bytes(pid)))

    def _kind(self, pid: int, parents: dict[int, int], known: str) -> str:
        if pid == self._pid:
            return "driver"
        if known not in ("", "other workers", "other of Ray", "other"):  # a worker is named when it gets its work
            return known
        parent = self._processes.get(parents.get(pid, 0))
        if parent is not None and parent.kind in ("decode worker", "decoder"):
            return "decoder"
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return next((kind for text, kind in _KINDS if text in command), "other")


def _figures(kind: str, processes: Sequence[_Process], progress: Sequence[tuple[float, int]]) -> KindFigures:
    largest = max(processes, key=lambda process: max((rss for _, rss in process.rss), default=0))
    sizes = [rss for _, rss in largest.rss] or [0]
    return KindFigures(
        kind=kind,
        num_processes=len(processes),
        cpu_seconds=sum(process.cpu_seconds for process in processes),
        peak_bytes=max(sizes),
        last_bytes=sizes[-1],
        grown_bytes_per_video=_slope(largest.own, progress),
    )


def _slope(own: Iterable[tuple[float, int]], progress: Sequence[tuple[float, int]]) -> float | None:
    """From when a third of the videos had begun until the last ones had: sealing comes after that."""
    if len(progress) < 3:
        return None
    at, begun = np.array(progress).T
    first, last = np.interp(begun[-1] / 3, begun, at), at[np.searchsorted(begun, begun[-1])]
    inside = np.array([(seconds, size) for seconds, size in own if first <= seconds <= last])
    if len(inside) < 4:
        return None
    return float(np.polyfit(np.interp(inside[:, 0], at, begun), inside[:, 1], 1)[0])


def _shared_bytes(pid: int) -> int:
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("RssShmem:")), 0)


def _parents() -> dict[int, int]:
    parents = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            with suppress(OSError):
                parents[int(entry)] = int(_stat(int(entry))[1])
    return parents


def _below(pid: int, parents: dict[int, int]) -> list[int]:
    members = {pid}
    while more := {child for child, parent in parents.items() if parent in members} - members:
        members |= more
    return sorted(members)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
