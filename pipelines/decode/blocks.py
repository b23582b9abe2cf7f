"""A seekable file over range reads: what a decoder holds in its hands instead of a path or an address.

Knows nothing of storage or video; whoever fetches may stand in another process.
"""

from __future__ import annotations

import io
from collections.abc import Callable


class RangeFile(io.RawIOBase):
    """Bytes [0, size_bytes) that `fetch(start, end)` gives on demand. Raises what `fetch` raises. Not thread-safe."""

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int) -> None:
        super().__init__()
        self._fetch = fetch
        self.size_bytes = size_bytes
        self._position = 0

    @classmethod
    def of(cls, data: bytes) -> RangeFile:
        """A file over bytes in memory."""
        return cls(lambda start, end: data[start:end], len(data))

    def expect(self, start: int, end: int) -> None:
        """The next reads will want bytes [start, end): they come in one request, and nothing beyond them."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self.size_bytes)
        data = self._fetch(self._position, end) if end > self._position else b""
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
