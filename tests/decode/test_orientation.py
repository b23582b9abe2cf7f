"""A picture is turned, mirrored and cut as a player does it: the ffmpeg command shows what is right."""

from __future__ import annotations

import functools
import io
import math
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.orientation import UPRIGHT, Orientation, from_matrix
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import UnsupportedCodec
from tests.decode.container_edits import EIGHT, UNIT, Matrix, with_clap, with_matrix
from tests.decode.corpus_films import picture
from tests.decode.ffmpeg_command import encode, remux, shown_frames

each_decoder = pytest.mark.parametrize("decoder", ["pyav", "decord"])
each_matrix = pytest.mark.parametrize(("matrix", "num_turns", "is_mirrored"), EIGHT.values(), ids=EIGHT)
orientations = st.builds(Orientation, st.integers(0, 3), st.booleans())
SHOWN = (0, 7, 16, 29)  # numbers of frames, at 10 a second


@functools.cache
def film(*options: str, size: str = "128x96", codec: str = "libx264") -> bytes:
    """30 frames, each of which looks different in every orientation."""
    source = f"testsrc2=size={size}:rate=10:duration=3"
    return encode(source, codec, "mp4", "-g", "10", "-pix_fmt", "yuv420p", *options)


def read(decoder: str, data: bytes) -> tuple[tuple[int, int], np.ndarray]:
    """The display size of the header, and some frames of that size."""
    with open_reader(decoder, RangeFile.of(data)) as reader:
        size = reader.header.display_height, reader.header.display_width
        selection = reader.read([number / 10 + 0.005 for number in SHOWN], height=size[0], width=size[1])
        assert not selection.is_letterboxed
        return size, selection.frames_THWC


def check(decoder: str, data: bytes, *, tolerance: float = 0.6) -> None:
    """Size and pixels are those that the ffmpeg command shows."""
    expected = shown_frames(data)
    size, frames = read(decoder, data)
    assert size == expected[0].shape[:2]
    for number, frame in zip(SHOWN, frames, strict=True):
        assert np.abs(frame.astype(int) - expected[number]).mean() < tolerance, number


@each_decoder
@each_matrix
def test_each_of_the_eight_matrices_of_an_mp4(decoder: str, matrix: Matrix, num_turns: int, is_mirrored: bool) -> None:
    data = with_matrix(film(), matrix)
    check(decoder, data)
    size, frames = read(decoder, data)
    _, stored = read(decoder, film())
    expected = np.rot90(stored[0][:, ::-1] if is_mirrored else stored[0], num_turns)
    assert size == expected.shape[:2]
    assert np.abs(frames[0].astype(int) - expected).mean() < 0.6  # whatever the command says


@each_decoder
@each_matrix
@pytest.mark.parametrize("kind", ["movie", "fragmented", "mov", "matroska"])
def test_each_of_the_eight_elsewhere(
    decoder: str, matrix: Matrix, num_turns: int, is_mirrored: bool, kind: str
) -> None:
    data = with_matrix(film(), matrix, movie=kind == "movie")
    if kind == "fragmented":
        data = remux(data, "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof")
    elif kind in ("mov", "matroska"):
        data = remux(data, kind)
    check(decoder, data)


@each_decoder
@pytest.mark.parametrize("name", ["turned_right", "mirrored", "transposed"])
@pytest.mark.parametrize("codec", ["libx265", "mpeg4"])
def test_other_codecs_are_turned_the_same_way(decoder: str, name: str, codec: str) -> None:
    check(decoder, with_matrix(film(codec=codec), EIGHT[name][0]))


@each_decoder
def test_the_matrices_of_track_and_movie_together(decoder: str) -> None:
    check(decoder, with_matrix(with_matrix(film(), EIGHT["turned_right"][0]), EIGHT["flipped"][0], movie=True))


@each_decoder
@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
@pytest.mark.parametrize("name", ["upright", "turned_right", "flipped", "transposed"])
@pytest.mark.parametrize("pixel_ratio", ["2/1", "3/4"])
def test_pixels_that_are_not_square_in_a_cut_and_turned_picture(
    decoder: str, muxer: str, name: str, pixel_ratio: str
) -> None:
    data = with_matrix(film("-vf", f"setsar={pixel_ratio}"), EIGHT[name][0])
    # Colours are drawn out before the turn here and after it there.
    check(decoder, remux(with_clap(data, 80, 1, 60, 1, 6, 1, 10, 1), muxer), tolerance=8)


