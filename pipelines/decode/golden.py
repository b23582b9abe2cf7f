"""What a decoder makes of a few small films: its part of config_id, in the place of its package's version.

The films are packaged, and so are the frames that PyAV 18.1 and decord 0.6 made of them. A decoder that gives its
frames, or frames as close to them as two kinds of processors are to each other, is known by a digest of the packaged
ones: the same on every machine, and for every version that does not decode otherwise. One that gives others is known by
those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np

from framegate.pipelines.decode.decoder_host import make_host
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Reader, decoder_version, open_reader
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import VideoError

FILMS: Final = ("h264.mp4", "hevc.mp4", "vp9.webm")
RATE, NUM_FRAMES = 12, 16  # of each film
SHOWN: Final = (0, 3, 7, 11, 15)  # the frames that are asked for
SHOWN_HEIGHT, SHOWN_WIDTH = 28, 28  # scaled, as every frame of a job is
TOLERANCE: Final = 3  # of 255: conversion and scaling round differently with other vector instructions
_DATA: Final = "decode/golden_films"


@cache
def describe_decoder(name: str) -> dict[str, Any]:
    """The decoder in a config_id: its name, its package's major version, and a digest of what it makes of the films.

    Raises ConfigError where it is not installed.
    """
    major = decoder_version(name).partition(".")[0]
    return {"name": name, "major_version": major, "golden_frames": _digest_frames(name)}


def decode_film(open_film: Callable[[RangeFile], Reader], data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The frames of a film, scaled, and when they are shown, in seconds. Raises VideoError."""
    file = RangeFile.of(data)
    with open_film(file) as reader:
        times = [number / RATE + 0.01 for number in SHOWN]
        selection = reader.read(times, height=SHOWN_HEIGHT, width=SHOWN_WIDTH)
        return selection.frames_THWC, selection.pts_seconds


def reference_key(name: str, film: str) -> str:
    """Under which the packaged frames of a decoder and a film lie; a film that it cannot decode has none."""
    return f"{name}_{film.replace('.', '_')}"


def _digest_frames(name: str) -> str:
    digest = hashlib.sha256()
    folder = files("framegate.pipelines") / _DATA
    with opened_by(name) as open_film, (folder / "frames.npz").open("rb") as file, np.load(file) as reference:
        for film in FILMS:
            data, expected = (folder / film).read_bytes(), reference.get(reference_key(name, film))
            digest.update(f"{film}\n".encode() + _seen_as(open_film, data, expected))
    return digest.hexdigest()[:16]


def _seen_as(open_film: Callable[[RangeFile], Reader], data: bytes, expected: np.ndarray | None) -> bytes:
    """Bytes for what a decoder makes of a film: the expected frames, where it gives them, else its own, or why none."""
    try:
        frames, pts_seconds = decode_film(open_film, data)
    except VideoError as error:
        return error.reason.encode()
    times = np.round(pts_seconds * 1000).astype("<i8").tobytes()
    if expected is None or frames.shape != expected.shape:
        return times + frames.tobytes()
    is_same = np.abs(frames.astype(int) - expected).max() <= TOLERANCE
    return times + (expected if is_same else frames).tobytes()


@contextmanager
def opened_by(name: str) -> Iterator[Callable[[RangeFile], Reader]]:
    """How films are opened with a decoder."""
    if name == "pyav":
        yield lambda file: open_reader(name, file)
        return
    # As with any video, it does not run in this process. The films are ours: whatever confines it will do.
    with closing(make_host(DecodeConfig(sandbox="weak"), [name])) as host:
        yield lambda file: host.open(name, _Film(file))


class _Film:
    """A `Source` over a film in memory."""

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        self.size_bytes = file.size_bytes
        self.bytes_read = 0

    def read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        data = b""
        while len(data) < end - start:
            data += self._file.read(end - start - len(data))
        self.bytes_read += len(data)
        return data
