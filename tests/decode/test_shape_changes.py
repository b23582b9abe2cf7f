"""A picture that changes its size, or the width of its pixels, in mid-stream keeps its own shape."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.picture import Picture
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from tests.decode.ffmpeg_command import encode, join, remux

each_decoder = pytest.mark.parametrize("decoder", ["pyav", "decord"])
DISC = (
    "color=c=gray:size={size}:rate=10:duration=2,format=yuv420p,"
    "geq=lum='if(lt(hypot((X-W/2)*{ratio},Y-H/2),H/3),235,90)':cb=128:cr=128"
)


@functools.cache
def part(codec: str, muxer: str, size: str, pixel_ratio: str, *options: str) -> bytes:
    """Two seconds of a grey picture with a white disc in its middle: round on display, two thirds as high as it."""
    width, height = pixel_ratio.split("/")
    source = DISC.format(size=size, ratio=float(width) / float(height)) + f",setsar={pixel_ratio}"
    return encode(source, codec, muxer, "-g", "5", "-b:v", "2M", "-pix_fmt", "yuv420p", *options)


def joined(codec: str, *shapes: tuple[str, str], b_frames: int = 0) -> bytes:
    """A transport stream in which the picture takes one (size, pixel ratio) after the other, two seconds each."""
    return b"".join(
        part(codec, "mpegts", *shape, "-bf", str(b_frames), "-output_ts_offset", str(10 + 2 * number))
        for number, shape in enumerate(shapes)
    )


def disc(frame_HWC: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, height, width) of what is white."""
    rows, columns = np.nonzero(frame_HWC.min(axis=2) > 160)
    return int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def black(frame_HWC: np.ndarray) -> tuple[int, int]:
    """How many whole rows and how many whole columns are black."""
    dark = frame_HWC.max(axis=2) == 0
    return int(dark.all(axis=1).sum()), int(dark.all(axis=0).sum())


def read(decoder: str, data: bytes, times: list[float]) -> tuple[list[np.ndarray], bool, tuple[int, int]]:
    with open_reader(decoder, RangeFile.of(data)) as reader:
        height, width = reader.header.display_height, reader.header.display_width
        selection = reader.read(times, height=height, width=width)
    assert len(selection.frames_THWC) == len(times)
    return list(selection.frames_THWC), selection.is_letterboxed, (height, width)


def check_round(frame_HWC: np.ndarray) -> None:
    _, _, height, width = disc(frame_HWC)
    assert abs(height - width) <= 3, (height, width)


@each_decoder
@pytest.mark.parametrize(
    ("codec", "second", "num_black"),
    [
        ("libx264", ("240x120", "1/1"), (40, 0)),  # wider by a half: a third of the height is black
        ("mpeg2video", ("240x120", "1/1"), (40, 0)),
        ("libx264", ("80x120", "1/1"), (0, 80)),
        ("libx264", ("160x120", "3/2"), (40, 0)),  # as many pixels as before, each of them wider
        ("mpeg2video", ("160x120", "4/3"), (30, 0)),  # 16:9 after 4:3, as broadcasts have it
        ("libx264", ("160x120", "2/3"), (0, 53)),
        ("libx264", ("320x240", "1/1"), (0, 0)),  # only larger
    ],
)
def test_a_new_shape_is_put_on_black(
    decoder: str, codec: str, second: tuple[str, str], num_black: tuple[int, int]
) -> None:
    if (decoder, codec) == ("decord", "mpeg2video"):
        pytest.skip("decord counts the frames of MPEG-2 in transport streams wrongly")
    data = joined(codec, ("160x120", "1/1"), second)
    frames, is_letterboxed, size = read(decoder, data, [0.5, 1.95, 2.05, 3.5])
    assert size == (120, 160)
    assert is_letterboxed == any(num_black)
    for frame in frames:
        check_round(frame)
    for frame, expected in zip(frames, [(0, 0), (0, 0), num_black, num_black], strict=True):
        assert np.abs(np.subtract(black(frame), expected)).max() <= 1


@each_decoder
def test_it_is_the_same_wherever_reading_begins(decoder: str) -> None:
    data = joined("libx264", ("160x120", "1/1"), ("160x120", "4/3"), ("80x120", "2/1"))
    whole, _, _ = read(decoder, data, [0.5, 2.5, 4.5])
    assert [black(frame) for frame in whole] == [(0, 0), (30, 0), (0, 0)]
    for number in (2, 0, 1):
        alone, is_letterboxed, _ = read(decoder, data, [2 * number + 0.5])
        assert np.array_equal(alone[0], whole[number])
        assert is_letterboxed == (number == 1)


