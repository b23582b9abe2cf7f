"""How a file that is written gets its name: one that must be free, or that of the file which it replaces.

A name that must be free is taken by `link`, which fails where it is not. Some file systems have no hard links (exFAT,
FAT, some of FUSE): there it is taken by `renameat2` with RENAME_NOREPLACE, which fails as well. Where that is missing,
too, a run that writes alone looks and renames, under a lock of the folder; any other is told so.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from framegate.schemas.errors import StorageError

DESCRIPTORS: Final = "/proc/self/fd/"
"""A file without a name is known by what /proc says of its descriptor: it goes with its process."""

LOCK_FILE: Final = ".framegate-lock"  # never removed: another process may hold its lock
LOCK_SECONDS: Final = 60.0

_ANY_FOLDER: Final = 0  # of a descriptor; names that begin with a slash are not looked up in it
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_NO_EXCLUSIVE_RENAME: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_THIS_FOLDER: Final = -100  # AT_FDCWD
_NO_REPLACE: Final = 1  # RENAME_NOREPLACE


def hidden_name(path: str) -> str:
    """Beside `path`, for a file while it is written."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex}")


def is_nameless(source: str) -> bool:
    return source.startswith(DESCRIPTORS)


def take_name(source: str, path: str, *, is_alone: bool) -> bool:
    """Gives the file its name if that is free, and says whether it was. `is_alone`: nobody else takes names here.

    Raises StorageError where the file system offers no way to do so, OSError.
    """
    try:
        _link(source, path)
        return True
    except FileExistsError:
        return _is_taken(path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        reason = error
    hidden = _named(source, path)
    try:
        return _take_without_links(hidden, path, reason, is_alone=is_alone)
    finally:
        _forget(hidden)


def put_in_place(source: str, path: str) -> None:
    """Puts the file in the place of another."""
    hidden = _named(source, path)
    try:
        os.replace(hidden, path)
    except OSError:
        _forget(hidden)
        raise


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """No other process that asks for this is in here with the same folder.

    Raises StorageError where another has not gone out of it for LOCK_SECONDS: what is done in here takes milliseconds.
    """
    descriptor = os.open(os.path.join(folder, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _wait_for_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, folder: str) -> None:
    ends_at = time.monotonic() + LOCK_SECONDS
    pause = 0.001
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends_at:
                raise StorageError(
                    f"cannot lock {folder}: another process has held {LOCK_FILE} for {LOCK_SECONDS:g} s, perhaps one"
                    f" that is stopped or hangs; find it with `fuser {os.path.join(folder, LOCK_FILE)}`, let it go on"
                    " or end it, and give the command again"
                ) from None
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _take_without_links(hidden: str, path: str, reason: OSError, *, is_alone: bool) -> bool:
    try:
        _rename_if_free(hidden, path)
        return True
    except FileExistsError:
        return _is_taken(path)
    except OSError as error:
        if error.errno not in _NO_EXCLUSIVE_RENAME:
            raise
    if not is_alone:
        raise StorageError(
            f"cannot write {path}: its file system has no hard links ({reason.strerror}) and cannot rename to a name"
            " that must be free, so that two writers could overwrite each other; set output.single_writer: true where"
            " no other run ever writes to this output, or put the output on another file system"
        ) from reason
    with locked(os.path.dirname(path)):
        if os.path.lexists(path):
            return _is_taken(path)
        os.rename(hidden, path)
        return True


def _link(source: str, path: str) -> None:
    """Follows what /proc says of a descriptor, which link() does not and linkat() does: any folder makes it that."""
    os.link(source, path, src_dir_fd=_ANY_FOLDER, follow_symlinks=True)


def _named(source: str, path: str) -> str:
    """The file under a hidden name beside `path`."""
    if not is_nameless(source):
        return source
    hidden = hidden_name(path)
    try:
        _link(source, hidden)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, hidden)
    return hidden


def _copy(source: str, hidden: str) -> None:
    try:
        with open(source, "rb") as old, open(hidden, "xb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
    except OSError:
        _forget(hidden)
        raise


def _forget(hidden: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(hidden)


def _is_taken(path: str) -> bool:
    """False, as the name is not free. Raises IsADirectoryError where it is a folder's."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "a folder has that name", path)
    return False


def _rename_if_free(hidden: str, path: str) -> None:
    """Raises FileExistsError where the name is taken, OSError."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # of Linux
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), path)
    if rename(_THIS_FOLDER, os.fsencode(hidden), _THIS_FOLDER, os.fsencode(path), _NO_REPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
