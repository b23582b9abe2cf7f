"""The seam between the decode stage and the packages that decode.

Times are seconds of the video, and 0 is when the first frame of its video stream is shown: a transport stream that
was cut out of a broadcast starts at 0 like any other. Knows no package; `open_reader` imports the one it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from pipelines.decode.sniff import HEAD_BYTES, sniff
from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class VideoHeader:
    """What is known before a frame is decoded. The display size has rotation and pixel aspect applied."""

    container: str
    codec: str
    display_height: int
    display_width: int
    duration_seconds: float


class Reader(Protocol):
    """One open video. Not thread-safe; close it when done (every reader is a context manager)."""

    header: VideoHeader

    def read(self, times_seconds: Sequence[float], *, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The frames on display at ascending `times_seconds`, scaled to (height, width) and turned upright.

        Returns (frames_THWC uint8 RGB, pts_seconds float64): each frame once, so fewer than `times_seconds` where one
        frame serves two times, and none (T = 0) where the video has ended. Raises VideoError.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Reader: ...

    def __exit__(self, *exc_info: object) -> None: ...


# name -> (package that decodes, module and class of ours)
_DECODERS: dict[str, tuple[str, str, str]] = {
    "pyav": ("av", "pipelines.decode.pyav", "PyavReader"),
    "decord": ("decord", "pipelines.decode.decord", "DecordReader"),
}


def decoder_version(name: str) -> str:
    """The installed version of the package behind decoder `name`, such as "18.1.0". Raises ConfigError."""
    package = _find(name)[0]
    return str(_import(package, decoder=name).__version__)


def open_reader(name: str, file: BinaryIO) -> Reader:
    """Sniff an open seekable `file` and open it with decoder `name`. The file stays the caller's to close.

    Raises ConfigError where the decoder is unknown or not installed, VideoError where the file is no video.
    """
    package, module_name, class_name = _find(name)
    _import(package, decoder=name)
    file.seek(0)
    container = sniff(file.read(HEAD_BYTES))
    reader_class: Callable[..., Reader] = getattr(importlib.import_module(module_name), class_name)
    return reader_class(file, container=container)


def _find(name: str) -> tuple[str, str, str]:
    if name not in _DECODERS:
        raise ConfigError(f"The decoder '{name}' is unknown; use one of: {', '.join(_DECODERS)}.")
    return _DECODERS[name]


def _import(package: str, *, decoder: str):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"The decoder '{decoder}' needs the package '{package}', which cannot be imported here ({error}); "
            f"install it with 'pip install {package}' or set frames.decoder to pyav."
        ) from error
