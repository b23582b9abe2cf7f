"""Some three hundred made films: frames, times and clips are those of FFmpeg's command line, by both decoders.

`FRAMEGATE_FILMS=1 pytest tests/decode/test_made_films.py` makes all of them; without it every seventh is made.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Reader, open_reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.pipelines.decode.split import split
from framegate.schemas.config import ClipsConfig
from framegate.schemas.errors import DecodeFailed, UnsupportedCodec
from tests.decode.conftest import _number_of
from tests.decode.made_films import Film, films
from tests.decode.oracle import HEIGHT, WIDTH, Seen, in_order

ALL = films()
SOME = ALL if os.environ.get("FRAMEGATE_FILMS") else ALL[::7]
CLIPS = ClipsConfig(seconds=0.7)
# Stamps are whole ticks of 1 ms or less, and FFmpeg prints times with six digits.
CLOSE_SECONDS = 0.0011


def read(reader: Reader, seconds: list[float]) -> Seen:
    frames, pts, _ = reader.read(seconds, height=HEIGHT, width=WIDTH)
    return Seen([_number_of(frame) for frame in frames], pts.tolist())


def check_reader(reader: Reader, right: Seen) -> None:
    """All frames at once, then some alone, backwards."""
    seen = read(reader, right.seconds)
    assert seen.numbers == right.numbers
    assert np.abs(np.array(seen.seconds) - right.seconds).max() < CLOSE_SECONDS
    for k in range(len(right.seconds) - 1, -1, -13):
        assert read(reader, [right.seconds[k]]).numbers == [right.numbers[k]]


def check_clips(reader: Reader, right: Seen) -> None:
    """Every frame starts in exactly one clip, and in every clip a frame starts."""
    clips = list(split(reader, CLIPS))
    starts = [[k for k, at in enumerate(right.seconds) if a <= at + TICK_SECONDS < b] for a, b in clips]
    assert sorted(k for some in starts for k in some) == list(range(len(right.seconds)))
    assert all(starts)


@pytest.mark.parametrize("film", SOME, ids=[film.name for film in SOME])
def test_frames_times_and_clips_are_those_of_the_command_line(film: Film, tmp_path: Path) -> None:
    data, right = film.write(tmp_path)
    right = in_order(right)
    least = 0.7 if film.kind == "below" else 0.9  # what begins below 0 is cut off by the edit list
    assert len(right.seconds) >= film.num_frames * len(film.offsets) * least
    with open_reader("pyav", RangeFile.of(data)) as reader:
        check_reader(reader, right)
        check_clips(reader, right)
    try:
        reader = open_reader("decord", RangeFile.of(data))
        seen = read(reader, right.seconds)
    except (UnsupportedCodec, DecodeFailed):  # the next decoder of a job is tried
        return
    assert seen.numbers == right.numbers
    assert np.abs(np.array(seen.seconds) - right.seconds).max() < CLOSE_SECONDS
    check_clips(reader, right)


def test_there_are_three_hundred() -> None:
    assert len(ALL) >= 300