def test_the_frames_before_a_change_are_those_of_the_first_shape() -> None:
    """The decoder knows of the change before the last frames of the first shape come out of it."""
    data = joined("libx264", ("160x120", "1/1"), ("160x120", "2/1"), b_frames=3)
    with open_reader("pyav", RangeFile.of(data)) as reader:
        for tenth in (17, 18, 19, 20, 21, 19, 18):
            frames, _, _ = reader.read([tenth / 10 + 0.005], height=120, width=160)
            assert black(frames[0]) == ((0, 0) if tenth < 20 else (60, 0)), tenth


@each_decoder
@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
def test_in_other_containers(decoder: str, muxer: str) -> None:
    data = joined("libx264", ("160x120", "1/1"), ("240x120", "1/1"))
    frames, is_letterboxed, _ = read(decoder, remux(data, muxer, "-bsf:v", "dump_extra=freq=keyframe"), [0.5, 3.5])
    assert is_letterboxed
    assert black(frames[1]) == (40, 0)
    check_round(frames[1])


@each_decoder
def test_a_size_that_changes_in_vp9(decoder: str) -> None:
    """As a video call sends it: smaller where the line is bad, in the same shape."""
    data = join([part("libvpx-vp9", "webm", size, "1/1") for size in ("160x120", "80x60", "120x120")], "webm")
    frames, is_letterboxed, _ = read(decoder, data, [0.5, 2.5])
    assert not is_letterboxed
    assert disc(frames[0]) == pytest.approx(disc(frames[1]), abs=3)
    frames, is_letterboxed, _ = read(decoder, data, [4.5])
    assert is_letterboxed
    assert black(frames[0]) == (0, 40)
    check_round(frames[0])


@each_decoder
@pytest.mark.parametrize("codec", ["mjpeg", "png"])
def test_a_size_that_changes_where_every_picture_stands_alone(decoder: str, codec: str) -> None:
    """As a network camera sends it after somebody chose another resolution."""
    sizes = ("160x120", "240x120")
    formats = ("-pix_fmt", "yuvj420p" if codec == "mjpeg" else "rgb24")
    data = join([part(codec, "matroska", size, "1/1", *formats) for size in sizes], "matroska")
    frames, is_letterboxed, size = read(decoder, data, [0.5, 2.5])
    assert size == (120, 160)
    assert is_letterboxed
    assert [black(frame) for frame in frames] == [(0, 0), (40, 0)]
    check_round(frames[1])


@each_decoder
def test_a_pixel_format_that_changes(decoder: str) -> None:
    source = "testsrc2=size=160x120:rate=10:duration=2"
    eight, four = (
        encode(source, "libx264", "mpegts", "-g", "5", "-bf", "0", "-pix_fmt", name, "-output_ts_offset", start)
        for name, start in (("yuv420p", "10"), ("yuv444p", "12"))
    )
    frames, is_letterboxed, _ = read(decoder, eight + four, [0.5, 2.5])
    assert not is_letterboxed
    assert np.abs(frames[0].astype(int) - frames[1]).mean() < 8  # the same picture


def test_a_ratio_of_the_container_counts_for_all_frames() -> None:
    """Where it differs from what the first frame says of itself, somebody has set it right."""
    data = remux(joined("libx264", ("160x120", "1/1"), ("160x120", "4/3")), "mp4", "-aspect", "2")
    frames, is_letterboxed, size = read("pyav", data, [0.5, 3.5])
    assert size == (120, 240)
    assert not is_letterboxed
    assert [black(frame) for frame in frames] == [(0, 0), (0, 0)]


def test_the_sandbox_tells_it_too() -> None:
    data = joined("libx264", ("160x120", "1/1"), ("240x120", "1/1"))

    class Source:
        size_bytes, bytes_read = len(data), 0

        def read(self, start: int, end: int) -> bytes:
            return data[start:end]

    with Sandbox(DecodeConfig()) as sandbox, sandbox.open("pyav", Source()) as reader:
        assert not reader.read([0.5], height=56, width=84).is_letterboxed
        assert reader.read([0.5, 3.5], height=56, width=84).is_letterboxed


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"height": 120, "width": 160}, (56, 84)),
        ({"height": 240, "width": 320}, (56, 84)),
        ({"height": 120, "width": 320}, (28, 84)),
        ({"height": 120, "width": 80}, (56, 42)),
        ({"height": 1, "width": 4000}, (1, 84)),
    ],
)
def test_a_picture_is_fitted_into_a_field_that_stands_for_another(
    own: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert Picture(**own).fitted_into(56, 84, shape=(120, 160)) == expected
