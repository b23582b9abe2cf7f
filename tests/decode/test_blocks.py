"""RangeFile: the bytes of any other file, few requests while it is read on, few bytes while it is jumped about in."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.decode.readers import blocks
from framegate.pipelines.decode.readers.blocks import (
    CACHE_BYTES,
    FIRST_AHEAD_BYTES,
    MAX_AHEAD_BYTES,
    MAX_FETCH_BYTES,
    RangeFile,
)


class Storage:
    """Bytes that count how they are fetched; without bytes, a huge object of zeros."""

    def __init__(self, data: bytes | None = None, *, size_bytes: int = 0) -> None:
        self.data, self.size_bytes = data, size_bytes if data is None else len(data)
        self.fetched: list[tuple[int, int]] = []

    def fetch(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= self.size_bytes
        self.fetched.append((start, end))
        return bytes(end - start) if self.data is None else self.data[start:end]

    @property
    def num_bytes(self) -> int:
        return sum(end - start for start, end in self.fetched)

    def open(self) -> RangeFile:
        return RangeFile(self.fetch, self.size_bytes)


def read_whole(file: io.RawIOBase, size: int) -> bytes:
    """As many reads as it takes; a raw file may give less than it is asked for."""
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


DATA = random.Random(3).randbytes(3000)
_SPOT = st.integers(0, 3100)
_STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 800), st.just(0)),
    st.tuples(st.just("seek"), st.integers(-3100, 3100), st.sampled_from([io.SEEK_CUR, io.SEEK_END])),
    st.tuples(st.just("seek"), _SPOT, st.just(io.SEEK_SET)),
    st.tuples(st.just("expect"), _SPOT, _SPOT),
)


@settings(max_examples=300)
@given(st.lists(_STEPS, max_size=40))
def test_it_reads_like_any_other_file(steps: list[tuple[str, int, int]]) -> None:
    small = {"CACHE_BYTES": 400, "MAX_FETCH_BYTES": 150, "FIRST_AHEAD_BYTES": 20, "MAX_AHEAD_BYTES": 90, "GAP_BYTES": 9}
    storage, plain = Storage(DATA), io.BytesIO(DATA)
    with pytest.MonkeyPatch.context() as patch, storage.open() as file:
        for name, value in small.items():
            patch.setattr(blocks, name, value)
        for verb, first, second in steps:
            if verb == "read":
                assert read_whole(file, first) == plain.read(first)
            elif verb == "seek":
                assert file.seek(first, second) == plain.seek(first, second)
            else:
                file.expect(first, second)
            assert file.tell() == plain.tell()
            assert file._cached_bytes == sum(len(piece.data) for piece in file._pieces) <= 400
    assert all(end - start <= 150 for start, end in storage.fetched)


def test_what_is_cached_is_not_fetched_again() -> None:
    storage = Storage(DATA)
    with storage.open() as file:
        assert file.read() == DATA
        file.seek(100)
        assert file.read(50) == DATA[100:150]
    assert storage.fetched == [(0, 3000)]


def test_a_first_read_fetches_little_and_reading_on_fetches_ever_more() -> None:
    storage = Storage(size_bytes=100 << 20)
    with storage.open() as file:
        while file.tell() < 50 << 20:
            file.read(32 << 10)
    sizes = [end - start for start, end in storage.fetched]
    assert sizes[0] == FIRST_AHEAD_BYTES
    assert sizes == sorted(sizes)
    assert sizes[-1] == MAX_AHEAD_BYTES
    assert len(sizes) < 40
    assert storage.num_bytes <= (50 << 20) + MAX_AHEAD_BYTES


def test_after_a_jump_it_begins_small_again() -> None:
    storage = Storage(size_bytes=100 << 20)
    with storage.open() as file:
        read_whole(file, 8 << 20)
        file.seek(50 << 20)
        file.read(1)
        assert storage.fetched[-1] == (50 << 20, (50 << 20) + FIRST_AHEAD_BYTES)


def test_two_places_may_be_read_on_by_turns() -> None:
    """As pictures and sound that lie far apart are."""
    storage = Storage(size_bytes=100 << 20)
    with storage.open() as file:
        for offset in range(0, 4 << 20, 32 << 10):
            for start in (0, 50 << 20):
                file.seek(start + offset)
                file.read(32 << 10)
    assert len(storage.fetched) < 40


def test_what_is_expected_comes_in_one_request_and_nothing_beyond() -> None:
    storage = Storage(size_bytes=100 << 20)
    start, end = 10_000_001, 11_000_003
    with storage.open() as file:
        file.expect(start, end)
        assert storage.fetched == []
        file.seek(start)
        while file.tell() < end:  # in reads of a player's buffer, the last of which reaches beyond the end
            assert file.read(32 << 10)
        assert file.tell() == end
        assert storage.fetched == [(start, end)]
        assert len(read_whole(file, 10)) == 10
        assert storage.fetched[1:] == [(end, end + FIRST_AHEAD_BYTES)]


def test_a_long_expected_stretch_comes_in_pieces() -> None:
    storage = Storage(size_bytes=100 << 20)
    with storage.open() as file:
        file.expect(0, 3 * MAX_FETCH_BYTES)
        read_whole(file, 3 * MAX_FETCH_BYTES)
    assert storage.fetched == [(n * MAX_FETCH_BYTES, (n + 1) * MAX_FETCH_BYTES) for n in range(3)]


def test_memory_is_bounded_and_what_was_used_last_is_kept() -> None:
    storage = Storage(size_bytes=1 << 40)
    with storage.open() as file:
        file.read(1)
        for n in range(1, 2000):
            file.seek(n << 25)
            file.read(100_000)
            file.seek(0)
            file.read(1)
            assert file._cached_bytes <= CACHE_BYTES
    assert sum(start == 0 for start, _ in storage.fetched) == 1


def test_a_fetch_that_gives_too_little_is_an_error() -> None:
    with RangeFile(lambda start, end: b"short", 1000) as file, pytest.raises(OSError, match=r"1000.*, 5 bytes came"):
        file.read(10)


def test_a_fetch_that_fails_leaves_the_file_where_it_was() -> None:
    def fetch(start: int, end: int) -> bytes:
        raise ConnectionResetError("gone")

    with RangeFile(fetch, 1000) as file:
        file.seek(5)
        with pytest.raises(ConnectionResetError):
            file.read(10)
        assert file.tell() == 5


def test_seeking_to_nowhere_and_reading_a_closed_file_are_refused() -> None:
    file = RangeFile.of(b"abc")
    with pytest.raises(ValueError, match="byte -1"):
        file.seek(-1)
    with pytest.raises(ValueError, match="rule 65536"):
        file.seek(0, 65536)
    file.seek(10)
    assert file.read(5) == b""
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_a_look_into_what_is_cached_is_not_taken_for_reading_on() -> None:
    storage = Storage(size_bytes=100 << 20)
    with storage.open() as file:
        read_whole(file, 8 << 20)
        last_end = storage.fetched[-1][1]
        file.seek(4 << 20)
        file.read(1)
        file.seek(last_end - 1)
        read_whole(file, 2)
        assert storage.fetched[-1] == (last_end, last_end + FIRST_AHEAD_BYTES)
