"""The session folder of a Ray that this process started: removed when that Ray has ended, unless its logs are needed.

Ray makes one for each cluster (some MB of logs and sockets) and never removes it. What a worker wrote before it died
stands there and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.driver.private_ray import give_token_back

GONE_SECONDS: Final = 10.0  # for processes of a cluster that was told to end; Ray kills them after 1 to 5

_own_folders: list[tuple[str, Path]] = []


def note_own_session(folder: str, private: Path) -> None:
    """This process started a cluster, and `folder` is its session folder, in a `private` one of its own."""
    _own_folders.append((folder, private))


def has_own_session() -> bool:
    """True while a cluster is there that this process started."""
    return bool(_own_folders)


def end_own_session(*, keep: bool) -> str | None:
    """Ends the Ray that this process started, if it did, and removes its session folder once its processes are gone.

    Returns the folder where it stays: to `keep` it was asked for, a worker died, a process does not end, or it cannot
    be removed. A cluster that was joined by its address goes on, and its folder is not ours.
    """
    if not _own_folders:
        return None
    import ray

    folder, private = _own_folders.pop()
    actors = _list_actors()
    keep = keep or any(actor["NumRestarts"] > 0 for actor in actors)
    ray.shutdown(wait_for_processes=True)
    give_token_back()
    if keep or not _is_left_alone(folder, {str(actor["Pid"]) for actor in actors}):
        return folder
    shutil.rmtree(private, ignore_errors=True)
    return folder if Path(folder).exists() else None


def _list_actors() -> list[dict[str, Any]]:
    """Those that have ended too. One was started again in the place of one that died where `NumRestarts` says so."""
    import ray
    from ray._private.state import actors

    return [*actors().values()] if ray.is_initialized() else []


def _is_left_alone(folder: str, workers: Collection[str]) -> bool:
    """True as soon as no process has a file below the folder open: all of Ray's have their logs there.

    Of these the workers are killed. What they did is committed, and a process with a model in it takes a second of
    processor time to take itself apart.
    """
    deadline = time.monotonic() + GONE_SECONDS
    while users := [*_users(folder)]:
        for process in users:
            if process in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _users(folder: str) -> Iterator[str]:
    """Processes that have a file below `folder` open. Of this one Ray's own log handlers keep files open until it ends;
    that is no use of the folder."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()) and any(path.startswith(f"{folder}/") for path in _open_files(process)):
            yield process.name


def _open_files(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for descriptor in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):  # it was closed meanwhile
                yield os.readlink(process / "fd" / descriptor)
