"""Whether a run whose record says that it is at work still is.

A run is dead where its process is gone, which only its own machine can tell; or where its last heartbeat is older
than MISSED_HEARTBEATS intervals. The heartbeat says itself when it was, by the clock of the run's machine, and a reader
holds its own clock against that: not every store tells when an object was replaced, and none knows the clock of a
rehearsal (`schemas.clock`). Where two machines' clocks differ by minutes, a reader may be wrong by as much. Nothing
that is stored rests on it: two runs at once lose nothing and double nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.commit.runs import ENDED

MISSED_HEARTBEATS: Final = 3
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_ended_here: set[tuple[str, str]] = set()
"""Runs of this process that came to an end: storage may have refused the record that says so, as a full disk does."""


def this_process() -> dict[str, Any]:
    """host and pid, and, where the system tells them, what tells this process from a later one with the same pid."""
    process: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid()}
    return {**process, "boot_id": _boot_id(), "pid_namespace": _pid_namespace(), "start_ticks": _start_ticks("self")}


def end_here(run_id: str, started_at: datetime) -> None:
    """Remembers that a run of this process has ended, whatever its record says."""
    _ended_here.add((run_id, started_at.isoformat()))


def find_death(record: Mapping[str, Any], now: datetime) -> str | None:
    """In a few words why a run that has not ended is dead; None where it may be alive, or has ended."""
    if record.get("state") in ENDED:
        return None
    heartbeat = record.get("heartbeat")
    if not heartbeat:
        return "it left no record of its end, and its version had no heartbeat"
    if (record.get("run_id"), record.get("started_at")) in _ended_here:
        return "it has ended, and its record could not be stored"
    process = record.get("process") or {}
    if _is_gone(process):
        return f"its process {process['pid']} on this machine is gone"
    at, every = datetime.fromisoformat(heartbeat["at"]), timedelta(seconds=heartbeat["every_seconds"])
    if now - at > MISSED_HEARTBEATS * every:
        return f"no heartbeat since {at:%Y-%m-%d %H:%M:%S} UTC"
    return None


def state_of(record: Mapping[str, Any], now: datetime) -> str:
    """The state of a run as a reader finds it: what its record says, or `dead`."""
    return "dead" if find_death(record, now) else str(record["state"])


def _is_gone(process: Mapping[str, Any]) -> bool:
    """Whether this machine can tell that the process has ended: it ran since the same boot, in the same namespace."""
    names = (process.get("boot_id"), process.get("pid_namespace"))
    if None in names or process.get("start_ticks") is None or names != (_boot_id(), _pid_namespace()):
        return False
    return _start_ticks(str(process["pid"])) != process["start_ticks"]


def _boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # no Linux
        return None


def _pid_namespace() -> int | None:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _start_ticks(pid: str) -> int | None:
    """When a process began, in clock ticks since the boot; None where there is none, or one that has ended already."""
    try:
        # The name in parentheses may hold anything; the state is the first field behind it, the start the 20th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
