"""Some five hundred made films: frames, times and clips are those of FFmpeg's command line, by both decoders.

`FRAMEGATE_FILMS=1 pytest tests/decode/test_made_films.py` makes all of them; without it every seventh is made.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Reader, open_reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.errors import DecodeFailed, UnsupportedCodec
from framegate.schemas.unit import PlannedVideo
from tests.decode.made_films import Film, films
from tests.decode.oracle import Seen, in_order, number_in, shown_size

ALL = films()
SOME = ALL if os.environ.get("FRAMEGATE_FILMS") else ALL[::7]
CLIPS = ClipsConfig(seconds=0.7)
POLICY = Policy(
    frames=FramesConfig(fps=50, max_frames=64, min_frame_pixels=28 * 28, max_frame_pixels=56 * 56), clips=CLIPS
)
# Stamps are whole ticks of 1 ms or less, and FFmpeg prints times with six digits.
CLOSE_SECONDS = 0.0011


def read(reader: Reader, seconds: list[float], orientation: str) -> Seen:
    height, width = shown_size(orientation)
    frames, pts, _ = reader.read(seconds, height=height, width=width)
    return Seen([number_in(frame, orientation) for frame in frames], pts.tolist())


def check_reader(reader: Reader, right: Seen, orientation: str) -> None:
    """All frames at once, then some alone, backwards."""
    seen = read(reader, right.seconds, orientation)
    assert seen.numbers == right.numbers
    assert np.abs(np.array(seen.seconds) - right.seconds).max() < CLOSE_SECONDS
    for k in range(len(right.seconds) - 1, -1, -13):
        assert read(reader, [right.seconds[k]], orientation).numbers == [right.numbers[k]]


class Bytes:
    """A source in memory."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size_bytes, self.bytes_read = data, len(data), 0

    def read(self, start: int, end: int) -> bytes:
        return self._data[start:end]


def check_clips(reader: Reader, data: bytes, right: Seen) -> None:
    """Every frame starts in exactly one clip, and every clip shows one that starts in it."""
    planned = PlannedVideo(video=Video(uri="/film", version="1", size_bytes=len(data)), question_hashes=("q",))
    clips = list(ClipReader(planned, POLICY).read(reader, Bytes(data)))
    stretches = [
        (decoded.clip.start_seconds - TICK_SECONDS, decoded.clip.end_seconds - TICK_SECONDS) for decoded in clips
    ]
    for (start, _), decoded in zip(stretches, clips, strict=True):
        assert decoded.frames.pts_seconds[-1] >= start
    starts = [
        sum(start <= at < end for start, end in [*stretches[:-1], (stretches[-1][0], np.inf)]) for at in right.seconds
    ]
    assert starts == [1] * len(right.seconds)
    assert [decoded.clip.index for decoded in clips] == list(range(len(clips)))
    assert [decoded.is_last for decoded in clips] == [False] * (len(clips) - 1) + [True]


@pytest.mark.parametrize("film", SOME, ids=[film.name for film in SOME])
def test_frames_times_and_clips_are_those_of_the_command_line(film: Film, tmp_path: Path) -> None:
    data, right = film.write(tmp_path)
    right = in_order(right)
    # What begins below 0 is cut off by the edit list; of MPEG-1, FFmpeg itself gets the times of four frames wrong.
    least = 0.7 if film.kind == "below" else 0.85
    assert len(right.seconds) >= film.num_frames * len(film.offsets) * least
    with open_reader("pyav", RangeFile.of(data)) as reader:
        assert (reader.header.display_height, reader.header.display_width) == shown_size(film.orientation)
        check_reader(reader, right, film.orientation)
        check_clips(reader, data, right)
    try:
        reader = open_reader("decord", RangeFile.of(data))
        seen = read(reader, right.seconds, film.orientation)
    except (UnsupportedCodec, DecodeFailed):  # the next decoder of a job is tried
        return
    assert seen.numbers == right.numbers
    assert np.abs(np.array(seen.seconds) - right.seconds).max() < CLOSE_SECONDS
    check_clips(reader, data, right)


def test_there_are_four_hundred() -> None:
    assert len(ALL) >= 400
