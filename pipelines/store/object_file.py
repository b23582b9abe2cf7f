"""One version of an object as a seekable file over range reads, with the store's own retries and checks."""

from __future__ import annotations

import errno
import io
from typing import Final

from framegate.pipelines.store.backend import Backend
from framegate.pipelines.store.errors import translate_errors
from framegate.schemas.errors import VersionChanged

BUFFER_BYTES: Final = 1 << 20  # a request takes some 30 ms whatever it brings; a Parquet footer fits in one


class ObjectFile(io.RawIOBase):
    """Reads raise OSError (ESTALE) where another version has taken the object's place, StorageError else."""

    def __init__(self, uri: str, backend: Backend, path: str) -> None:
        super().__init__()
        self._uri, self._backend, self._path = uri, backend, path
        self._info = backend.stat(path)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, f"{base + offset} is before the beginning of {self._uri}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer) -> int:
        end = min(self._position + len(buffer), self._info.size_bytes)
        if end <= self._position:
            return 0
        try:
            with translate_errors("read", self._uri):
                data = self._backend.read(self._path, self._position, end, version=self._info.version)
        except VersionChanged as error:
            raise OSError(errno.ESTALE, str(error)) from error
        buffer[: len(data)] = data
        self._position = end
        return len(data)


def open_object(uri: str, backend: Backend, path: str) -> io.BufferedReader:
    """Raises what a `stat` raises."""
    return io.BufferedReader(ObjectFile(uri, backend, path), BUFFER_BYTES)
