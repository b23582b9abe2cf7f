"""Both decoders show the right frame at the right time, upright and at the asked size; bad files say what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import decoder_version, open_reader
from framegate.pipelines.decode.split import split
from framegate.schemas.config import ClipsConfig
from framegate.schemas.errors import (
    ConfigError,
    DecodeFailed,
    NoVideoStream,
    TruncatedVideo,
    UnsupportedCodec,
    VideoError,
)

WriteFilm = Callable[..., Path]
NumberOf = Callable[[np.ndarray], int]
each_decoder = pytest.mark.parametrize("decoder", ["pyav", "decord"])


def steady(num_frames: int, *, fps: float = 10, start_seconds: float = 0.0) -> list[float]:
    return [start_seconds + number / fps for number in range(num_frames)]


@pytest.fixture
def shown(number_of: NumberOf) -> Callable[[str, bytes, list[float]], tuple[list[int], list[float]]]:
    """Which frame numbers a decoder shows at some times, and the presentation times it gives."""

    def read(decoder: str, data: bytes, times: list[float]) -> tuple[list[int], list[float]]:
        with open_reader(decoder, RangeFile.of(data)) as reader:
            frames, pts, _ = reader.read(times, height=56, width=112)
        return [number_of(frame) for frame in frames], pts.round(6).tolist()

    return read


@each_decoder
def test_each_moment_shows_its_frame(decoder: str, film: bytes, shown) -> None:
    numbers, pts = shown(decoder, film, [0.0, 0.55, 3.0, 3.09, 9.95])
    assert numbers == [0, 5, 30, 99]  # 3.0 and 3.09 are one frame
    assert pts == [0.0, 0.5, 3.0, 9.9]


@each_decoder
@pytest.mark.parametrize(
    ("codec", "name", "muxer", "start_seconds"),
    [
        ("libx264", "a.mp4", None, 0.0),
        ("libx264", "a.mp4", None, 0.7),
        ("libx264", "a.mkv", None, 0.0),
        ("libx264", "a.ts", "mpegts", 500.0),
        ("libx265", "a.mp4", None, 0.0),
        ("libvpx-vp9", "a.webm", None, 0.0),
        ("mpeg4", "a.avi", None, 0.0),
        ("flv1", "a.flv", None, 0.0),
    ],
)
def test_every_container_and_codec_shows_the_right_frames(
    decoder: str,
    codec: str,
    name: str,
    muxer: str | None,
    start_seconds: float,
    tmp_path: Path,
    write_film: WriteFilm,
    shown,
) -> None:
    path = write_film(
        tmp_path / name, codec=codec, muxer=muxer, times_seconds=steady(60, start_seconds=start_seconds), b_frames=0
    )
    times = [0.05, 0.9, 2.26, 2.36, 5.95]
    assert shown(decoder, path.read_bytes(), times) == ([0, 9, 22, 23, 59], [0.0, 0.9, 2.2, 2.3, 5.9])


@each_decoder
def test_a_variable_frame_rate_is_followed_by_presentation_time(
    decoder: str, tmp_path: Path, write_film: WriteFilm, shown
) -> None:
    times = [0.0, 0.1, 0.5, 0.55, 0.6, 2.0, 3.0, 3.1, 5.0]
    data = write_film(tmp_path / "a.mkv", times_seconds=times, b_frames=0).read_bytes()
    numbers, pts = shown(decoder, data, [0.05, 0.3, 0.58, 1.9, 2.5, 4.9, 5.02])
    assert numbers == [0, 1, 3, 4, 5, 7, 8]
    assert pts == [0.0, 0.1, 0.55, 0.6, 2.0, 3.1, 5.0]


@pytest.mark.parametrize("gop_frames", [1, 12, 250])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_seeking_finds_what_reading_through_finds(
    gop_frames: int, name: str, tmp_path: Path, write_film: WriteFilm, number_of: NumberOf
) -> None:
    data = write_film(tmp_path / name, times_seconds=steady(200), gop_frames=gop_frames).read_bytes()
    order = random.Random(7).sample(range(200), 25)
    with open_reader("pyav", RangeFile.of(data)) as reader:
        for number in order:  # forwards and backwards
            frames, pts, _ = reader.read([number / 10 + 0.03], height=56, width=112)
            assert (number_of(frames[0]), round(pts[0], 6)) == (number, number / 10)


@each_decoder
@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_video_is_shown_upright(decoder: str, degrees: int, tmp_path: Path, write_film: WriteFilm) -> None:
    def corner(number: int, *, height: int, width: int) -> np.ndarray:
        frame = np.zeros((height, width, 3), dtype=np.uint8)
        frame[: height // 2, : width // 2] = (255, 0, 0)
        return frame

    path = write_film(tmp_path / "a.mp4", times_seconds=steady(10), rotation_degrees=degrees, drawing=corner)
    with open_reader(decoder, RangeFile.of(path.read_bytes())) as reader:
        size = reader.header.display_height, reader.header.display_width
        assert size == ((96, 64) if degrees != 180 else (64, 96))
        frames, _, _ = reader.read([0.0], height=size[0], width=size[1])
    # The display matrix turns the stored picture counterclockwise.
    expected = np.rot90(corner(0, height=64, width=96), degrees // 90)
    assert frames[0].shape == expected.shape
    assert np.abs(frames[0].astype(int) - expected).mean() < 10


@each_decoder
def test_pixels_that_are_not_square_are_drawn_out(
    decoder: str, tmp_path: Path, write_film: WriteFilm, number_of: NumberOf
) -> None:
    path = write_film(tmp_path / "a.mp4", times_seconds=steady(10), pixel_ratio=Fraction(2, 1))
    with open_reader(decoder, RangeFile.of(path.read_bytes())) as reader:
        assert (reader.header.display_height, reader.header.display_width) == (64, 192)
        frames, _, _ = reader.read([0.5], height=64, width=192)
    assert frames.shape == (1, 64, 192, 3)
    assert number_of(frames[0]) == 5


def test_decoders_agree_on_times_and_nearly_on_pixels_of_real_videos(real_videos: list[Path]) -> None:
    for path in real_videos:
        data = path.read_bytes()
        with open_reader("pyav", RangeFile.of(data)) as pyav, open_reader("decord", RangeFile.of(data)) as decord:
            # decord reads all packets, so that it knows gaps that a container's index does not tell.
            assert replace(pyav.header, gaps=()) == replace(decord.header, gaps=())
            assert list(split(pyav, ClipsConfig())) == list(split(decord, ClipsConfig()))
            end = pyav.header.duration_seconds
            times = [max(0.0, end - 3) + k * min(3.0, end) / 6 for k in range(6)]
            frames, pts, _ = pyav.read(times, height=140, width=252)
            assert len(frames) == len(times)
            assert np.abs(pts - times).max() < 0.11  # the slowest of them shows 10 frames a second
            if pyav.header.codec == "av1":
                with pytest.raises(UnsupportedCodec, match=r"set frames\.decoder to pyav"):
                    decord.read(times, height=140, width=252)
                continue
            other_frames, other_pts, _ = decord.read(times, height=140, width=252)
            assert np.array_equal(pts, other_pts)
            assert np.abs(frames.astype(int) - other_frames).mean() < 4


def test_the_biggest_of_several_video_streams_is_taken(real_videos: list[Path]) -> None:
    two_streams = next(path for path in real_videos if path.name.startswith("nasa"))
    with open_reader("pyav", RangeFile.of(two_streams.read_bytes())) as reader:
        assert (reader.header.display_height, reader.header.display_width) == (270, 480)


def test_sound_alone_is_no_video(tmp_path: Path, write_sound: Callable[[Path], Path]) -> None:
    data = write_sound(tmp_path / "a.mp4").read_bytes()
    with pytest.raises(NoVideoStream, match="only sound"):
        open_reader("pyav", RangeFile.of(data))


@each_decoder
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_file_cut_before_its_index_is_truncated(
    decoder: str, share: float, tmp_path: Path, write_film: WriteFilm
) -> None:
    data = write_film(tmp_path / "a.mp4", times_seconds=steady(100)).read_bytes()  # the index is at the end
    with pytest.raises(TruncatedVideo):
        open_reader(decoder, RangeFile.of(data[: int(len(data) * share)]))


def test_a_file_cut_in_its_frames_gives_those_that_are_there(film: bytes, number_of: NumberOf) -> None:
    with open_reader("pyav", RangeFile.of(film[: int(len(film) * 0.6)])) as reader:
        assert reader.header.duration_seconds == pytest.approx(10.0)
        frames, pts, _ = reader.read(steady(20, fps=2), height=56, width=112)
        assert 2 < len(frames) < 20
        assert [number_of(frame) for frame in frames] == [round(10 * seconds) for seconds in pts]
        assert len(reader.read([9.5], height=56, width=112)[0]) == 0


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_never_raise_anything_but_a_video_error(seed: int, film: bytes) -> None:
    chance = random.Random(seed)
    damaged = bytearray(film)
    for _ in range(chance.choice([3, 30, 300])):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    try:
        with open_reader("pyav", RangeFile.of(bytes(damaged))) as reader:
            frames, pts, _ = reader.read([0.0, 1.0, 5.0], height=56, width=56)
            assert len(frames) == len(pts)
            assert (np.diff(pts) > 0).all()
    except VideoError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


def test_random_bytes_behind_a_video_head_are_a_decode_error() -> None:
    with pytest.raises(DecodeFailed):
        open_reader("pyav", RangeFile.of(b"\x1a\x45\xdf\xa3" + random.Random(0).randbytes(5000)))


def test_an_unknown_decoder_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="'opencv' is unknown; use one of: pyav, decord"):
        decoder_version("opencv")


@each_decoder
def test_a_decoder_tells_its_version(decoder: str) -> None:
    assert decoder_version(decoder)[0].isdigit()


def test_widths_whose_rows_decord_misreads_are_refused(tmp_path: Path, write_film: WriteFilm) -> None:
    data = write_film(tmp_path / "a.mp4", times_seconds=steady(10), b_frames=0).read_bytes()
    with open_reader("pyav", RangeFile.of(data)) as pyav, open_reader("decord", RangeFile.of(data)) as decord:
        refused = []
        for width in range(2, 130):
            try:
                frames = decord.read([0.5], height=40, width=width).frames_THWC
            except UnsupportedCodec:
                refused.append(width)
                continue
            right = pyav.read([0.5], height=40, width=width).frames_THWC
            assert np.abs(frames.astype(int) - right).mean() < 8, width
    assert refused == [2, 3, 4, 6, 8, 12, 16, 24, 48, 72]
