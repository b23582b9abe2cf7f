"""The seam between the decode stage and the packages that decode.

Times are seconds of the video, in one running time. Second 0 is when the first picture or sound of the file begins: a
transport stream that was cut out of a broadcast starts at 0 like any other. A package is imported when `open_reader` is
asked for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

import numpy as np

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.gaps import Gap
from framegate.pipelines.decode.readers.sniff import HEAD_BYTES, sniff
from framegate.pipelines.decode.readers.still_pictures import refuse_picture
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import ConfigError

# What a header tells at most: a false clock, or a false ratio of a pixel's sides, makes more.
MAX_TOLD_FPS: Final = 1e9
MAX_SIDE_PIXELS: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class VideoHeader:
    """What is known before a clip is decoded. The display size is that of the first frame as a player shows it: cut to
    what the container lets show, drawn out to square pixels, and turned.

    fps            average frame rate as the container gives it; None where it gives none, or above MAX_TOLD_FPS
    num_streams    of all kinds, in the file
    is_cut_short   the container says that it is longer than the file is
    gaps           stretches of a second or more in which no frame starts, as far as opening tells: see `readers.gaps`
    rotation       degrees by which the stored picture is turned to the right before it is shown: 0, 90, 180 or 270
    created_seconds  when the file says that it was made, in seconds since 1970 (UTC); see `readers.creation_time`
    """

    container: str
    codec: str
    display_height: int
    display_width: int
    duration_seconds: float
    fps: float | None = None
    num_streams: int = 1
    is_cut_short: bool = False
    gaps: tuple[Gap, ...] = ()
    rotation: int = 0
    created_seconds: float | None = None


class _Frames(NamedTuple):
    frames_THWC: np.ndarray
    pts_seconds: np.ndarray
    has_ended: bool


class Selection(_Frames):
    """The frames of one read: frames_THWC uint8 RGB and pts_seconds float64 (T,). `has_ended`: the video ended before
    the last of the times that were asked for. These three unpack.

    is_letterboxed   a frame has another shape than the first one of the video, and black beside it
    """

    is_letterboxed: bool

    def __new__(
        cls, frames_THWC: np.ndarray, pts_seconds: np.ndarray, has_ended: bool, *, is_letterboxed: bool = False
    ) -> Self:
        selection = super().__new__(cls, frames_THWC, pts_seconds, has_ended)
        selection.is_letterboxed = is_letterboxed
        return selection


class Source(Protocol):
    """Bytes [0, size_bytes) of one version of one video, as `pipelines.store.pinned.PinnedObject` reads them."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def bytes_read(self) -> int:
        """Bytes fetched from storage so far."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Raises StorageError."""
        ...


class Reader(Protocol):
    """One open video. Not thread-safe; close it when done (every reader is a context manager).

    A reader may have an attribute `progress`: a function without arguments that it calls for each frame it decodes,
    also for frames that nobody asked for. The caller sets it to tell a slow decoder from one that hangs.
    """

    header: VideoHeader

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """The frames on display at ascending `times_seconds`, as a player shows them, scaled to (height, width).

        (height, width) stands for the shape of the first frame of the video. A frame of another shape keeps its own: it
        is put into the middle, as large as it finds room, on black.
        Each frame once, so fewer than `times_seconds` where one frame serves two times, and none (T = 0) where the
        video has ended. `out`, uint8 of (len(times_seconds), height, width, 3), is where the frames are put; without
        it, an array is made. Raises VideoError.
        """
        ...

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """Bytes of the file that `read` would need, by the file's index; None where there is none to tell."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Reader: ...

    def __exit__(self, *exc_info: object) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A decoder's package, and our reader of it as `module:name` of a class, or a function that opens a file."""

    package: str
    reader: str


DECODERS: dict[str, Decoder] = {
    "pyav": Decoder(package="av", reader="framegate.pipelines.decode.readers.pyav:open_pyav"),
    "decord": Decoder(package="decord", reader="framegate.pipelines.decode.readers.decord:open_decord"),
}


def decoder_version(name: str) -> str:
    """The installed version of the package behind decoder `name`, such as "18.1.0". Raises ConfigError."""
    return str(_import(find_decoder(name).package, decoder=name).__version__)


def open_reader(name: str, file: RangeFile, limits: DecodeConfig | None = None) -> Reader:
    """Sniff `file` and open it with decoder `name`, in this process. The file stays the caller's to close.

    `limits` bound what the header may announce; without them the defaults hold. Raises ConfigError where the decoder is
    unknown or not installed, VideoError where the file is no video, and what `file` raises.
    """
    container = sniff_file(file)
    return reader_class(name)(file, container=container, limits=limits or DecodeConfig())


def sniff_file(file: RangeFile) -> str:
    """The container of an open file. Raises EmptyVideo, Playlist, NotAVideo."""
    file.seek(0)
    container = sniff(file.read(HEAD_BYTES))
    if container == "iso_bmff":
        refuse_picture(file)
    file.seek(0)
    return container


def reader_class(name: str) -> Callable[..., Reader]:
    """`(file, *, container, limits) -> Reader` behind a name, its package imported. Raises ConfigError."""
    decoder = find_decoder(name)
    _import(decoder.package, decoder=name)
    module_name, _, class_name = decoder.reader.partition(":")
    return getattr(importlib.import_module(module_name), class_name)


def find_decoder(name: str) -> Decoder:
    """Raises ConfigError."""
    if name not in DECODERS:
        raise ConfigError(f"the decoder '{name}' is unknown; use one of: {', '.join(DECODERS)}")
    return DECODERS[name]


def _import(package: str, *, decoder: str):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"the decoder '{decoder}' needs the package '{package}', which cannot be imported here ({error}); "
            f"install it with 'pip install {package}' or set frames.decoder to pyav"
        ) from error
