"""Time as archives have it: headers that lie, stamps that jump in large files, films behind one another, parts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode import part as part_module
from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers import films_in_file, time_signs
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.films_in_file import find_films
from framegate.pipelines.decode.readers.joined import JoinedReader
from framegate.pipelines.decode.readers.reader import Reader, Selection, VideoHeader, open_reader
from framegate.pipelines.decode.readers.time_watch import TimeWatch
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.pipelines.decode.split import split
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.errors import TimesRestart, TruncatedVideo, VideoError, VideoTooLarge
from framegate.schemas.unit import DecodedClip, PlannedVideo
from tests.decode.corpus_bytes import announce_mkv, frame_ticks
from tests.decode.corpus_films import film, steady
from tests.decode.oracle import HEIGHT, WIDTH, ffmpeg, raw_frames

CLIPS = ClipsConfig(seconds=2)
FRAMES = FramesConfig(fps=2, max_frames=8, min_frame_pixels=28 * 28, max_frame_pixels=56 * 56)


class Source:
    """A file in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size_bytes, self.bytes_read = data, len(data), 0

    def read(self, start: int, end: int) -> bytes:
        self.bytes_read += end - start
        return self._data[start:end]


def opened(data: bytes, decoder: str = "pyav") -> Reader:
    return open_reader(decoder, RangeFile.of(data))


def read_clips(
    reader: Reader,
    size_bytes: int = 1,
    *,
    clips: ClipsConfig = CLIPS,
    part: int = 0,
    num_parts: int = 1,
    error: type[VideoError] = TruncatedVideo,
) -> tuple[list[DecodedClip], Exception | None]:
    """The clips of a video, and the `error` that ended it."""
    video = Video(uri="/film", version="1", size_bytes=size_bytes)
    planned = PlannedVideo(video=video, question_hashes=("q",), part=part, num_parts=num_parts)
    found: list[DecodedClip] = []
    try:
        for decoded in ClipReader(planned, Policy(frames=FRAMES, clips=clips)).read(reader, Source(b"")):
            found.append(decoded)
    except error as ended:
        return found, ended
    return found, None


def every_frame(reader: Reader) -> list[float]:
    times = np.arange(0, reader.header.duration_seconds, 0.02).tolist()
    return reader.read(times, height=28, width=28).pts_seconds.tolist()


# --- headers that claim what is not there ---------------------------------------------------------------------------


def test_three_frames_that_are_said_to_last_days_are_three_clips() -> None:
    data = frame_ticks(film(times_seconds=[0.0, 0.1, 0.2], muxer_options=(("use_editlist", "0"),)), 2 * 86_400 * 10_240)
    with opened(data) as reader:
        assert reader.header.duration_seconds > 2 * 86_400
        clips, error = read_clips(reader)
    assert error is None
    assert [decoded.clip.index for decoded in clips] == [0, 1, 2]
    assert [decoded.is_last for decoded in clips] == [False, False, True]
    for decoded in clips:
        assert decoded.frames.pts_seconds[-1] >= decoded.clip.start_seconds - 0.001


@pytest.mark.parametrize("muxer", ["matroska", "webm"])
def test_a_matroska_header_that_claims_a_month_adds_no_clips(muxer: str) -> None:
    codec = "libx264" if muxer == "matroska" else "libvpx"
    with opened(announce_mkv(film(muxer, codec), 30 * 86_400.0)) as reader:
        assert reader.header.duration_seconds == pytest.approx(30 * 86_400.0)
        assert len(list(split(reader, CLIPS))) == 2
        clips, error = read_clips(reader)
    assert error is None
    assert [len(decoded.frames) for decoded in clips] == [4, 4]


def test_scenes_of_a_header_that_claims_days_are_found_in_seconds() -> None:
    with opened(announce_mkv(film("matroska"), 3 * 86_400.0)) as reader:
        clips = list(split(reader, ClipsConfig(scenes=True, seconds=4, min_seconds=1)))
    assert clips == [(0.0, 4.0)]


def test_a_frame_that_stays_is_asked_about_once() -> None:
    """A picture every five seconds is real film: each is asked about in the clip in which it comes."""
    slides = [0.0, 0.1, 5.0, 10.0, 15.0]
    for muxer in ("mp4", "matroska"):
        with opened(film(muxer, times_seconds=slides, gop_frames=1)) as reader:
            clips, _ = read_clips(reader)
        assert [decoded.clip.start_seconds for decoded in clips] == [0.0, 4.0, 10.0, 14.0]
        assert [decoded.clip.index for decoded in clips] == [0, 1, 2, 3]


# --- stamps that begin again or jump in files too large to be read at once -----------------------------------------


