"""A seekable file over range reads, which decoders are given instead of a path or an address.

It caches the pieces that were fetched last and reads ahead during sequential reads. The bytes may come from another
process.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable

CACHE_BYTES = 16 << 20
# One request: large enough that its latency (10 to 30 ms) is small beside its transfer, four of them fit in the cache.
MAX_FETCH_BYTES = 4 << 20
# Read-ahead without `expect`: the first after a seek, then half of what was read on from there, up to the most.
# Measured with 32 frames out of 2 min of 720p, a key frame every 2 s: 70 requests for 61 % of the file; ahead as much
# as was read: 60 requests, 73 %. One minute in a row: 12 requests.
FIRST_AHEAD_BYTES = 64 << 10
MAX_AHEAD_BYTES = 2 << 20
# A jump forward over less than this counts as sequential.
GAP_BYTES = 16 << 10


class _Piece:
    """Bytes [start, end) of the file, read up to `read_to`. `run_bytes` lie between the last jump and its end."""

    __slots__ = ("data", "end", "last_use", "read_to", "run_bytes", "start")

    def __init__(self, start: int, data: bytes, run_bytes: int) -> None:
        self.start, self.end = start, start + len(data)
        self.data, self.run_bytes = data, run_bytes
        self.read_to, self.last_use = start, 0


class RangeFile(io.RawIOBase):
    """Bytes [0, size_bytes) that `fetch(start, end)` gives on demand, in memory of at most 16 MiB.

    Raises what `fetch` raises, and OSError where it gives fewer or more bytes than it was asked for. Reads are raw: one
    that begins in what `expect` announced may end there, short of what was asked for. Not thread-safe.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int) -> None:
        super().__init__()
        self._fetch = fetch
        self.size_bytes = size_bytes
        self._position = 0
        self._expected = (0, 0)
        self._pieces: list[_Piece] = []  # by start, without overlap
        self._cached_bytes = 0
        self._num_uses = 0

    @classmethod
    def of(cls, data: bytes) -> RangeFile:
        """A file over bytes in memory."""
        return cls(lambda start, end: data[start:end], len(data))

    def stretch(self, start: int, end: int) -> RangeFile:
        """Bytes [start, end) as a file of its own, which reads through this one."""

        def fetch(first: int, behind: int) -> bytes:
            self.expect(start + first, start + behind)
            self.seek(start + first)
            data = b""
            while len(data) < behind - first and (more := self.read(behind - first - len(data))):
                data += more
            return data

        return RangeFile(fetch, end - start)

    def expect(self, start: int, end: int) -> None:
        """Announces that the next reads lie in bytes [start, end): these come in one request, and nothing beyond them.

        The request is made when the first of them is read, from there on, and is cut into pieces of 4 MiB. A later call
        takes the place of an earlier one; an empty stretch takes it back.
        """
        self._expected = (max(0, start), min(end, self.size_bytes))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        if whence == io.SEEK_SET:
            if offset < 0:
                raise ValueError(f"cannot seek to byte {offset}; a file begins at byte 0")
            self._position = offset
        elif whence == io.SEEK_CUR:
            self._position = max(0, self._position + offset)
        elif whence == io.SEEK_END:
            self._position = max(0, self.size_bytes + offset)
        else:
            raise ValueError(f"cannot seek by rule {whence}; known are 0, 1 and 2")
        return self._position

    def readinto(self, buffer) -> int:
        self._check_open()
        view = memoryview(buffer).cast("B")
        num_bytes = min(len(view), max(0, self.size_bytes - self._position))
        filled = 0
        while filled < num_bytes:
            position = self._position + filled
            index = bisect_right(self._pieces, position, key=_start_of) - 1
            if index >= 0 and position < self._pieces[index].end:
                piece = self._pieces[index]
            elif filled and position == self._expected[1]:
                break
            else:
                piece = self._add_piece(index + 1, position, num_bytes - filled)
            offset = position - piece.start
            size = min(num_bytes - filled, len(piece.data) - offset)
            if abs(position - piece.read_to) > GAP_BYTES:
                piece.run_bytes = piece.end - position
            self._num_uses += 1
            piece.read_to, piece.last_use = position + size, self._num_uses
            view[filled : filled + size] = memoryview(piece.data)[offset : offset + size]
            filled += size
        self._position += filled
        return filled

    def close(self) -> None:
        """Frees the cache."""
        self._pieces.clear()
        super().close()

    def _add_piece(self, index: int, position: int, min_bytes: int) -> _Piece:
        """Fetches from `position`, which is in no piece and comes before piece `index`: `min_bytes` or more."""
        run_bytes = 0
        expected_start, expected_end = self._expected
        if expected_start <= position < expected_end:
            end = expected_end
        else:
            if index and position - self._pieces[index - 1].end <= GAP_BYTES:
                run_bytes = self._pieces[index - 1].run_bytes
            end = position + max(min_bytes, FIRST_AHEAD_BYTES, min(run_bytes // 2, MAX_AHEAD_BYTES))
        end = min(end, position + MAX_FETCH_BYTES, self.size_bytes)
        if index < len(self._pieces):
            end = min(end, self._pieces[index].start)
        data = self._fetch(position, end)
        if len(data) != end - position:
            raise OSError(f"bytes {position} to {end} were asked for ({end - position}), {len(data)} bytes came")
        is_expected = expected_start <= position < expected_end
        piece = _Piece(position, data, 0 if is_expected else run_bytes + len(data))
        self._pieces.insert(index, piece)
        self._cached_bytes += len(data)
        self._forget_oldest(piece)
        return piece

    def _forget_oldest(self, but: _Piece) -> None:
        while self._cached_bytes > CACHE_BYTES:
            oldest = min((piece for piece in self._pieces if piece is not but), key=lambda piece: piece.last_use)
            self._pieces.remove(oldest)
            self._cached_bytes -= len(oldest.data)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")


def _start_of(piece: _Piece) -> int:
    return piece.start
