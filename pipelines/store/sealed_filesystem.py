"""A fixed set of objects, each at one version, as a file system of fsspec that can only be read: what DuckDB is given.

It knows the objects by the names that it was made with, and their sizes and versions from the listing, so that opening
one asks nothing of storage. There is nothing else in it: no other name can be opened, and none be written.
"""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from fsspec import AbstractFileSystem

from framegate.pipelines.store.backend import version_changed
from framegate.pipelines.store.object_info import ObjectInfo
from framegate.pipelines.store.pinned import PinnedObject
from framegate.pipelines.store.store import Store
from framegate.schemas.clip import Video
from framegate.schemas.errors import FramegateError, QueryError

PROTOCOL: Final = "sealed"
WHOLE_BYTES: Final = 1 << 20
"""A remote object up to this size is read whole, and of a larger one so much of its end: with its footer in it, one
request in place of two or three. A request takes some 30 ms whatever it brings."""

KEPT_BYTES: Final = 128 << 20  # of such ends; DuckDB opens a file several times
# What DuckDB takes for a pattern, and in the folders above an output for a partition.
_ODD_IN_NAME: Final = re.compile(r"[*?\[\]\\]")
_ODD_IN_ROOT: Final = re.compile(r"[*?\[\]\\=]")
_UNCHANGED: Final = datetime(2000, 1, 1)


class SealedFilesystem(AbstractFileSystem):
    """`error` is the first one that a read ended with: DuckDB hands on its text alone."""

    protocol: ClassVar[str] = PROTOCOL  # type: ignore[misc]
    cachable = False

    def __init__(self, store: Store, objects: Mapping[str, ObjectInfo]) -> None:
        """`objects` by the names that they have in here, without the protocol."""
        super().__init__()
        self.error: FramegateError | None = None
        self.names = tuple(objects)
        self.is_remote = any(not store.is_local(info.uri) for info in objects.values())
        self._store, self._objects = store, dict(objects)
        self._kept: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._num_kept_bytes = 0
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def direct_paths(self) -> dict[str, str]:
        """Where each object lies on this machine, for a reader that opens files itself; empty where some do not, or
        have names that such a reader may take for patterns or partitions.

        It may see a file at another version than was listed: `check_versions` tells afterwards.
        """
        paths = {name: self._store.filesystem(info.uri)[1] for name, info in self._objects.items()}
        if self.is_remote or any(not path.endswith(name) for name, path in paths.items()):
            return {}
        roots = {path.removesuffix(name) for name, path in paths.items()}
        if any(_ODD_IN_ROOT.search(root) for root in roots) or any(map(_ODD_IN_NAME.search, paths)):
            return {}
        return paths

    def check_versions(self) -> None:
        """Raises VersionChanged, ObjectNotFound where an object is not any more what was listed."""
        for info in self._objects.values():
            now = self._store.stat(info.uri)
            if now.version != info.version:
                raise version_changed(info.uri, known=info.version, found=now.version)

    def add(self, name: str, info: ObjectInfo) -> None:
        """One more object, before anything is read."""
        self._objects[name] = info

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> SealedFile:  # type: ignore[override]
        name = self._strip(path)
        if mode != "rb" or name not in self._objects:
            raise self.keep(QueryError(f"a query reads the files of the output and no others; {path} is none of them"))
        return SealedFile(self, name)

    def glob(self, path: str, **kwargs: Any) -> list[str]:  # type: ignore[override]
        """The name itself, where there is such an object: nothing is searched."""
        return [path] if self._strip(path) in self._objects else []

    def exists(self, path: str, **kwargs: Any) -> bool:  # type: ignore[override]
        return self._strip(path) in self._objects

    isfile = exists

    def isdir(self, path: str) -> bool:
        """A folder is no place to write in, and there is none."""
        return False

    def size(self, path: str) -> int:
        return self._objects[self._strip(path)].size_bytes

    def modified(self, path: str) -> datetime:
        """Always the same: a version does not change."""
        return _UNCHANGED

    def pin(self, name: str) -> PinnedObject:
        """Raises VersionChanged, ObjectNotFound, StorageError."""
        info = self._objects[name]
        return self._store.open_pinned(Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes))

    def end_of(self, name: str, pinned: PinnedObject) -> tuple[int, bytes]:
        """The end of an object, from where on: read once. Nothing of a local file, whose reads cost nothing."""
        info = self._objects[name]
        if not self.is_remote:
            return info.size_bytes, b""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self._kept:
                first = max(0, info.size_bytes - WHOLE_BYTES)
                self._keep(name, (first, pinned.read(first, info.size_bytes)))
            return self._kept[name]

    def forget_ends(self) -> None:
        """What was kept of files is read again."""
        with self._lock:
            self._kept.clear()
            self._num_kept_bytes = 0

    def take_error(self) -> FramegateError | None:
        """The first error since this was asked last. It is not kept here: raised, it holds what holds this."""
        error, self.error = self.error, None
        return error

    def keep(self, error: FramegateError) -> FramegateError:
        self.error = self.error or error
        return error

    def _keep(self, name: str, end: tuple[int, bytes]) -> None:
        with self._lock:
            self._kept[name] = end
            self._num_kept_bytes += len(end[1])
            while self._num_kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                self._num_kept_bytes -= len(self._kept.popitem(last=False)[1][1])

    @staticmethod
    def _strip(path: str) -> str:
        return path.removeprefix(f"{PROTOCOL}://")


class SealedFile(io.RawIOBase):
    """Each thread has a position of its own: DuckDB seeks and reads in two calls, from several threads at once."""

    def __init__(self, filesystem: SealedFilesystem, name: str) -> None:
        super().__init__()
        self._filesystem, self._name = filesystem, name
        self._size_bytes = filesystem.size(name)
        self._pinned: PinnedObject | None = None
        self._positions = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return getattr(self._positions, "here", 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size_bytes}[whence]
        self._positions.here = max(0, base + offset)
        return self.tell()

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        end = self._size_bytes if size < 0 else min(start + size, self._size_bytes)
        if end <= start:
            return b""
        try:
            data = self._read(start, end)
        except FramegateError as error:
            raise self._filesystem.keep(error) from error
        self._positions.here = end
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and self._pinned is not None:
            self._pinned.close()
        super().close()

    def _read(self, start: int, end: int) -> bytes:
        if self._pinned is None:
            self._pinned = self._filesystem.pin(self._name)
        first, kept = self._filesystem.end_of(self._name, self._pinned)
        if start >= first:
            return kept[start - first : end - first]
        return self._pinned.read(start, min(end, first)) + kept[: max(0, end - first)]
