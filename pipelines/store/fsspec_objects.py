"""Objects in any other file system of fsspec, and in memory: its own calls, retried after transient errors.

Creating is conditional where the file system knows `mode="create"`; replacing has no condition in fsspec, and needs a
lock (memory) or the user's statement that nobody else writes.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any, ClassVar, cast

from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from framegate.pipelines.store.backend import check_length, version_changed
from framegate.pipelines.store.errors import TransientError
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.object_info import ObjectInfo, OpenUpload, Put, is_hidden, object_info
from framegate.pipelines.store.retries import retry_blocking
from framegate.schemas.errors import StorageError
from framegate.schemas.uris import protocol_of

READ_MANY = 256  # objects asked for before the first is waited for
READ_THREADS = 16
_MEMORY_LOCK = threading.RLock()


class FsspecObjects:
    """A Backend over fsspec alone."""

    DELETE_MANY: ClassVar[int] = 1

    def __init__(self, fs: AbstractFileSystem, *, single_writer: bool, patience_seconds: float) -> None:
        self._fs = fs
        self._single_writer = single_writer
        self._patience_seconds = patience_seconds

    def path(self, uri: str) -> str:
        if isinstance(self._fs, MemoryFileSystem):  # which takes `::` in a name for a chain of file systems
            path = uri.partition("://")[2].strip("/")
            return f"/{path}" if path else ""
        return cast(str, self._fs._strip_protocol(uri))

    def check_kind(self, path: str) -> None:
        """fsspec can replace by version in no kind of storage but the one in memory."""
        if not isinstance(self._fs, MemoryFileSystem) and not self._single_writer:
            raise StorageError(_no_replacing(self._fs.unstrip_protocol(path)))

    def list(
        self, path: str, *, depth: int | None = None, hidden: bool = False, listing: Listing | None = None
    ) -> Iterator[ObjectInfo]:
        try:
            found = self._try(self._fs.find, path, maxdepth=depth, detail=True)
        except FileNotFoundError:
            return
        root = path.rstrip("/")
        left_out = ""
        if listing is not None and listing.leave_out and protocol_of(listing.leave_out) in self._fs.protocol:
            left_out = self.path(listing.leave_out).rstrip("/") + "/"
        for name in sorted(found):
            if found[name]["type"] != "file":
                continue
            if listing is not None and left_out and listing.leaves_out(name, f"{root}/", left_out):
                continue
            if hidden or not is_hidden(name[len(root) :].lstrip("/")):
                yield object_info(self._fs, found[name])
            elif listing is not None:
                listing.num_hidden += 1

    def stat(self, path: str) -> ObjectInfo:
        info = self._try(self._fs.info, path)
        if info["type"] != "file":
            raise FileNotFoundError(path)
        return object_info(self._fs, info)

    def is_folder(self, path: str) -> bool:
        bucket = path.split("/")[0]
        if bucket and not isinstance(self._fs, MemoryFileSystem):
            self._try(self._fs.info, bucket)
        return self._try(self._fs.isdir, path)

    def read(self, path: str, start: int, end: int | None, *, version: str | None = None) -> bytes:
        data = self._try(self._cat, path, start, end)
        if version is not None:  # asked after it was read: a version does not come back
            self._check(path, version)
        return check_length(data, start, end)

    def read_many(self, items: Iterable[tuple[str, ObjectInfo | None]]) -> Iterator[bytes | None]:
        waiting = iter(items)
        with ThreadPoolExecutor(READ_THREADS) as threads:  # not `fs.cat`, which takes a bracket in a name for a pattern
            while some := list(islice(waiting, READ_MANY)):
                yield from threads.map(self._read_whole, some)

    def put_once(self, path: str, data: bytes) -> Put:
        try:
            self._try(self._create, path, data)
            return Put(created=True, same=True)
        except FileExistsError:
            return Put(created=False, same=self._same(path, data))

    def replace(self, path: str, data: bytes, version: str) -> ObjectInfo:
        if isinstance(self._fs, MemoryFileSystem):
            with _MEMORY_LOCK:
                return self._replace(path, data, version)
        if not self._single_writer:
            raise StorageError(_no_replacing(self._fs.unstrip_protocol(path)))
        return self._replace(path, data, version)

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self._try(self._fs.rm_file, path)

    def open_uploads(self, path: str) -> Iterator[OpenUpload]:
        yield from ()

    def _read_whole(self, item: tuple[str, ObjectInfo | None]) -> bytes | None:
        path, info = item
        try:
            data = self._try(self._cat, path, 0, None if info is None else info.size_bytes)
            if info is not None and (len(data) != info.size_bytes or self._fs.size(path) != info.size_bytes):
                raise version_changed(info.uri, info.version)
            return data
        except FileNotFoundError:
            return None

    def _cat(self, path: str, start: int, end: int | None) -> bytes:
        """One try. Raises TransientError where the object has more of the range than came."""
        data = cast(bytes, self._fs.cat_file(path, start=start or None, end=end))
        size_bytes = self._fs.size(path) if end is None or len(data) < end - start else None
        if size_bytes is not None and len(data) < (size_bytes if end is None else min(end, size_bytes)) - start:
            raise TransientError(f"the answer broke off: of {path}, {len(data)} bytes came from {start} on")
        return data

    def _create(self, path: str, data: bytes) -> None:
        """Raises FileExistsError where the object exists."""
        if isinstance(self._fs, MemoryFileSystem):
            with _MEMORY_LOCK:
                self._fs.pipe_file(path, data, mode="create")
        elif self._single_writer:
            if self._fs.exists(path):
                raise FileExistsError(path)
            self._fs.pipe_file(path, data)
        else:
            # One request, whatever the size: the condition then holds for the object as a whole.
            takes_size = (
                "chunksize" in inspect.signature(getattr(self._fs, "_pipe_file", self._fs.pipe_file)).parameters
            )
            whole: dict[str, Any] = {"chunksize": max(len(data), 1)} if takes_size else {}
            self._fs.pipe_file(path, data, mode="create", **whole)

    def _replace(self, path: str, data: bytes, version: str) -> ObjectInfo:
        self._check(path, version)
        self._try(self._fs.pipe_file, path, data)
        return self.stat(path)

    def _same(self, path: str, data: bytes) -> bool:
        return self.stat(path).size_bytes == len(data) and self.read(path, 0, None) == data

    def _check(self, path: str, version: str) -> None:
        info = self.stat(path)
        if info.version != version:
            raise version_changed(info.uri, version, info.version)

    def _try(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        return retry_blocking(lambda: call(*args, **kwargs), self._patience_seconds)


def _no_replacing(uri: str) -> str:
    return (
        f"fsspec knows no conditional replacing of {uri};"
        " set output.single_writer: true where no other run writes to this output"
    )
