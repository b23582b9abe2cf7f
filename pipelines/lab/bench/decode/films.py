"""Films to measure on: H.264 and AAC in MP4, drawn and encoded here, kept in a folder and used again.

A camera pans over a landscape of blurred noise, with a sensor's noise on top, and the bit rate is held to what cameras
use, so that a frame costs what it costs in real footage. Black and white squares along the bottom spell the frame's
number, so that neighbouring frames can be told apart.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

GRID_COLUMNS, GRID_ROWS = 32, 18  # a square of the number is one cell of this grid
NUMBER_BITS = 16
LUMA_LEVELS = ((2, 6), (4, 10), (16, 20), (64, 25), (180, 30))  # (pixels of a patch, its contrast in grey levels)
CHROMA_LEVELS = ((16, 8), (64, 15))
NOISE_PLANES = 7  # the sensor's noise starts anew after so many frames
AUDIO_RATE = 48_000
AUDIO_SAMPLES = 1024  # of one AAC packet
AUDIO_PACKETS = 375  # 8 s: whole packets, whole seconds; then they are repeated


@dataclass(frozen=True, kw_only=True)
class Film:
    """The description of a film, with a key frame every `gop_seconds`.

    After `scene_seconds` the packets of the first scene are used again: encoding an hour would take minutes, and
    decoders do the same work on a copy.
    """

    name: str
    height: int
    width: int
    seconds: int
    bits_per_second: int
    scene_seconds: int
    fps: int = 30
    gop_seconds: int = 2

    @property
    def file_name(self) -> str:
        """Names everything that the bytes depend on, so that a file of this name need not be made again."""
        rate = f"{self.bits_per_second // 1000}kbps"
        return f"bench1-{self.name}-{self.seconds}s-{self.fps}fps-{rate}-key{self.gop_seconds}s.mp4"


FILMS = (
    Film(name="720p", height=720, width=1280, seconds=300, bits_per_second=3_000_000, scene_seconds=100),
    Film(name="360p", height=360, width=640, seconds=3600, bits_per_second=500_000, scene_seconds=300),
)


def films_with_key_frames(gop_seconds: int) -> list[Film]:
    """FILMS, their lengths rounded to whole groups of pictures."""

    def whole(seconds: int) -> int:
        return max(1, round(seconds / gop_seconds)) * gop_seconds

    return [
        replace(film, gop_seconds=gop_seconds, seconds=whole(film.seconds), scene_seconds=whole(film.scene_seconds))
        for film in FILMS
    ]


def make_film(film: Film, path: Path, *, on_seconds: Callable[[float], None] = lambda seconds: None) -> None:
    """Encodes the film into `path`, which appears when it is whole. `on_seconds` hears how much of it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with av.open(unfinished, "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=film.fps)
            audio = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
            _set_up(video, film)
            for packet in heapq.merge(_pictures(video, film), _sound(audio, film.seconds), key=_seconds):
                if packet.stream is video and packet.is_keyframe:
                    on_seconds(_seconds(packet))
                container.mux(packet)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    on_seconds(film.seconds)


def _set_up(stream: VideoStream, film: Film) -> None:
    key_frames = film.gop_seconds * film.fps
    stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
    stream.bit_rate = film.bits_per_second
    stream.options = {
        "preset": "veryfast",
        "maxrate": str(2 * film.bits_per_second),
        "bufsize": str(4 * film.bits_per_second),
        "x264-params": f"keyint={key_frames}:min-keyint={key_frames}:scenecut=0",
    }
    stream.thread_type = "AUTO"


def _pictures(stream: VideoStream, film: Film) -> Iterator[av.Packet]:
    """All packets of the film in decoding order, in ticks of one frame."""
    num_frames = film.scene_seconds * film.fps
    scene: list[av.Packet] = []
    for packet in _encode(stream, _draw(film, num_frames), time_base=Fraction(1, film.fps)):
        scene.append(packet)
        yield _shift(packet, stream, 0)
    for number in range(film.seconds * film.fps - num_frames):
        yield _shift(scene[number % num_frames], stream, (1 + number // num_frames) * num_frames)


def _sound(stream: AudioStream, seconds: int) -> Iterator[av.Packet]:
    """A wavering tone, in ticks of one sample."""
    length = AUDIO_PACKETS * AUDIO_SAMPLES
    at = np.arange(length, dtype=np.float32) / AUDIO_RATE
    wave = (0.3 * np.sin(2 * np.pi * (220 * at + 8 * np.sin(2 * np.pi * at)))).astype(np.float32)
    packets = list(_encode(stream, _samples(wave), time_base=Fraction(1, AUDIO_RATE)))[:AUDIO_PACKETS]
    for number in range(seconds * AUDIO_RATE // AUDIO_SAMPLES):
        yield _shift(packets[number % AUDIO_PACKETS], stream, number // AUDIO_PACKETS * length)


def _samples(wave: np.ndarray) -> Iterator[av.AudioFrame]:
    for start in range(0, len(wave), AUDIO_SAMPLES):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + AUDIO_SAMPLES], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = AUDIO_RATE, start
        yield frame


def _encode(stream: VideoStream | AudioStream, frames: Iterable, *, time_base: Fraction) -> Iterator[av.Packet]:
    for frame in frames:
        frame.time_base = time_base
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _seconds(packet: av.Packet) -> float:
    assert packet.dts is not None, "encoders give every packet a time"
    return float(packet.dts * packet.time_base)


def _shift(packet: av.Packet, stream: VideoStream | AudioStream, ticks: int) -> av.Packet:
    """A copy to be written to `stream`, `ticks` later; writing takes a packet's bytes away."""
    assert packet.pts is not None, "encoders give every packet a time"
    assert packet.dts is not None
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.duration = packet.pts + ticks, packet.dts + ticks, packet.duration
    copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, stream
    return copy


def _draw(film: Film, num_frames: int) -> Iterator[av.VideoFrame]:
    chance = np.random.default_rng(film.height)
    height, width = film.height, film.width
    grey = _landscape(3 * height, 3 * width, LUMA_LEVELS, chance)
    blue, red = (_landscape(3 * height // 2, 3 * width // 2, CHROMA_LEVELS, chance) for _ in range(2))
    noise = chance.integers(-3, 4, (NOISE_PLANES, height, width), dtype=np.int8).view(np.uint8)
    for number in range(num_frames):
        # Two speeds that share no period: the camera never comes by the same way again.
        y = round(height / 2 * (1 + 0.9 * np.sin(number / 61))) * 2
        x = round(width / 2 * (1 + 0.9 * np.sin(number / 97))) * 2
        luma = grey[y : y + height, x : x + width] + noise[number % NOISE_PLANES]
        _write_number(luma, number)
        window = slice(y // 2, y // 2 + height // 2), slice(x // 2, x // 2 + width // 2)
        planes = np.concatenate([luma.ravel(), blue[window].ravel(), red[window].ravel()])
        frame = av.VideoFrame.from_ndarray(planes.reshape(-1, width), format="yuv420p")
        frame.pts = number
        yield frame


def _landscape(height: int, width: int, levels: tuple[tuple[int, int], ...], chance: np.random.Generator) -> np.ndarray:
    """Patches of several sizes on top of each other, in [40, 216], so that noise added later cannot wrap around."""
    total = np.full((height, width), 128, np.float32)
    for patch, contrast in levels:
        coarse = contrast * chance.standard_normal((height // patch + 1, width // patch + 1), dtype=np.float32)
        total += coarse.repeat(patch, axis=0)[:height].repeat(patch, axis=1)[:, :width]
    return total.clip(40, 216).astype(np.uint8)


def _write_number(luma: np.ndarray, number: int) -> None:
    height, width = luma.shape
    for bit in range(NUMBER_BITS):
        left, right = (column * width // GRID_COLUMNS for column in (bit, bit + 1))
        luma[-(height // GRID_ROWS) :, left:right] = 235 if number >> bit & 1 else 16
