"""Small films in memory: each maker gives the bytes of one file. The first frame's four quarters differ in colour."""

from __future__ import annotations

import functools
import io
import struct
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (40, 40, 220), (235, 235, 235)
FASTSTART = (("movflags", "faststart"),)
FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)
MAGENTA = (200, 30, 200)
QUARTERS = {"top_left": RED, "top_right": GREEN, "bottom_left": BLUE, "bottom_right": WHITE}


def draw(number: int, *, height: int, width: int) -> np.ndarray:
    """Quarters of four colours, with a thin bar that moves, so that no two neighbours are equal."""
    frame_HWC = np.empty((height, width, 3), np.uint8)
    rows, columns = -(-height // 2), -(-width // 2)
    frame_HWC[:rows, :columns], frame_HWC[:rows, columns:] = RED, GREEN
    frame_HWC[rows:, :columns], frame_HWC[rows:, columns:] = BLUE, WHITE
    frame_HWC[:, (5 * number) % width] = 128
    return frame_HWC


def steady(seconds: float, *, fps: float = 10, start_seconds: float = 0.0) -> list[float]:
    return [start_seconds + number / fps for number in range(round(seconds * fps))]


def film(
    muxer: str = "mp4",
    codec: str = "libx264",
    *,
    seconds: float = 4.0,
    times_seconds: Sequence[float] | None = None,
    height: int = 64,
    width: int = 96,
    pixel_format: str = "yuv420p",
    fps: int = 10,
    b_frames: int = 0,
    gop_frames: int = 10,
    rotation_degrees: int | None = None,
    sound_seconds: float = 0.0,
    is_magenta: bool = False,
    muxer_options: Iterable[tuple[str, str]] = (),
    codec_options: Iterable[tuple[str, str]] = (),
) -> bytes:
    """One frame at each of `times_seconds`; the same bytes for the same arguments, made once."""
    times = tuple(times_seconds) if times_seconds is not None else tuple(steady(seconds, fps=fps))
    return _film(
        muxer, codec, times, height, width, pixel_format, fps, b_frames, gop_frames, rotation_degrees, sound_seconds,
        is_magenta, tuple(muxer_options), tuple(codec_options),
    )  # fmt: skip


@functools.cache
def _film(
    muxer: str,
    codec: str,
    times_seconds: tuple[float, ...],
    height: int,
    width: int,
    pixel_format: str,
    fps: int,
    b_frames: int,
    gop_frames: int,
    rotation_degrees: int | None,
    sound_seconds: float,
    is_magenta: bool,
    muxer_options: tuple[tuple[str, str], ...],
    codec_options: tuple[tuple[str, str], ...],
) -> bytes:
    # A file and not a buffer: to put the index in front, the MP4 muxer reads what it has written.
    with (
        tempfile.NamedTemporaryFile() as file,
        av.open(file.name, "w", format=muxer, options=dict(muxer_options)) as container,
    ):
        stream = container.add_stream(codec, rate=fps, options=_fast(codec) | dict(codec_options))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop_frames, b_frames
        # MPEG-1/2 and AVI count frames; everything else here counts milliseconds.
        counts_frames = codec in ("mpeg1video", "mpeg2video") or muxer in ("avi", "mxf")
        time_base = Fraction(1, fps) if counts_frames else Fraction(1, 1000)
        stream.codec_context.time_base = time_base
        if rotation_degrees is not None:
            stream.set_display_rotation(rotation_degrees)
        sound = container.add_stream("aac", rate=48_000, layout="mono") if sound_seconds else None
        for number, moment in enumerate(times_seconds):
            pixels = (
                np.full((height, width, 3), MAGENTA, np.uint8)
                if is_magenta
                else draw(number, height=height, width=width)
            )
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base, frame.pts = time_base, round(moment / time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for _ in range(round(sound_seconds * 48_000 / 1024)):
                container.mux(sound.encode(_silence()))
            container.mux(sound.encode(None))
        container.close()
        return file.read()


def _fast(codec: str) -> dict[str, str]:
    return {
        "libx264": {"preset": "ultrafast", "threads": "1"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
        "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
        "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    }.get(codec, {})


def _silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 48_000
    return frame


@functools.cache
def sound(muxer: str, codec: str = "aac") -> bytes:
    """One second of silence and no picture."""
    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        for _ in range(47):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@functools.cache
def picture(codec: str = "png", *, height: int = 64, width: int = 96, pixel_format: str = "rgb24") -> bytes:
    """One still picture, as the file of its kind or as the packet of a video."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    context.time_base = Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(draw(0, height=height, width=width), format="rgb24").reformat(
        format=pixel_format
    )
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def blank_png(width: int, height: int) -> bytes:
    """Black, one bit a pixel."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(height * (1 + width // 8)), 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@functools.cache
def packets(
    muxer: str,
    codec: str,
    data: tuple[bytes, ...],
    *,
    height: int,
    width: int,
    milliseconds: tuple[int, ...] | None = None,
    last_milliseconds: int = 1000,
) -> bytes:
    """Ready-made packets as one video stream, one a second or at `milliseconds`; the first is a key frame."""
    times = milliseconds or tuple(range(0, 1000 * len(data), 1000))
    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        stream = container.add_mux_stream(codec, rate=1, width=width, height=height)
        stream.time_base = Fraction(1, 1000)
        for content, start, end in zip(data, times, [*times[1:], times[-1] + last_milliseconds], strict=True):
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), start == times[0]
            packet.pts, packet.dts, packet.duration = start, start, end - start
            container.mux(packet)
    return file.getvalue()


@functools.cache
def two_pictures(muxer: str, *, cover: bool) -> bytes:
    """A film of 96x64 behind a first video stream that is smaller or, with `cover`, a larger cover picture."""
    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        if cover:
            first = container.add_mux_stream("png", rate=1, width=320, height=240)
            first.disposition = Disposition.attached_pic
        else:
            first = _add_x264(container, height=32, width=48)
        main = _add_x264(container, height=64, width=96)
        if cover:
            packet = av.Packet(picture(height=240, width=320))
            packet.stream, packet.pts, packet.dts, packet.time_base = first, 0, 0, Fraction(1, 1000)
            packet.is_keyframe = True
            container.mux(packet)
        for number in range(40):
            for stream in [main] if cover else [first, main]:
                # The small stream is turned in its colours: whoever takes it is seen.
                pixels = draw(number, height=stream.height, width=stream.width)
                frame = av.VideoFrame.from_ndarray(
                    pixels if stream is main else np.ascontiguousarray(255 - pixels), format="rgb24"
                )
                frame.time_base, frame.pts = Fraction(1, 10), number
                container.mux(stream.encode(frame))
        for stream in [main] if cover else [first, main]:
            container.mux(stream.encode(None))
    return file.getvalue()


def _add_x264(container, *, height: int, width: int):
    stream = container.add_stream("libx264", rate=10, options=_fast("libx264"))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    return stream


@functools.cache
def only_a_cover() -> bytes:
    """Sound with a cover picture, as music is sold."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        cover = container.add_mux_stream("png", rate=1, width=96, height=64)
        cover.disposition = Disposition.attached_pic
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        packet = av.Packet(picture())
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 1000)
        packet.is_keyframe = True
        container.mux(packet)
        for _ in range(47):
            container.mux(stream.encode(_silence()))
        container.mux(stream.encode(None))
    return file.getvalue()
