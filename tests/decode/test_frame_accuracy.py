"""The frame that is shown is the right one: for every codec, container, length of group, policy of times and decoder.

Every frame of these films shows its own number. What is right follows from the times at which they were written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.needed_frames import NeededFrames
from framegate.pipelines.decode.readers.pyav import PyavReader
from framegate.pipelines.decode.readers.reader import Reader, open_reader, sniff_file
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.pipelines.decode.select import frame_times
from framegate.schemas.config import DecodeConfig, FramesConfig

WriteFilm = Callable[..., Path]
NumberOf = Callable[[np.ndarray], int]

QUIET_HEVC = {"x265-params": "log-level=none:pools=none:frame-threads=1", "preset": "ultrafast"}
OPEN_HEVC = {**QUIET_HEVC, "x265-params": QUIET_HEVC["x265-params"] + ":open-gop=1:bframes=3"}
LAYERED_HEVC = {**QUIET_HEVC, "x265-params": QUIET_HEVC["x265-params"] + ":temporal-layers=3:bframes=4"}

# codec, file name, muxer, B-frames, options of the encoder, whether any frame time can be written
FILMS: list[tuple[str, str, str | None, int, dict[str, str], bool]] = [
    ("libx264", "a.mp4", None, 3, {}, True),
    ("libx264", "a.mp4", None, 0, {"tune": "zerolatency"}, True),
    ("libx264", "a.mkv", None, 3, {"x264-params": "open-gop=1:b-pyramid=normal"}, True),
    ("libx264", "a.ts", "mpegts", 2, {}, True),
    ("libx264", "a.flv", None, 2, {}, True),
    ("libx265", "a.mp4", None, 3, OPEN_HEVC, True),
    ("libx265", "a.mkv", None, 4, LAYERED_HEVC, True),
    ("libx265", "a.ts", "mpegts", 2, QUIET_HEVC, True),
    ("mpeg4", "a.mp4", None, 2, {}, True),
    ("mpeg4", "a.avi", None, 0, {}, False),
    ("mpeg2video", "a.ts", "mpegts", 2, {}, False),
    ("mpeg2video", "a.mpg", "mpeg", 2, {}, False),
    ("mpeg2video", "a.mxf", None, 2, {}, False),
    ("libvpx-vp9", "a.webm", None, 0, {"deadline": "realtime", "cpu-used": "8"}, True),
    ("libvpx", "a.webm", None, 0, {"deadline": "realtime", "cpu-used": "8"}, True),
    ("libsvtav1", "a.mp4", None, 0, {"preset": "12", "svtav1-params": "lp=1"}, False),
]
NAMES = [f"{codec}-{name[2:]}-{i}" for i, (codec, name, *_) in enumerate(FILMS)]
STEADY = [number / 25 for number in range(110)]
VARIABLE = [0.0]
for number in range(109):
    VARIABLE.append(round(VARIABLE[-1] + (0.04, 0.04, 0.02, 0.4, 0.08)[number * 7 % 5], 3))
POLICIES = {
    "grid": FramesConfig(fps=2.0, max_frames=64),
    "middles": FramesConfig(policy="uniform", max_frames=9),
}


def read_all(reader: Reader, starts: list[float], number_of: NumberOf) -> None:
    """Reads the film by both policies, whole and in clips, and every frame by itself, backwards; all must be right."""
    end = starts[-1] + 0.04
    for policy in POLICIES.values():
        for clip in ((0.0, end), (end * 0.3, end * 0.7), (end * 0.5, end * 0.95)):
            times = frame_times(*clip, policy)
            frames, pts, has_ended = reader.read(times, height=64, width=96)
            wanted = sorted({bisect_right(starts, seconds + TICK_SECONDS) - 1 for seconds in times})
            assert [number_of(frame) for frame in frames] == wanted
            assert pts == pytest.approx([starts[number] for number in wanted], abs=0.0006)
            assert not has_ended
    for number in range(len(starts) - 1, 0, -23):
        frames, _, _ = reader.read([starts[number] + 0.005], height=64, width=96)
        assert [number_of(frame) for frame in frames] == [number]


@pytest.mark.parametrize("gop_frames", [1, 7, 250])
@pytest.mark.parametrize(("codec", "name", "muxer", "b_frames", "codec_options", "any_time"), FILMS, ids=NAMES)
def test_pyav_shows_the_right_frame(
    codec: str,
    name: str,
    muxer: str | None,
    b_frames: int,
    codec_options: dict[str, str],
    any_time: bool,
    gop_frames: int,
    tmp_path: Path,
    write_film: WriteFilm,
    number_of: NumberOf,
) -> None:
    if name == "a.mpg":  # of a program stream without B-frames, FFmpeg itself gets a time wrong
        gop_frames = max(gop_frames, 7)
    for starts in (STEADY, VARIABLE) if any_time else (STEADY,):
        data = write_film(
            tmp_path / name,
            codec=codec,
            muxer=muxer,
            times_seconds=starts,
            b_frames=b_frames if gop_frames > 1 else 0,
            gop_frames=gop_frames,
            codec_options=codec_options,
            fps=25,
        ).read_bytes()
        with open_reader("pyav", RangeFile.of(data)) as reader:
            read_all(reader, starts, number_of)


@pytest.mark.parametrize("gop_frames", [7, 250])
@pytest.mark.parametrize(
    ("codec", "name", "muxer"),
    [
        ("libx264", "a.mp4", None),
        ("libx264", "a.mkv", None),
        ("libx264", "a.ts", "mpegts"),
        ("mpeg4", "a.mp4", None),
        ("libvpx-vp9", "a.webm", None),
    ],
)
def test_decord_shows_the_right_frame(
    codec: str,
    name: str,
    muxer: str | None,
    gop_frames: int,
    tmp_path: Path,
    write_film: WriteFilm,
    number_of: NumberOf,
) -> None:
    # decord refuses a transport stream whose frame rate FFmpeg cannot tell.
    for starts in (STEADY, VARIABLE) if muxer is None else (STEADY,):
        path = write_film(
            tmp_path / name, codec=codec, muxer=muxer, times_seconds=starts, b_frames=0, gop_frames=gop_frames, fps=25
        )
        with open_reader("decord", RangeFile.of(path.read_bytes())) as reader:
            read_all(reader, starts, number_of)


def noise(number: int, *, height: int, width: int) -> np.ndarray:
    """Blocks that move: nothing of a frame can be told from another one."""
    blocks = np.random.default_rng(7).integers(0, 255, (2 * height // 8, 2 * width // 8, 3), dtype=np.uint8)
    large = np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8))
    y, x = number * 5 % height, number * 3 % width
    return np.ascontiguousarray(large[y : y + height, x : x + width])


@st.composite
def films(draw: st.DrawFn) -> dict[str, Any]:
    codec, name, muxer, b_frames, codec_options, any_time = draw(st.sampled_from(FILMS))
    num_frames = draw(st.integers(3, 60))
    step = st.sampled_from([0.04, 0.04, 0.02, 0.08, 0.4]) if any_time else st.just(0.04)
    steps = draw(st.lists(step, min_size=num_frames, max_size=num_frames))
    gop_frames = draw(st.sampled_from([2, 3, 8, 30, 250]))
    return {
        "name": name,
        "codec": codec,
        "muxer": muxer,
        "b_frames": draw(st.integers(0, 3)) if b_frames else 0,
        "codec_options": codec_options,
        "gop_frames": gop_frames,
        "times_seconds": np.cumsum([0.0, *steps]).round(3).tolist(),
        "fps": 25,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(film=films(), data=st.data())
def test_frames_that_are_passed_over_change_nothing(
    film: dict[str, Any], data: st.DataObject, tmp_path: Path, write_film: WriteFilm
) -> None:
    name = film.pop("name")
    content = write_film(tmp_path / name, drawing=noise, **film).read_bytes()
    end = film["times_seconds"][-1]
    moments = st.lists(st.floats(0, end + 2), min_size=1, max_size=8).map(sorted)
    reads = data.draw(st.lists(moments, min_size=1, max_size=4))
    file, plain_file = RangeFile.of(content), RangeFile.of(content)
    container = sniff_file(file)
    with (
        PyavReader(file, container=container, limits=DecodeConfig()) as reader,
        PyavReader(plain_file, container=container, limits=DecodeConfig(), skips=False) as plain,
    ):
        assert reader.header == plain.header
        for times in reads:
            frames, pts, has_ended = reader.read(times, height=64, width=96)
            plain_frames, plain_pts, plain_has_ended = plain.read(times, height=64, width=96)
            assert np.array_equal(pts, plain_pts)
            assert np.array_equal(frames, plain_frames)
            assert has_ended == plain_has_ended


@pytest.mark.parametrize(("codec", "codec_options"), [("libx264", {}), ("libx265", QUIET_HEVC), ("mpeg4", {})])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_frames_are_passed_over_where_it_is_safe(
    codec: str, codec_options: dict[str, str], name: str, tmp_path: Path, write_film: WriteFilm
) -> None:
    muxer = "mpegts" if name == "a.ts" else None
    data = write_film(
        tmp_path / name, codec=codec, muxer=muxer, times_seconds=STEADY, codec_options=codec_options, fps=25
    ).read_bytes()
    file = RangeFile.of(data)
    with PyavReader(file, container=sniff_file(file), limits=DecodeConfig()) as reader:
        reader.read([0.5, 1.5, 3.5], height=64, width=96)
        assert isinstance(reader._frames, NeededFrames)
