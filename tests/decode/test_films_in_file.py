"""Films behind one another in movies of many fragments and in large chains: found by few reads, never passed over."""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from framegate.pipelines.decode.readers import films_in_file, fragments_index
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.cut_short import MAX_BOXES, boxes
from framegate.pipelines.decode.readers.films_in_file import find_films
from framegate.pipelines.decode.readers.fragments_index import index_tells_one_film
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.schemas.errors import VideoTooLarge
from tests.decode.corpus_films import film
from tests.decode.ffmpeg_command import encode, remux

# How recorders write fragments: an index behind them (the first two), an index before each, none at all.
KINDS = {
    "indexed": "frag_keyframe+empty_moov",
    "announced": "frag_keyframe",
    "dash": "dash+frag_keyframe+empty_moov+default_base_moof",
    "plain": "frag_keyframe+empty_moov+skip_trailer",
}
NUM_FRAGMENTS = MAX_BOXES  # each has two boxes


@cache
def fragmented(kind: str, source: str = "testsrc") -> bytes:
    whole = encode(f"{source}=size=96x64:rate=4:duration={NUM_FRAGMENTS / 2}", "libx264", "mp4", "-g", "2")
    return remux(whole, "mp4", "-movflags", KINDS[kind])


def sources(data: bytes) -> tuple[RangeFile, list[tuple[int, int]]]:
    """A file in memory, and the stretches that are fetched of it."""
    fetched: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append((start, end))
        return data[start:end]

    return RangeFile(fetch, len(data)), fetched


@pytest.mark.parametrize("kind", KINDS)
def test_movies_of_many_fragments_behind_one_another_are_all_found(kind: str) -> None:
    first, second = fragmented(kind), fragmented(kind, "testsrc2")
    third = remux(fragmented(kind), "mp4")  # not fragmented
    joined = first + second + third
    limits = [0, len(first), len(first) + len(second), len(joined)]
    assert find_films(RangeFile.of(joined), "iso_bmff") == list(pairwise(limits))
    assert find_films(RangeFile.of(first), "iso_bmff") == [(0, len(first))]
    assert find_films(RangeFile.of(first * 2), "iso_bmff") == [(0, len(first)), (len(first), 2 * len(first))]


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_read_as_one_film(kind: str) -> None:
    first, second = fragmented(kind), fragmented(kind, "testsrc2")
    with open_reader("pyav", RangeFile.of(first)) as reader:
        end = reader.header.duration_seconds
        early = reader.read([1.0, 30.0], height=64, width=96)
    with open_reader("pyav", RangeFile.of(second)) as reader:
        start = float(reader.read([0.0], height=64, width=96).pts_seconds[0])  # as late as frames are reordered
        late = reader.read([start + 1.0, start + 30.0], height=64, width=96)
    with open_reader("pyav", RangeFile.of(first + second)) as reader:
        both = reader.read([1.0, 30.0, end + 1.0, end + 30.0], height=64, width=96)
        assert reader.header.duration_seconds == pytest.approx(
            end + NUM_FRAGMENTS / 2, abs=0.26
        )  # the delay of reordering
    np.testing.assert_array_equal(both.frames_THWC, np.concatenate([early.frames_THWC, late.frames_THWC]))
    assert not np.array_equal(early.frames_THWC, late.frames_THWC)


def num_late_looks(data: bytes) -> int:
    """How many places behind the first MAX_BOXES boxes are looked at."""
    *_, (_, _, end) = boxes(RangeFile.of(data))
    file, fetched = sources(data)
    assert len(find_films(file, "iso_bmff")) == 1
    return len({start for start, _ in fetched if start > end})


def test_an_index_spares_the_look_at_each_fragment() -> None:
    assert num_late_looks(fragmented("indexed")) <= 5
    assert num_late_looks(fragmented("announced")) <= 5
    assert num_late_looks(fragmented("plain")) > 10


def test_an_index_of_another_film_or_a_damaged_one_tells_nothing() -> None:
    data = fragmented("indexed")
    assert index_tells_one_film(RangeFile.of(data))
    assert not index_tells_one_film(RangeFile.of(fragmented("announced", "testsrc2") + data))
    assert not index_tells_one_film(RangeFile.of(data[:-1]))
    assert not index_tells_one_film(RangeFile.of(b""))
    assert not index_tells_one_film(RangeFile.of(data + data[:-16] + bytes(16)))
    start = data.rindex(b"mfra") - 4
    for place in range(start, len(data)):  # whatever a byte becomes, it is found one film, or looked at further
        spoiled = bytearray(data)
        spoiled[place] ^= 0x81
        assert find_films(RangeFile.of(bytes(spoiled)), "iso_bmff") == [(0, len(data))]


def test_an_index_with_long_places_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = fragmented("indexed")
    body = data[: data.rindex(b"mfra") - 4]
    last = body.rindex(b"moof") - 4

    def indexed(place: int) -> bytes:
        entry = struct.pack(">QQ3s", 0, place, b"\x01\x01\x01")
        table = struct.pack(">I4sB3xIII", 24 + len(entry), b"tfra", 1, 1, 0, 1) + entry
        size = 8 + len(table) + 16
        return body + struct.pack(">I4s", size, b"mfra") + table + struct.pack(">I4sII", 16, b"mfro", 0, size)

    assert index_tells_one_film(RangeFile.of(indexed(last)))
    assert not index_tells_one_film(RangeFile.of(indexed(last + 8)))
    assert not index_tells_one_film(RangeFile.of(indexed(0)))
    monkeypatch.setattr(fragments_index, "MAX_INDEX_BYTES", 16)
    assert not index_tells_one_film(RangeFile.of(indexed(last)))


def test_a_movie_of_endless_boxes_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films_in_file, "MAX_MOVIE_BOXES", 1000)
    empty = struct.pack(">I4s", 8, b"free")
    assert find_films(RangeFile.of(fragmented("plain") + empty * 500), "iso_bmff")
    with pytest.raises(VideoTooLarge, match="1000 boxes or more; at most 999"):
        find_films(RangeFile.of(fragmented("plain") + empty * 1000), "iso_bmff")


@pytest.mark.parametrize("seconds", [(3, 3), (3, 2), (2, 3), (6, 1, 1)])
def test_a_large_chain_of_one_stream_number_is_seen_at_some_places(
    seconds: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films_in_file, "WHOLE_BYTES", 0)
    monkeypatch.setattr(films_in_file, "PROBE_BYTES", 16 << 10)
    made = [film("ogg", "libvpx", seconds=length) for length in seconds]
    links = [link.replace(link[14:18], b"\x01\x00\x00\x00") for link in made]  # the number of the stream, in each page
    assert len(find_films(RangeFile.of(b"".join(links)), "ogg")) == len(links)
    assert len(find_films(RangeFile.of(links[0]), "ogg")) == 1