def broadcast(seconds: float, *, start_seconds: float = 0.0) -> bytes:
    return film("mpegts", times_seconds=steady(seconds, start_seconds=start_seconds), b_frames=2)


@pytest.mark.parametrize(
    "data",
    [
        lambda: broadcast(6) + broadcast(8) + broadcast(7),
        lambda: broadcast(6, start_seconds=50_000) + broadcast(15),
        lambda: broadcast(10) + broadcast(11, start_seconds=3600),
    ],
    ids=["again", "reboot", "leap"],
)
def test_places_of_a_large_stream_show_that_its_stamps_jump(data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_signs, "WHOLE_BYTES", 0)
    with opened(data()) as reader:
        assert reader.header.duration_seconds == pytest.approx(21.0)
        assert every_frame(reader) == pytest.approx(steady(21), abs=1e-5)
        for seconds in (20.5, 3.2, 13.9, 6.0):  # by bytes, for a stamp stands at many places
            assert reader.read([seconds], height=28, width=28).pts_seconds == pytest.approx([seconds], abs=0.1)


def test_a_large_stream_in_order_is_not_read_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_signs, "WHOLE_BYTES", 0)
    monkeypatch.setattr(time_signs, "read_all_packets", None)  # whoever calls it fails
    with opened(broadcast(20)) as reader:
        assert every_frame(reader) == pytest.approx(steady(20), abs=1e-5)


@pytest.mark.parametrize("muxer", ["mpegts", "vob"])
def test_stamps_that_begin_again_where_nobody_looked_end_the_video_there(
    muxer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_signs, "WHOLE_BYTES", 0)
    monkeypatch.setattr(time_signs, "_jumps", lambda track: False)
    codec = "libx264" if muxer == "mpegts" else "mpeg2video"
    data = film(muxer, codec, seconds=12) + film(muxer, codec, seconds=30)
    with opened(data) as reader:
        clips, error = read_clips(reader, error=TimesRestart)
    assert isinstance(error, TimesRestart)
    assert [decoded.clip.index for decoded in clips] == list(range(len(clips)))
    assert 5 <= len(clips) <= 6
    for decoded in clips:
        assert decoded.frames.pts_seconds[0] == pytest.approx(decoded.clip.start_seconds, abs=0.11)


def test_a_few_wild_stamps_end_nothing() -> None:
    watch = TimeWatch(Fraction(1, 1000))
    stamps: list[int | None] = [40 * k for k in range(500)]
    stamps[100:110] = [10_000_000] * 10
    stamps[200:210] = [0] * 10
    stamps[300] = None
    assert not any(watch.begins_again(stamp) for stamp in stamps)
    assert [watch.begins_again(40 * k) for k in range(20)] == [False] * 15 + [True] * 5
    watch.forget()
    assert not any(watch.begins_again(40 * k) for k in range(100))


# --- films behind one another ---------------------------------------------------------------------------------------


def test_three_hundred_links_of_a_chained_ogg_are_all_read() -> None:
    link = film("ogg", "libvpx", seconds=0.3)
    with opened(link) as reader:
        link_seconds = reader.header.duration_seconds - reader.read([0.0], height=28, width=28).pts_seconds[0]
    with opened(link * 300) as reader:
        assert reader.header.duration_seconds == pytest.approx(300 * link_seconds, abs=0.1)
        for seconds in (0.0, 150 * link_seconds, 299 * link_seconds):
            assert reader.read([seconds], height=28, width=28).pts_seconds == pytest.approx([seconds], abs=0.11)


def test_more_films_than_are_read_are_too_large() -> None:
    with pytest.raises(VideoTooLarge, match="at most 1000"):
        opened(film("ogg", "libvpx", times_seconds=[0.0]) * 1001)


def test_a_large_chain_is_seen_at_some_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films_in_file, "WHOLE_BYTES", 0)
    links = [film("ogg", "libvpx", seconds=seconds) for seconds in (1, 2, 3)]
    assert len(find_films(RangeFile.of(b"".join(links)), "ogg")) == 3
    assert len(find_films(RangeFile.of(links[2]), "ogg")) == 1


@pytest.mark.parametrize("muxer", ["mp4", "matroska", "flv", "avi"])
def test_a_second_film_that_is_damaged_ends_the_video_cut_short(muxer: str) -> None:
    codec = "mpeg4" if muxer == "avi" else "libx264"
    whole, second = film(muxer, codec), bytearray(film(muxer, codec, seconds=3))
    keep = {"mp4": 40, "matroska": 60, "flv": 13, "avi": 12}[muxer]
    second[keep:] = b"\xff" * (len(second) - keep)
    with opened(whole + bytes(second)) as reader:
        clips, error = read_clips(reader)
    assert [len(decoded.frames) for decoded in clips][:2] == [4, 4]
    assert isinstance(error, TruncatedVideo)


