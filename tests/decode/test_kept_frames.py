"""Overlapping clips have the frames that they have alone, and each of these is decoded once."""

from __future__ import annotations

import numpy as np
import pytest

from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.kept_frames import KeptFrames, clips_overlap
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Selection, VideoHeader, open_reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.unit import DecodedClip, PlannedVideo
from tests.decode.ffmpeg_command import encode

VIDEO = Video(uri="a.mp4", version="1", size_bytes=1000)


class Source:
    size_bytes = 1000
    bytes_read = 0

    def read(self, start: int, end: int) -> bytes:
        raise AssertionError("a scripted reader reads no bytes")


class FilmReader:
    """A film whose frames start at `starts`; each frame shows its number. Counts what is decoded."""

    def __init__(self, starts: list[float], *, announced: float, letterboxed: tuple[int, ...] = ()) -> None:
        self.header = VideoHeader(
            container="iso_bmff", codec="h264", display_height=56, display_width=56, duration_seconds=announced
        )
        self._starts, self._letterboxed = np.array(starts), set(letterboxed)
        self._end = starts[-1] + 1.0
        self.decoded: list[int] = []

    def read(self, times_seconds, *, height, width, out=None) -> Selection:
        numbers: list[int] = []
        has_ended = False
        for seconds in times_seconds:
            if seconds >= self._end:
                has_ended = True
                break
            number = max(0, int(np.searchsorted(self._starts, seconds + TICK_SECONDS, side="right")) - 1)
            if not numbers or number > numbers[-1]:
                numbers.append(number)
        self.decoded += numbers
        frames = np.empty((len(numbers), height, width, 3), np.uint8) if out is None else out[: len(numbers)]
        frames[:] = (np.array(numbers) % 251)[:, None, None, None]
        return Selection(
            frames, self._starts[numbers], has_ended, is_letterboxed=bool(self._letterboxed.intersection(numbers))
        )

    def count_bytes(self, times_seconds) -> int | None:
        return None

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *exc_info: object) -> None: ...


def film(fps: float, seconds: float, **script) -> FilmReader:
    return FilmReader([k / fps for k in range(int(seconds * fps))], announced=seconds, **script)


def read_clips(reader: FilmReader, clips: ClipsConfig, frames: FramesConfig) -> list[DecodedClip]:
    clip_reader = ClipReader(PlannedVideo(video=VIDEO, question_hashes=("q",)), Policy(frames=frames, clips=clips))
    return list(clip_reader.read(reader, Source()))


def read_alone(reader: FilmReader, clips: list[DecodedClip], frames: FramesConfig) -> list[Selection]:
    """What the reader gives for each clip when nothing is kept."""
    policy = Policy(frames=frames, clips=ClipsConfig())
    selections = []
    for clip in clips:
        targets = policy.targets(clip.clip.start_seconds, clip.clip.end_seconds, reader.header)
        selections.append(reader.read(targets.times_seconds, height=targets.height, width=targets.width))
    return selections


SMALL = {"min_frame_pixels": 28 * 28, "max_frame_pixels": 28 * 28}


@pytest.mark.parametrize("film_fps", [25.0, 12.5, 1.5, 1.0, 0.4])
@pytest.mark.parametrize("frames_fps", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("seconds", "stride"), [(10, 5), (10, 2.5), (7, 3), (10, 10 / 3)])
def test_clips_have_the_frames_that_they_have_alone(film_fps, frames_fps, seconds, stride):
    reader, frames = film(film_fps, 60), FramesConfig(fps=frames_fps, **SMALL)
    clips = read_clips(reader, ClipsConfig(seconds=seconds, stride_seconds=stride), frames)
    alone = read_alone(reader, clips, frames)
    assert len(clips) > 10
    for clip, selection in zip(clips, alone, strict=True):
        np.testing.assert_array_equal(clip.frames.pts_seconds, selection.pts_seconds)
        np.testing.assert_array_equal(clip.frames.frames_THWC, selection.frames_THWC)


@pytest.mark.parametrize("film_fps", [25.0, 1.0])
def test_each_frame_is_decoded_once_where_clips_share_moments(film_fps):
    reader = film(film_fps, 60)
    read_clips(reader, ClipsConfig(seconds=10, stride_seconds=5), FramesConfig(fps=2, **SMALL))
    repeated = len(reader.decoded) - len(set(reader.decoded))
    assert repeated <= (0 if film_fps > 2 else 11)  # the frame that a clip ends with goes on in the next one


