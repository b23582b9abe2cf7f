"""The way through a video gives each clip once, says which is the last, and tells a cut file from a short picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.reader import Selection, VideoHeader
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.errors import DecodeFailed, TruncatedVideo
from framegate.schemas.unit import DecodedClip, PlannedVideo

VIDEO = Video(uri="a.mp4", version="1", size_bytes=1000)
FRAMES = FramesConfig(fps=2, max_frames=4, min_frame_pixels=28 * 28, max_frame_pixels=28 * 28)


class Source:
    size_bytes = 1000
    bytes_read = 100

    def read(self, start: int, end: int) -> bytes:
        raise AssertionError("a clip_reader reads through its reader alone")


class ScriptedReader:
    """Ten frames a second up to `ends_at`; raises at `fails_at`. Every read costs 10 bytes."""

    def __init__(self, source: Source, *, ends_at: float, announced: float, cut_short: bool = False, fails_at=None):
        self.header = VideoHeader(
            container="iso_bmff", codec="h264", display_height=56, display_width=56, duration_seconds=announced,
            is_cut_short=cut_short,
        )  # fmt: skip
        self._source, self._ends_at, self._fails_at = source, ends_at, fails_at
        self.asked: list[Sequence[float]] = []

    def read(self, times_seconds, *, height, width, out=None) -> Selection:
        self.asked.append(times_seconds)
        self._source.bytes_read += 10
        if self._fails_at is not None and times_seconds[-1] >= self._fails_at:
            raise DecodeFailed("The scripted reader fails here.")
        shown = [seconds for seconds in times_seconds if seconds < self._ends_at]
        return Selection(
            np.zeros((len(shown), height, width, 3), np.uint8), np.array(shown), len(shown) < len(times_seconds)
        )

    def count_bytes(self, times_seconds) -> int | None:
        return None

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *exc_info: object) -> None: ...


def read_clips(clip_reader: ClipReader, **script) -> tuple[list[DecodedClip], Exception | None]:
    source = Source()
    clips: list[DecodedClip] = []
    try:
        for decoded in clip_reader.read(ScriptedReader(source, **script), source):
            clips.append(decoded)
    except (DecodeFailed, TruncatedVideo) as error:
        return clips, error
    return clips, None


def make_clip_reader(done: frozenset[tuple[int, str]] = frozenset()) -> ClipReader:
    planned = PlannedVideo(video=VIDEO, question_hashes=("q",), done=done)
    return ClipReader(planned, Policy(frames=FRAMES, clips=ClipsConfig(seconds=2)))


def test_the_last_clip_says_so_and_bytes_are_counted_where_they_were_read() -> None:
    clips, error = read_clips(make_clip_reader(), ends_at=6, announced=6)
    assert error is None
    assert [(c.clip.index, c.is_last, c.is_truncated, c.bytes_read) for c in clips] == [
        (0, False, False, 110),
        (1, False, False, 10),
        (2, True, False, 10),
    ]


@pytest.mark.parametrize("ends_at", [3.0, 4.0])
def test_a_picture_that_ends_before_its_sound_is_no_failure(ends_at: float) -> None:
    clips, error = read_clips(make_clip_reader(), ends_at=ends_at, announced=10)
    assert error is None
    assert [(c.clip.index, c.is_last, c.is_truncated) for c in clips] == [(0, False, False), (1, True, False)]


def test_a_file_cut_within_a_clip_gives_the_part_that_is_there_and_then_fails() -> None:
    clip_reader = make_clip_reader()
    clips, error = read_clips(clip_reader, ends_at=3.0, announced=10, cut_short=True)
    assert isinstance(error, TruncatedVideo)
    assert [(c.clip.index, c.is_last, c.is_truncated, len(c.frames)) for c in clips] == [
        (0, False, False, 4),
        (1, False, True, 2),
    ]
    assert clip_reader.next_index == 2


def test_a_file_cut_between_clips_fails_at_the_first_without_frames() -> None:
    clip_reader = make_clip_reader()
    clips, error = read_clips(clip_reader, ends_at=4.0, announced=10, cut_short=True)
    assert isinstance(error, TruncatedVideo)
    assert [(c.clip.index, c.is_truncated) for c in clips] == [(0, False), (1, False)]
    assert clip_reader.next_index == 2


def test_a_video_without_any_frame_fails() -> None:
    clip_reader = make_clip_reader()
    assert isinstance(read_clips(clip_reader, ends_at=0, announced=10)[1], TruncatedVideo)
    assert clip_reader.next_index == 0


def test_what_is_done_is_not_read() -> None:
    clip_reader = make_clip_reader(done=frozenset({(0, "q"), (2, "q")}))
    clips, error = read_clips(clip_reader, ends_at=8, announced=8)
    assert error is None
    assert [(c.clip.index, c.is_last) for c in clips] == [(1, False), (3, True)]


def test_another_reader_goes_on_where_one_failed() -> None:
    clip_reader = make_clip_reader()
    first, error = read_clips(clip_reader, ends_at=8, announced=8, fails_at=4)
    assert isinstance(error, DecodeFailed)
    assert clip_reader.next_index == 2
    second, error = read_clips(clip_reader, ends_at=8, announced=8)
    assert error is None
    assert [(c.clip.index, c.clip.start_seconds, c.is_last) for c in [*first, *second]] == [
        (0, 0.0, False),
        (1, 2.0, False),
        (2, 4.0, False),
        (3, 6.0, True),
    ]