@each_decoder
@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
@pytest.mark.parametrize(
    ("numbers", "size"),
    [
        ((128, 1, 54, 1, 0, 1, 0, 1), (54, 128)),
        ((80, 1, 60, 1, 10, 1, -8, 1), (60, 80)),
        ((81, 1, 61, 1, 0, 1, 0, 1), (60, 80)),  # colours are stored for two columns and rows together
        ((161, 2, 121, 2, 1, 3, 1, 7), (60, 80)),
        ((127, 1, 96, 1, 1, 2, 0, 1), (96, 126)),
    ],
)
def test_a_container_cuts_the_picture(
    decoder: str, muxer: str, numbers: tuple[int, ...], size: tuple[int, int]
) -> None:
    data = with_clap(film(), *numbers)
    data = data if muxer == "mp4" else remux(data, muxer)
    assert read(decoder, data)[0] == size
    check(decoder, data)


@each_decoder
@pytest.mark.parametrize(
    "numbers",
    [
        (400, 1, 96, 1, 0, 1, 0, 1),  # larger than the picture
        (80, 1, 60, 1, 100, 1, 0, 1),  # beside it
        (0, 1, 0, 1, 0, 1, 0, 1),
        (80, 0, 60, 1, 0, 1, 0, 1),  # no number
        (-80, 1, 60, 1, 0, 1, 0, 1),
        (1, 1, 1, 1, 0, 1, 0, 1),  # less than the colour of a pixel
    ],
)
def test_a_cut_that_cannot_be_is_none(decoder: str, numbers: tuple[int, ...]) -> None:
    size, frames = read(decoder, with_clap(film(), *numbers))
    assert size == (96, 128)
    assert np.array_equal(frames, read(decoder, film())[1])


@each_decoder
def test_a_confined_decoder_cuts_and_turns(decoder: str) -> None:
    data = with_clap(with_matrix(film(), EIGHT["transposed"][0]), 80, 1, 60, 1, 10, 1, -8, 1)

    class Source:
        size_bytes, bytes_read = len(data), 0

        def read(self, start: int, end: int) -> bytes:
            return data[start:end]

    with Sandbox(DecodeConfig(), [decoder]) as sandbox, sandbox.open(decoder, Source()) as reader:
        frames, _, _ = reader.read([0.005], height=80, width=60)
    assert np.array_equal(frames[0], read(decoder, data)[1][0])


@pytest.mark.parametrize("name", ["turned_right", "mirrored"])
def test_a_cut_keeps_the_place_of_frames_that_are_scaled(name: str) -> None:
    data = with_clap(with_matrix(film(), EIGHT[name][0]), 80, 1, 60, 1, 10, 1, -8, 1)
    height, width = (28, 56)
    expected = shown_frames(data, filters=f"scale={width}:{height}:flags=bicubic")
    for decoder in ("pyav", "decord"):
        with open_reader(decoder, RangeFile.of(data)) as reader:
            frames, _, _ = reader.read([0.705], height=height, width=width)
        # Scaled before the turn here and after it there; another place would differ by 40.
        assert np.abs(frames[0].astype(int) - expected[7]).mean() < 12, decoder


@each_decoder
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["", ":flip=horizontal", ":flip=vertical"])
@pytest.mark.parametrize("muxer", ["mp4", "mpegts"])
def test_a_message_in_the_coded_video_turns_it(decoder: str, degrees: int, flip: str, muxer: str) -> None:
    """An H.264 display orientation: in the first picture of an MP4, in each key frame of a transport stream."""
    # Without reordered frames: in transport streams, decord counts them wrongly.
    message = f"h264_metadata=display_orientation=insert:rotate={degrees}{flip}"
    data = remux(film("-bf", "0"), muxer, "-bsf:v", message)
    if decoder == "decord" and muxer == "mpegts":  # the first frames have no times there
        with open_reader(decoder, RangeFile.of(data)) as reader, pytest.raises(UnsupportedCodec, match="counts 30"):
            reader.read([0.5], height=28, width=28)
        return
    check(decoder, data)


def hevc_message(num_turns: int, *, mirrored: bool, flipped: bool) -> bytes:
    """A unit of H.265 with a display orientation: mirrored, flipped, then turned left (ISO/IEC 23008-2, D.2.17)."""
    bits = f"0{mirrored:d}{flipped:d}{num_turns << 14:016b}1"
    content = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    unit = bytes([39 << 1, 1, 47, len(content)]) + content + b"\x80"
    return unit.replace(b"\0\0", b"\0\0\3")


