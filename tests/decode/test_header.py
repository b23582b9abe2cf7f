"""What a container announces decides before a frame is decoded: too large, no video, which stream, how it is turned."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.header import main_stream
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import NoVideoStream, UnsupportedCodec, VideoTooLarge

WriteFilm = Callable[..., Path]
NumberOf = Callable[[np.ndarray], int]
each_decoder = pytest.mark.parametrize("decoder", ["pyav", "decord"])


def write_streams(*sizes: tuple[int, int]) -> bytes:
    """Ten frames of each size (width, height), side by side."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        streams = []
        for width, height in sizes:
            stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for number in range(10):
            for stream in streams:
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([20 * number]) * plane.buffer_size)
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return buffer.getvalue()


@each_decoder
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_pixels": 6000}, r"96 x 64 pixels; at most 6,000 pixels .*decode\.max_pixels"),
        ({"max_total_pixels": 600_000}, r"100 frames of 96 x 64, 6\.1e\+05 pixels; .*decode\.max_total_pixels"),
        ({"max_duration_seconds": 9}, r"10 seconds of video; at most 9 .*decode\.max_duration_seconds"),
    ],
)
def test_what_the_header_announces_is_held_against_the_limits(
    decoder: str, limits: dict[str, float], message: str, film: bytes
) -> None:
    with pytest.raises(VideoTooLarge, match=message):
        open_reader(decoder, RangeFile.of(film), DecodeConfig.model_validate(limits))


@each_decoder
def test_too_many_streams_are_too_large(decoder: str) -> None:
    data = write_streams((64, 64), (32, 32), (16, 16))
    with pytest.raises(VideoTooLarge, match=r"holds 3 streams; at most 2 .*decode\.max_streams"):
        open_reader(decoder, RangeFile.of(data), DecodeConfig(max_streams=2))


@pytest.mark.parametrize("muxer", ["mp4", "matroska", "mpegts", "flv"])
def test_a_picture_over_the_limit_is_refused_undecoded(
    muxer: str, tmp_path: Path, write_film: WriteFilm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr("framegate.pipelines.decode.readers.pyav.NeededFrames.first", decode)
    monkeypatch.setattr("framegate.pipelines.decode.readers.pyav.EveryFrame.first", decode)
    data = write_film(tmp_path / "a", muxer=muxer, times_seconds=[0.0, 0.1], height=1024, width=2048).read_bytes()
    with pytest.raises(VideoTooLarge, match="2048 x 1024 pixels"):
        open_reader("pyav", RangeFile.of(data), DecodeConfig(max_pixels=1024 * 1024))


def test_the_header_tells_frame_rate_and_streams(film: bytes) -> None:
    with open_reader("pyav", RangeFile.of(film)) as pyav, open_reader("decord", RangeFile.of(film)) as decord:
        assert pyav.header == decord.header
        assert (pyav.header.fps, pyav.header.num_streams, pyav.header.is_cut_short) == (10.0, 1, False)


@pytest.mark.parametrize("kind", [Disposition.timed_thumbnails, Disposition.still_image, Disposition.attached_pic])
def test_pictures_beside_the_film_are_not_the_film(kind: Disposition, monkeypatch: pytest.MonkeyPatch) -> None:
    # Muxers write these marks for few codecs only, so the marks are read from a stand-in.
    with av.open(io.BytesIO(write_streams((64, 48), (128, 96)))) as container:
        small, large = container.streams.video
        marked = _Marked(large, kind)
        found = main_stream(_Streams(container, [small, marked]), DecodeConfig())  # pyright: ignore[reportArgumentType]
        assert found.width == 64
        with pytest.raises(NoVideoStream, match="cover picture"):
            main_stream(_Streams(container, [marked]), DecodeConfig())  # pyright: ignore[reportArgumentType]


class _Marked:
    def __init__(self, stream: VideoStream, disposition: Disposition) -> None:
        self._stream, self.disposition = stream, disposition

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class _Streams(list):
    """A container and its streams at once."""

    def __init__(self, container: InputContainer, video: list) -> None:
        super().__init__(video)
        self.video, self.streams, self.duration, self.start_time = video, self, container.duration, container.start_time


def test_decord_is_not_asked_for_a_film_that_it_would_not_choose() -> None:
    data = write_streams((64, 48), (128, 96))
    with pytest.raises(UnsupportedCodec, match="several video streams"):
        open_reader("decord", RangeFile.of(data))
    with open_reader("pyav", RangeFile.of(data)) as reader:
        assert reader.header.display_width == 128


@pytest.mark.parametrize("degrees", [90, 180, -90])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_both_decoders_turn_a_picture_once(name: str, degrees: int, tmp_path: Path, write_film: WriteFilm) -> None:
    def corner(number: int, *, height: int, width: int) -> np.ndarray:
        frame = np.zeros((height, width, 3), dtype=np.uint8)
        frame[: height // 2, : width // 2] = (255, 0, 0)
        return frame

    path = write_film(tmp_path / name, times_seconds=[0, 0.1, 0.2], rotation_degrees=degrees, drawing=corner)
    height, width = (96, 64) if degrees != 180 else (64, 96)
    expected = np.rot90(corner(0, height=64, width=96), degrees // 90).astype(int)
    for decoder in ("pyav", "decord"):
        with open_reader(decoder, RangeFile.of(path.read_bytes())) as reader:
            assert (reader.header.display_height, reader.header.display_width) == (height, width)
            frames, _, _ = reader.read([0.1], height=height, width=width)
            assert np.abs(frames[0] - expected).mean() < 10, decoder


@each_decoder
def test_frames_are_put_where_the_caller_wants_them(decoder: str, film: bytes, number_of: NumberOf) -> None:
    out = np.full((4, 56, 112, 3), 7, dtype=np.uint8)
    with open_reader(decoder, RangeFile.of(film)) as reader:
        frames, pts, has_ended = reader.read([0.5, 0.55, 9.8, 11.5], height=56, width=112, out=out)
    assert np.shares_memory(frames, out)
    assert [number_of(frame) for frame in out[:2]] == [5, 98]
    assert pts.tolist() == [0.5, 9.8]
    assert (out[2:] == 7).all()
    assert has_ended


def test_decord_opens_what_pyav_cannot_decode(
    film: bytes, monkeypatch: pytest.MonkeyPatch, number_of: NumberOf
) -> None:
    """So that `decoder: [pyav, decord]` is a fallback."""

    def decode(*_: object) -> None:
        raise AssertionError("PyAV decoded a frame")

    monkeypatch.setattr("framegate.pipelines.decode.readers.pyav.NeededFrames.first", decode)
    monkeypatch.setattr("framegate.pipelines.decode.readers.pyav.EveryFrame.first", decode)
    with open_reader("decord", RangeFile.of(film)) as reader:
        frames, _, _ = reader.read([3.04], height=56, width=112)
        assert number_of(frames[0]) == 30