def test_a_lone_film_is_read_by_its_own_reader() -> None:
    for muxer, codec in (("mp4", "libx264"), ("matroska", "libx264"), ("flv", "libx264"), ("ogg", "libvpx")):
        with opened(film(muxer, codec)) as reader:
            assert not isinstance(reader, JoinedReader)


@pytest.mark.parametrize(
    ("ending", "options"),
    [("mkv", ["-live", "1"]), ("flv", ["-flvflags", "no_duration_filesize"]), ("mp4", ["-movflags", "frag_keyframe"])],
)
def test_live_recordings_behind_one_another_are_all_read(ending: str, options: list[str], tmp_path: Path) -> None:
    """Their headers do not say where they end, and their indexes grow while they are read."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "10", "-i", "pipe:0"]
    whole = b""
    for number in range(2):
        path = tmp_path / f"{number}.{ending}"
        ffmpeg(
            *raw,
            "-c:v",
            "libx264",
            "-bf",
            "2",
            "-g",
            "10",
            *options,
            str(path),
            given=raw_frames(30, first=30 * number),
        )
        with opened(path.read_bytes()) as reader:
            assert every_frame(reader) == pytest.approx(steady(3), abs=0.001)
        whole += path.read_bytes()
    with opened(whole) as reader:
        assert every_frame(reader) == pytest.approx(steady(6), abs=0.001)


def test_films_behind_one_another_are_read_in_the_sandbox() -> None:
    data = film("matroska") + film("matroska", seconds=3.0, b_frames=2)
    with Sandbox(DecodeConfig(), ("pyav",)) as sandbox, sandbox.open("pyav", Source(data)) as reader:
        assert reader.header.duration_seconds == pytest.approx(7.0)
        assert every_frame(reader) == pytest.approx(steady(7), abs=0.002)


def test_the_bytes_of_films_behind_one_another_are_counted_together() -> None:
    data = film()
    with opened(data) as one, opened(data + data) as two:
        assert two.count_bytes([0.5, 3.5, 4.5, 7.5]) == 2 * (one.count_bytes([0.5, 3.5]) or 0) > 0


def test_gaps_reach_this_side_of_the_sandbox() -> None:
    data = film(times_seconds=[0.0, 0.1, 30.0, 30.1])
    with (
        Sandbox(DecodeConfig(), ("pyav",)) as sandbox,
        sandbox.open("pyav", Source(data)) as reader,
        opened(data) as own,
    ):
        assert reader.header == own.header
        assert len(reader.header.gaps) == 2


# --- sound around the picture ---------------------------------------------------------------------------------------


class Lingering:
    """Ten frames a second up to `ends_at`, the last of which stays; sound goes on to `announced`."""

    def __init__(self, *, ends_at: float, announced: float) -> None:
        self.header = VideoHeader(
            container="matroska", codec="h264", display_height=56, display_width=56, duration_seconds=announced
        )
        self._ends_at = ends_at

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        shown = [seconds for seconds in times_seconds if seconds < self._ends_at + 0.9]
        pts = np.unique(np.minimum(np.floor(np.array(shown) * 10 + 1e-6) / 10, self._ends_at - 0.1))
        return Selection(np.zeros((len(pts), height, width, 3), np.uint8), pts, len(shown) < len(times_seconds))

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        return None

    def close(self) -> None: ...

    def __enter__(self) -> Lingering:
        return self

    def __exit__(self, *exc_info: object) -> None: ...


@pytest.mark.parametrize(("ends_at", "announced", "num_clips"), [(8.0, 8.8, 4), (8.0, 8.4, 4), (8.6, 8.8, 5)])
def test_a_last_clip_of_sound_alone_is_none_in_parts_too(
    ends_at: float, announced: float, num_clips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_module, "MAX_GROUP_CLIPS", 1)
    whole, _ = read_clips(Lingering(ends_at=ends_at, announced=announced), 10**9)
    assert [decoded.is_last for decoded in whole] == [False] * (num_clips - 1) + [True]
    for num_parts in (2, 3, 5):
        parts = [
            read_clips(Lingering(ends_at=ends_at, announced=announced), 10**9, part=part, num_parts=num_parts)[0]
            for part in range(num_parts)
        ]
        found = [(decoded.clip, decoded.is_last) for clips in parts for decoded in clips]
        assert found == [(decoded.clip, decoded.is_last) for decoded in whole]