@each_decoder
@pytest.mark.parametrize(("num_turns", "mirrored", "flipped"), [(1, False, False), (0, True, False), (3, False, True)])
def test_a_message_in_hevc(decoder: str, num_turns: int, mirrored: bool, flipped: bool) -> None:
    source, target = io.BytesIO(film("-x265-params", "log-level=none", codec="libx265")), io.BytesIO()
    message = hevc_message(num_turns, mirrored=mirrored, flipped=flipped)
    with av.open(source) as container, av.open(target, "w", format="mp4") as turned:
        stream = turned.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if not packet.size:
                continue
            head = len(message).to_bytes(4, "big") + message if packet.is_keyframe else b""
            new = av.Packet(head + bytes(packet))
            new.stream, new.time_base, new.is_keyframe = stream, packet.time_base, packet.is_keyframe
            new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
            turned.mux(new)
    check(decoder, target.getvalue())


@each_decoder
def test_the_containers_matrix_counts_before_the_message(decoder: str) -> None:
    """The ffmpeg command 9 ends with an error here."""
    data = remux(film(), "mp4", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=180")
    size, frames = read(decoder, with_matrix(data, EIGHT["turned_right"][0]))
    assert size == (128, 96)
    assert np.abs(frames[1].astype(int) - np.rot90(read(decoder, film())[1][1], 3)).mean() < 0.6


def test_frames_read_in_any_order_are_turned_alike() -> None:
    data = remux(film(), "mp4", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=90")
    expected = shown_frames(data)
    with open_reader("pyav", RangeFile.of(data)) as reader:
        for number in (25, 3, 14, 29, 0):
            frames, _, _ = reader.read([number / 10 + 0.005], height=128, width=96)
            assert np.abs(frames[0].astype(int) - expected[number]).mean() < 0.6


@pytest.mark.parametrize("value", range(1, 9))
def test_the_exif_orientation_of_jpeg_pictures(value: int) -> None:
    """Cameras write it into the pictures of an AVI. PyAV cannot show the side data that comes with it."""
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
    jpeg = picture("mjpeg", pixel_format="yuvj420p")
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_mux_stream("mjpeg", rate=10, width=96, height=64)
        for number in range(30):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = number
            container.mux(packet)
    check("pyav", file.getvalue())


@each_decoder
@pytest.mark.parametrize(
    ("degrees", "num_turns"),
    [
        (0.4, 0),
        (30, 0),
        (44, 0),
        (45, 0),
        (46, 3),
        (60, 3),
        (89.6, 3),
        (90.4, 3),
        (91.5, 3),
        (135, 3),
        (179.5, 2),
        (271, 1),
    ],
)
def test_other_angles_are_the_nearest_quarter_turn(decoder: str, degrees: float, num_turns: int) -> None:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    _, frames = read(decoder, with_matrix(film(), (c, s, -s, c)))
    _, stored = read(decoder, film())
    assert np.abs(frames[0].astype(int) - np.rot90(stored[0], num_turns)).mean() < 0.6


@each_decoder
@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (2, 0, 0, 2), (1.0001, 0, 0, 1), (32767.9, 0, 0, 32767.9)])
def test_a_matrix_that_turns_nothing(decoder: str, matrix: Matrix) -> None:
    size, frames = read(decoder, with_matrix(film(), matrix))
    assert size == (96, 128)
    assert np.array_equal(frames, read(decoder, film())[1])


@each_decoder
@pytest.mark.parametrize("matrix", [(2, 0, 0, 1), (0, 1, -2, 0), (-1, 0, 0, 3)])
def test_a_matrix_that_draws_the_picture_out(decoder: str, matrix: Matrix) -> None:
    check(decoder, with_matrix(film(), matrix), tolerance=8)


@given(first=orientations, second=orientations)
def test_orientations_follow_one_another(first: Orientation, second: Orientation) -> None:
    picture_HWC = np.arange(24).reshape(2, 4, 3)
    assert np.array_equal(second.after(first).apply(picture_HWC), second.apply(first.apply(picture_HWC)))
    assert np.array_equal(first.inverse().apply(first.apply(picture_HWC)), picture_HWC)
    assert first.after(first.inverse()) == UPRIGHT


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=9, max_size=9))
def test_any_numbers_are_one_of_the_eight(numbers: list[int]) -> None:
    assert from_matrix(numbers) in {Orientation(turns, mirror) for _, turns, mirror in EIGHT.values()}


@each_matrix
@given(scale=st.integers(1, 1 << 14), noise=st.lists(st.integers(-UNIT // 5, UNIT // 5), min_size=4, max_size=4))
def test_the_nearest_of_the_eight(
    matrix: Matrix, num_turns: int, is_mirrored: bool, scale: int, noise: list[int]
) -> None:
    a, b, c, d = (int(scale * (value * UNIT + error)) for value, error in zip(matrix, noise, strict=True))
    assert from_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]) == (num_turns, is_mirrored)