def test_frames_are_decoded_anew_where_clips_share_no_moment():
    reader = film(25, 60)
    clips = read_clips(reader, ClipsConfig(seconds=10, stride_seconds=4.8), FramesConfig(fps=2, **SMALL))
    assert len(reader.decoded) == sum(len(clip.frames) for clip in clips)


def test_clips_that_do_not_overlap_keep_nothing():
    assert not clips_overlap(ClipsConfig(seconds=10))
    assert not clips_overlap(ClipsConfig(seconds=10, stride_seconds=12))
    assert not clips_overlap(ClipsConfig(whole_video=True))
    assert clips_overlap(ClipsConfig(seconds=10, stride_seconds=9))


def test_letterboxed_frames_are_told_of_the_clips_that_have_them_alone():
    reader = film(2, 30, letterboxed=(12, 13))  # from 6 to 7 s
    clips = read_clips(reader, ClipsConfig(seconds=4, stride_seconds=2), FramesConfig(fps=2, **SMALL))
    boxed = [clip.clip.start_seconds for clip in clips if clip.is_letterboxed]
    assert boxed == [4.0, 6.0]


def test_a_film_that_ends_early_ends_the_same_with_overlap():
    frames = FramesConfig(fps=2, **SMALL)
    reader = FilmReader([k / 5 for k in range(100)], announced=26)
    clips = read_clips(reader, ClipsConfig(seconds=8, stride_seconds=4), frames)
    assert [clip.is_last for clip in clips] == [False] * (len(clips) - 1) + [True]
    for clip, selection in zip(clips, read_alone(reader, clips, frames), strict=True):
        np.testing.assert_array_equal(clip.frames.pts_seconds, selection.pts_seconds)


def test_frames_are_put_where_the_caller_says():
    reader = KeptFrames(film(25, 20))
    out = np.empty((4, 28, 28, 3), np.uint8)
    for start in (0.0, 1.0):
        times = [start + k / 2 for k in range(4)]
        selection = reader.read(times, height=28, width=28, out=out)
        assert np.shares_memory(selection.frames_THWC, out)
        expected = film(25, 20).read(times, height=28, width=28)
        np.testing.assert_array_equal(selection.frames_THWC, expected.frames_THWC)


@pytest.fixture(scope="module")
def encoded() -> bytes:
    """With B-frames, a key frame every 3 s, and 12 frames a second."""
    source = "testsrc2=size=112x84:rate=12:duration=20"
    return encode(source, "libx264", "mp4", "-g", "36", "-bf", "3", "-sc_threshold", "0", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize("fps", [2.0, 3.0, 24.0])
def test_films_decode_to_the_same_clips_with_and_without_what_is_kept(encoded, decoder, fps):
    policy = Policy(
        frames=FramesConfig(fps=fps, **SMALL), clips=ClipsConfig(seconds=5, stride_seconds=2.5, min_seconds=1)
    )
    planned = PlannedVideo(video=VIDEO, question_hashes=("q",))
    both: list[list[DecodedClip]] = []
    for keeps_frames in (True, False):
        clip_reader = ClipReader(planned, policy, keeps_frames=keeps_frames)
        with (
            RangeFile(lambda start, end: encoded[start:end], len(encoded)) as file,
            open_reader(decoder, file) as reader,
        ):
            both.append(list(clip_reader.read(reader, Source())))
    kept, alone = both
    assert len(kept) == len(alone) == 7
    for one, other in zip(kept, alone, strict=True):
        assert (one.clip, one.is_last, one.is_truncated) == (other.clip, other.is_last, other.is_truncated)
        np.testing.assert_array_equal(one.frames.pts_seconds, other.frames.pts_seconds)
        np.testing.assert_array_equal(one.frames.frames_THWC, other.frames.frames_THWC)


def test_a_film_whose_picture_begins_late_shows_its_first_frame_until_then():
    reader = FilmReader([3 + k / 4 for k in range(60)], announced=18)
    frames = FramesConfig(fps=2, **SMALL)
    clips = read_clips(reader, ClipsConfig(seconds=6, stride_seconds=2), frames)
    for clip, selection in zip(clips, read_alone(reader, clips, frames), strict=True):
        np.testing.assert_array_equal(clip.frames.pts_seconds, selection.pts_seconds)
        np.testing.assert_array_equal(clip.frames.frames_THWC, selection.frames_THWC)
