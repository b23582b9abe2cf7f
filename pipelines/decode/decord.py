"""Reading frames with decord: selectable, not the default.

decord 0.6 opens playlists by their content, cannot decode AV1 and keeps decoding ahead for as long as it is open, so it
is given bytes that were sniffed, and is closed after each clip. Size, rotation and times come from PyAV, so that both
decoders choose the same frames; the pixels are decord's.
"""

from __future__ import annotations

from collections.abc import Sequence

import decord
import numpy as np

from pipelines.decode.blocks import RangeFile
from pipelines.decode.pyav import PyavReader
from pipelines.decode.reader import Selection, VideoHeader
from pipelines.decode.select import on_display
from schemas.config import DecodeConfig
from schemas.errors import DecodeFailed, UnsupportedCodec


class DecordReader:
    """A video read from an open seekable `file`, which stays the caller's; `container` is what `sniff` called it."""

    header: VideoHeader

    def __init__(self, file: RangeFile, *, container: str, limits: DecodeConfig) -> None:
        decord.logging.set_level(decord.logging.QUIET)
        self._file = file
        with PyavReader(file, container=container, limits=limits) as reader:
            self.header = reader.header
            self._frame_starts, self._end_seconds = reader.packet_seconds()

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        video = self._open(height=height, width=width)
        starts = self._frame_starts
        # Packets and frames are one to one in all files but damaged ones, where decord's own count decides. Its times
        # are float32: 4 ms coarse after nine hours.
        if len(starts) != len(video):
            starts = video.get_frame_timestamp(list(range(len(video))))[:, 0].astype(np.float64)
        indices = on_display(times_seconds, starts.tolist(), end_seconds=self._end_seconds)
        has_ended = bool(len(times_seconds)) and times_seconds[-1] >= self._end_seconds
        if not indices:
            return Selection(np.empty((0, height, width, 3), np.uint8), np.empty(0, np.float64), has_ended)
        try:
            frames_THWC = video.get_batch(indices).asnumpy()
        except decord.DECORDError as error:
            raise DecodeFailed(f"decord cannot decode the file ({_first_line(error)}).") from error
        if out is not None:
            out[: len(indices)] = frames_THWC
            frames_THWC = out[: len(indices)]
        return Selection(frames_THWC, np.maximum(starts[indices], 0.0), has_ended)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`."""
        return None

    def close(self) -> None:
        """Nothing to do: decord is open only while `read` runs."""

    def __enter__(self) -> DecordReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _open(self, *, height: int, width: int) -> decord.VideoReader:
        self._file.seek(0)
        try:
            return decord.VideoReader(self._file, width=width, height=height, num_threads=1)
        except decord.DECORDError as error:
            if "st_nb >= 0" in str(error):  # what decord says where FFmpeg finds no decoder for any stream
                raise UnsupportedCodec(
                    f"decord has no decoder for {self.header.codec}; set frames.decoder to pyav."
                ) from error
            raise DecodeFailed(f"decord cannot open the file ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
