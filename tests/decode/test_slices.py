"""A long clip that is read in slices has the frames of one read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Selection, open_reader
from framegate.pipelines.decode.slices import read_in_slices
from tests.decode.corpus_films import FASTSTART, film
from tests.decode.sandbox.sources import Bytes
from tests.decode.test_kept_frames import FilmReader

FRAME_BYTES = 3 * 8 * 8


def open_file(data: bytes) -> RangeFile:
    return RangeFile(Bytes(data).read, len(data))


def check_equal(found: Selection, expected: Selection) -> None:
    np.testing.assert_array_equal(found.frames_THWC, expected.frames_THWC)
    np.testing.assert_array_equal(found.pts_seconds, expected.pts_seconds)
    assert found.has_ended == expected.has_ended
    assert found.is_letterboxed == expected.is_letterboxed
    assert found.frames_THWC.flags.c_contiguous


@settings(max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.floats(0.04, 5.0), min_size=1, max_size=60),
    fps=st.sampled_from([0.3, 1.0, 4.0]),
    num_times=st.integers(1, 80),
    start=st.floats(0, 10),
    num_each=st.integers(1, 20),
    letterboxed=st.lists(st.integers(0, 60), max_size=2),
)
def test_slices_are_one_read(
    gaps: list[float], fps: float, num_times: int, start: float, num_each: int, letterboxed: list[int]
) -> None:
    """Frames longer than a slice, films that end in one, and at its border."""
    starts = [0.0, *np.cumsum(gaps).tolist()]
    times = [start + number / fps for number in range(num_times)]
    reader, sliced = (FilmReader(starts, announced=1000, letterboxed=tuple(letterboxed)) for _ in range(2))
    expected = reader.read(times, height=8, width=8)
    found = read_in_slices(sliced, times, height=8, width=8, slice_bytes=num_each * FRAME_BYTES)
    check_equal(found, expected)
    assert len(sliced.decoded) <= len(reader.decoded) + math.ceil(num_times / num_each), "one again for each slice"


class Counting(FilmReader):
    """A reader that puts frames into arrays of its own, whatever it is lent. `most` is what one read asked for."""

    most = 0

    def read(self, times_seconds, *, height, width, out=None) -> Selection:
        self.most = max(self.most, len(times_seconds))
        return super().read(times_seconds, height=height, width=width)


def test_no_read_asks_for_more_than_a_slice() -> None:
    times = [float(number) for number in range(50)]
    reader = Counting(times, announced=50)
    found = read_in_slices(reader, times, height=8, width=8, slice_bytes=7 * FRAME_BYTES)
    assert reader.most == 7
    check_equal(found, FilmReader(times, announced=50).read(times, height=8, width=8))
    read_in_slices(reader, times[:2], height=8, width=8, slice_bytes=1)
    assert reader.most == 7, "at least one frame is read"


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_films_have_the_frames_of_one_read(decoder: str, tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    times = np.round(np.cumsum(chance.uniform(0.04, 0.9, 60)), 3).tolist()
    data = film(times_seconds=[0.0, *times], gop_frames=7, b_frames=2, muxer_options=FASTSTART)
    wanted = [0.2 * number for number in range(int(5 * times[-1]) + 9)]
    sizes = {"height": 32, "width": 64}
    with open_reader(decoder, open_file(data)) as reader:
        expected = reader.read(wanted, **sizes)
    assert expected.has_ended
    for num_each in (1, 5, 64):
        with open_reader(decoder, open_file(data)) as reader:
            check_equal(read_in_slices(reader, wanted, **sizes, slice_bytes=num_each * 3 * 32 * 64), expected)
