"""What lies below an output and no listing of objects shows: hidden names, links, pipes, and empty folders on a disk.

On S3 and its like only hidden names and a console's "folders" are left to find: all else is an object.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final

from framegate.pipelines.audit.report import Check
from framegate.pipelines.audit.unknown_objects import OutputNames
from framegate.pipelines.commit.layout import FOLDERS, ID, SEALED_TABLES
from framegate.pipelines.commit.output import Output
from framegate.pipelines.store import LOCK_FILE

TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{32}|\.framegate-probe-[0-9a-f]{32}|\.nfs[0-9a-f]+")
_OLD_SECONDS: Final = 24 * 3600.0
_OF_VIDEOS: Final = "|".join(("journal", "deepened", "quarantine", "labels"))
_FOLDER: Final = re.compile(
    rf"(?:{'|'.join(FOLDERS)})|(?:seals|calibrations)/config_id={ID}|(?:{_OF_VIDEOS})/config_id={ID}(?:/{ID})?"
    rf"|attempts/config_id={ID}(?:/{ID}(?:/[^/.][^/]*)?)?|erasures/[^/.][^/]*"
)


def check_hidden(
    check: Check, output: Output, sealed: Collection[str] | None, *, now: Callable[[], float] = time.time
) -> None:
    """`sealed`: the names of all files that seals have ever written; None where a seal is at work, and its folders may
    be there already."""
    if output.store.is_local(output.root):
        _check_disk(check, output, sealed, now)
        return
    below = OutputNames.of(output)
    for info in output.store.list_hidden(output.root):
        name = below.name(info.uri)
        if name.endswith("/") or name.startswith(".") or "/." in name:
            check.num_checked += 1
            if not re.fullmatch(r"\.framegate-probe-[0-9a-f]{32}", name):
                check.find(_hidden(name, info.size_bytes))


def _check_disk(check: Check, output: Output, sealed: Collection[str] | None, now: Callable[[], float]) -> None:
    _, path = output.store.filesystem(output.root)
    folders = None if sealed is None else {above for name in sealed for above in _above(name)}
    num_temporary, size_bytes = 0, 0
    for name, entry in _walk(check, path, ""):
        check.num_checked += 1
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # its writer is alive and has renamed it
            continue
        base = entry.name
        if stat.S_ISLNK(found.st_mode):
            check.find(
                f"{name} is a link to {os.readlink(entry.path)}: Framegate makes none; put what it leads to there"
            )
        elif TEMPORARY.fullmatch(base):
            if found.st_mtime < now() - _OLD_SECONDS:
                num_temporary, size_bytes = num_temporary + 1, size_bytes + found.st_size
        elif stat.S_ISDIR(found.st_mode):
            if base.startswith("."):
                check.find(f"{name}/ is a hidden folder that is none of ours: move it elsewhere")
            elif _is_empty(entry.path) and not _is_known(name, folders):
                check.find(f"{name}/ is an empty folder that Framegate did not make: remove it")
        elif not stat.S_ISREG(found.st_mode):
            check.find(f"{name} is a pipe, a socket or a device, and no file: remove it")
        elif base == LOCK_FILE and not found.st_size:
            continue
        elif base.startswith("."):
            check.find(_hidden(name, found.st_size))
    if num_temporary:
        check.note(
            f"{num_temporary:,} hidden temporary files ({size_bytes:,} bytes), older than a day, are of writers that"
            " were killed: no reader sees them, and they may be deleted"
        )


def _walk(check: Check, folder: str, above: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder that is no plain file with a name that listings show. No hidden one is entered."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        check.find(f"{above or './'} cannot be listed ({error.strerror}): let who runs the audit read it")
        return
    for entry in found:
        name = f"{above}{entry.name}"
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder or entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
            yield name, entry
        if is_folder and not entry.name.startswith("."):
            yield from _walk(check, entry.path, f"{name}/")


def _is_known(name: str, sealed_folders: Collection[str] | None) -> bool:
    """Whether an empty folder may be there."""
    if name.partition("/")[0] in SEALED_TABLES and "/" in name:
        return sealed_folders is None or name in sealed_folders
    return _FOLDER.fullmatch(name) is not None


def _is_empty(path: str) -> bool:
    try:
        return all(name == LOCK_FILE for name in os.listdir(path))
    except OSError:  # gone, or told of already
        return False


def _above(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def _hidden(name: str, size_bytes: int) -> str:
    return f"{name} ({size_bytes:,} bytes) is hidden from listings and none of ours: move it elsewhere"
