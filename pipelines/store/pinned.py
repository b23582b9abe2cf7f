"""One version of one object, by range reads: a changed object is an error, never a mix of two.

The version that was planned is the version that is read, also where the video is a stretch of a larger object (a member
of a tar shard). Nothing is cached.
"""

from __future__ import annotations

import os
from typing import Protocol

from framegate.pipelines.store.backend import Backend, version_changed
from framegate.pipelines.store.errors import translate_errors
from framegate.pipelines.store.fsspec_objects import FsspecObjects
from framegate.pipelines.store.local import LocalFiles, open_regular
from framegate.pipelines.store.object_info import file_version
from framegate.schemas.clip import Video
from framegate.schemas.errors import StorageError


class PinnedObject:
    """Bytes [0, size_bytes) of one version of an object or of a stretch of it. Close it when done. Not thread-safe.

    bytes_read   fetched from storage so far
    """

    def __init__(self, uri: str, ranges: _Ranges, *, start: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.bytes_read = 0
        self._uri = uri
        self._ranges = ranges
        self._start = start

    def read(self, start: int, end: int) -> bytes:
        """Exactly the bytes [start, end).

        Raises VersionChanged, ObjectNotFound, StorageError; ValueError where [0, size_bytes] is left.
        """
        if not 0 <= start <= end <= self.size_bytes:
            raise ValueError(f"bytes {start} to {end} are not within the {self.size_bytes} bytes of {self._uri}")
        if start == end:
            return b""
        with translate_errors("read", self._uri):
            data = self._ranges.read(self._start + start, self._start + end)
        self.bytes_read += len(data)
        if len(data) != end - start:
            raise StorageError(
                f"cannot read {self._uri}: of bytes {self._start + start} to {self._start + end},"
                f" {len(data)} of {end - start} came"
            )
        return data

    def close(self) -> None:
        """Frees the descriptor of a local file."""
        self._ranges.close()

    def __enter__(self) -> PinnedObject:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def pin(backend: Backend, path: str, video: Video) -> PinnedObject:
    """See `Store.open_pinned`. Pinning differs: a descriptor on a disk, a condition on S3, a look on anything else."""
    uri = video.object_uri
    if isinstance(backend, LocalFiles):
        ranges: _Ranges = _LocalFile(uri, path, video.version)
    else:
        ranges = _Remote(backend, path, video.version)
        if video.size_bytes == 0 or isinstance(backend, FsspecObjects):
            found = backend.stat(path).version
            if found != video.version:
                raise version_changed(uri, video.version, found)
    start = 0 if video.member is None else video.member.offset_bytes
    return PinnedObject(uri, ranges, start=start, size_bytes=video.size_bytes)


class _Ranges(Protocol):
    def read(self, start: int, end: int) -> bytes: ...

    def close(self) -> None: ...


class _LocalFile:
    """An open descriptor: a file that is replaced by renaming stays whole behind it; one that is written to is seen."""

    def __init__(self, uri: str, path: str, version: str) -> None:
        self._uri, self._version = uri, version
        self._descriptor, _ = open_regular(path)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (part := os.pread(self._descriptor, end - start, start)):
            parts.append(part)
            start += len(part)
        self._check()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _check(self) -> None:
        version = file_version(os.fstat(self._descriptor))
        if version != self._version:
            raise version_changed(self._uri, self._version, version)


class _Remote:
    """Each request names the version."""

    def __init__(self, backend: Backend, path: str, version: str) -> None:
        self._backend, self._path, self._version = backend, path, version

    def read(self, start: int, end: int) -> bytes:
        return self._backend.read(self._path, start, end, version=self._version)

    def close(self) -> None:
        """Nothing is held."""
