"""Objects as files of a local disk: hidden while they are written, whole and on the disk when they appear.

A file appears under its name where that is free, and is replaced by `rename` under a lock of its folder (`file_names`).
Every other process that keeps to this sees whole files only. A file has no name while it is written (O_TMPFILE), so
that a process killed meanwhile leaves nothing; where a file system cannot do that (NFS, FUSE), its name is hidden.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import ClassVar, Final

from fsspec.implementations.local import make_path_posix

from framegate.pipelines.store.backend import check_length, version_changed
from framegate.pipelines.store.file_names import (
    DESCRIPTORS,
    LOCK_FILE,
    hidden_name,
    is_nameless,
    locked,
    put_in_place,
    take_name,
)
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.local_walk import LocalWalk
from framegate.pipelines.store.object_info import ObjectInfo, OpenUpload, Put, file_version

_PROTOCOL: Final = re.compile(r"(?:file|local)://|(?:file|local):(?=/)")
_SLASHES: Final = re.compile(r"//+")  # a disk takes them for one, and a video must have one name
_NO_SUCH_NAME: Final = frozenset({errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_NO_NAMELESS_FILES: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})


class LocalFiles:
    """A Backend. `single_writer` matters where the file system has no way to create a file whose name must be free."""

    DELETE_MANY: ClassVar[int] = 1

    def __init__(self, *, single_writer: bool = False) -> None:
        self._single_writer = single_writer

    def path(self, uri: str) -> str:
        path = make_path_posix(_PROTOCOL.sub("", uri))
        return _SLASHES.sub("/", path).rstrip("/") or "/"

    def check_kind(self, path: str) -> None:
        """The folder, or the nearest above it that is there, must be one in which names can be made."""
        there = path.rstrip("/") or "/"
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there):
            raise NotADirectoryError(errno.ENOTDIR, "no folder", there)
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "may not be written to", there)

    def remove_folder(self, path: str) -> None:
        """A folder of ours with all that is in it; it may be missing."""
        shutil.rmtree(path, ignore_errors=True)

    def list(
        self, path: str, *, depth: int | None = None, hidden: bool = False, listing: Listing | None = None
    ) -> Iterator[ObjectInfo]:
        """In the order in which S3 gives the same names; of a folder at a time no more than its names are held."""
        top = path.rstrip("/") + "/"
        deepest = None if depth is None else top.count("/") + depth
        yield from LocalWalk(top, deepest=deepest, hidden=hidden, listing=listing).files()

    def stat(self, path: str) -> ObjectInfo:
        return _info(path, _stat(path))

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def read(self, path: str, start: int, end: int | None, *, version: str | None = None) -> bytes:
        descriptor, found = open_regular(path)
        try:
            if version is not None and file_version(found) != version:
                raise version_changed(path, version, file_version(found))
            if start:
                os.lseek(descriptor, start, os.SEEK_SET)
            return check_length(_read(descriptor, max(0, (found.st_size if end is None else end) - start)), start, end)
        finally:
            os.close(descriptor)

    def read_many(self, items: Iterable[tuple[str, ObjectInfo | None]]) -> Iterator[bytes | None]:
        for path, info in items:
            try:
                descriptor, found = open_regular(path)
            except (FileNotFoundError, NotADirectoryError):
                yield None
                continue
            try:
                data = _read(descriptor, found.st_size)
            finally:
                os.close(descriptor)
            if info is not None and len(data) != info.size_bytes:
                raise version_changed(path, info.version, file_version(found))
            yield data

    def put_once(self, path: str, data: bytes) -> Put:
        with suppress(FileNotFoundError):  # most often; looking saves the writing of what is there already
            return Put(created=False, same=self._same(path, data))
        with _written(path, data) as source:
            while not take_name(source, path, is_alone=self._single_writer):
                with suppress(FileNotFoundError):  # deleted between the two
                    return Put(created=False, same=self._same(path, data))
        _sync_folder(os.path.dirname(path))
        return Put(created=True, same=True)

    def replace(self, path: str, data: bytes, version: str) -> ObjectInfo:
        folder = os.path.dirname(path)
        self._check(path, version)  # before anything is written
        with _written(path, data) as source, locked(folder):
            before = self._check(path, version)
            new = os.stat(source)
            if new.st_mtime_ns <= before.st_mtime_ns:  # the clock of a disk ticks every few ms: a version is never back
                os.utime(source, ns=(new.st_atime_ns, before.st_mtime_ns + 1))
            os.chmod(source, stat.S_IMODE(before.st_mode))
            put_in_place(source, path)
            _sync_folder(folder)
            return _info(path, _stat(path))

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            # Where objects are replaced, one must not be put back between the check of its version and its rename.
            is_replaced = os.path.exists(os.path.join(os.path.dirname(path), LOCK_FILE))
            lock = locked(os.path.dirname(path)) if is_replaced else nullcontext()
            with lock, suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)

    def open_uploads(self, path: str) -> Iterator[OpenUpload]:
        yield from ()

    def _same(self, path: str, data: bytes) -> bool:
        return _stat(path).st_size == len(data) and self.read(path, 0, None) == data

    def _check(self, path: str, version: str) -> os.stat_result:
        found = _stat(path)
        if file_version(found) != version:
            raise version_changed(path, version, file_version(found))
        return found


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """A descriptor to read a file by, which the caller closes. Raises FileNotFoundError for a folder, a pipe or a
    device: an opened pipe waits for its writer, and a device may have no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return descriptor, found


def _stat(path: str) -> os.stat_result:
    """Raises FileNotFoundError where no file is, be it a folder or a name below a file."""
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            raise FileNotFoundError(path) from error
        raise
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(path)
    return found


def _info(path: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(uri=path, size_bytes=found.st_size, version=file_version(found))


def _read(descriptor: int, num_bytes: int) -> bytes:
    """So many bytes, fewer only at the end of the file."""
    data = os.read(descriptor, num_bytes)
    if len(data) == num_bytes:
        return data
    parts = [data]
    num_bytes -= len(data)
    while num_bytes and (data := os.read(descriptor, num_bytes)):  # one read gives at most 2 GiB
        parts.append(data)
        num_bytes -= len(data)
    return b"".join(parts)


@contextmanager
def _written(path: str, data: bytes) -> Iterator[str]:
    """The bytes on the disk of `path`, as a file that is gone afterwards whatever happens, unless it got a name."""
    folder = os.path.dirname(path)
    try:
        descriptor, source = _opened(path)
    except FileNotFoundError:
        _make_folders(folder)
        descriptor, source = _opened(path)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        yield source
    finally:
        os.close(descriptor)
        if not is_nameless(source):
            with suppress(FileNotFoundError):
                os.unlink(source)


def _opened(path: str) -> tuple[int, str]:
    """A new file beside `path`, and by which name it can be had: without one of its own it goes with its process."""
    try:
        if os.path.isdir(DESCRIPTORS):
            descriptor = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            return descriptor, f"{DESCRIPTORS}{descriptor}"
    except OSError as error:
        if error.errno not in _NO_NAMELESS_FILES:
            raise
    hidden = hidden_name(path)
    return os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666), hidden


def _make_folders(folder: str) -> None:
    """Makes folders that survive a loss of power: each new name is written to the folder above it."""
    missing = []
    while folder and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for name in reversed(missing):
        with suppress(FileExistsError):  # another writer's, just now
            os.mkdir(name)
        _sync_folder(os.path.dirname(name))


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
