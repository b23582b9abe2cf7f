"""Reading frames with PyAV (FFmpeg): the default decoder.

It seeks instead of decoding everything, scales inside the conversion to RGB so that no full-size RGB frame exists, and
can open nothing but the bytes it was given. One thread per reader: the flow runs many readers side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.container import InputContainer
from av.error import EOFError as EndOfFile
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipelines.decode.blocks import RangeFile
from pipelines.decode.header import display_size, main_stream
from pipelines.decode.reader import Selection, VideoHeader
from pipelines.decode.select import TICK_SECONDS
from pipelines.decode.sniff import DEMUXERS, is_cut_short
from schemas.config import DecodeConfig
from schemas.errors import DecodeFailed, TruncatedVideo, VideoError, VideoTooLarge

# Without an index of key frames: how far ahead a seek is likely to beat decoding what lies between.
BLIND_SEEK_SECONDS = 4.0
# A seek may land behind its target (open groups of pictures, transport streams): step back so far, then to the start.
BACK_OFF_SECONDS = (0.0, 1.0, 4.0, 16.0, 64.0)
# The last frame stays on display at least this long: sound often lasts a little longer than the picture.
LAST_FRAME_SECONDS = 1.0
# Longer than any recording in one file; a damaged header can announce centuries, and each clip of them would be tried.
MAX_DURATION_SECONDS = 31 * 86_400


class PyavReader:
    """A video read from an open seekable `file`, which stays the caller's; `container` is what `sniff` called it."""

    header: VideoHeader

    def __init__(self, file: RangeFile, *, container: str, limits: DecodeConfig) -> None:
        self._file = file
        self._demuxer = DEMUXERS[container]
        self._reformatter = VideoReformatter()
        try:
            self._open()
            first = next(self._frames, None)
            if first is None:
                raise self._error("no frame of it can be decoded")
            self._origin_ticks = _ticks(first)
            self._quarter_turns = round(first.rotation / 90) % 4
            self._shown: VideoFrame | None = first
            self._coming: VideoFrame | None = next(self._frames, None)
            self.header = self._read_header(container)
        except FFmpegError as error:
            self.close()
            raise self._error(error.strerror or str(error)) from error
        except VideoError:
            self.close()
            raise

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        frames_THWC = np.empty((len(times_seconds), height, width, 3), dtype=np.uint8) if out is None else out
        pts: list[float] = []
        has_ended = False
        try:
            for seconds in times_seconds:
                frame = self._frame_at(seconds)
                if frame is None:
                    has_ended = True
                    break
                pts_seconds = self._seconds(frame)
                if not pts or pts_seconds > pts[-1]:
                    frames_THWC[len(pts)] = self._to_rgb(frame, height=height, width=width)
                    pts.append(pts_seconds)
        except FFmpegError as error:
            raise self._error(error.strerror or str(error)) from error
        return Selection(frames_THWC[: len(pts)], np.array(pts, dtype=np.float64), has_ended)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`."""
        return None

    def packet_seconds(self) -> tuple[np.ndarray, float]:
        """When each frame of the stream starts, in display order, and when the last one ends.

        Reads the whole file, decodes nothing. Raises VideoError.
        """
        self._open()
        spans = []
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None:
                    spans.append((packet.pts, packet.duration or 0))
        except FFmpegError:  # the container breaks off here
            pass
        if not spans:
            raise self._error("its packets have no times")
        spans.sort()
        self._restart()
        starts = (np.array([pts for pts, _ in spans], dtype=np.float64) - self._origin_ticks) * self._tick_seconds
        return starts, float(starts[-1]) + self._last_frame_seconds(spans[-1][1])

    def close(self) -> None:
        """Frees the decoder. Streams, indexes and frame iterators of a closed container point to freed memory."""
        self._shown = self._coming = None
        self._frames: Iterator[VideoFrame] = iter(())
        if hasattr(self, "_container"):
            self._container.close()
            del self._container
            if hasattr(self, "_stream"):
                del self._stream

    def __enter__(self) -> PyavReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _open(self) -> None:
        self.close()
        self._file.seek(0)
        self._container: InputContainer = av.open(
            self._file,
            mode="r",
            format=self._demuxer,
            metadata_errors="replace",  # titles in Latin-1 are common, and no reason to refuse a video
            # A container can name other files and addresses; "none" is no protocol, so that it can open none of them.
            options={"format_whitelist": self._demuxer, "protocol_whitelist": "none"},
        )
        self._stream = main_stream(self._container)
        self._stream.codec_context.thread_count = 1
        if self._stream.time_base is None:
            raise self._error("its video stream has no time base")
        self._tick_seconds = float(self._stream.time_base)
        self._frames = self._decode()

    def _read_header(self, container: str) -> VideoHeader:
        height, width = display_size(self._stream, quarter_turns=self._quarter_turns)
        return VideoHeader(
            container=container,
            codec=self._stream.codec.canonical_name,
            display_height=height,
            display_width=width,
            duration_seconds=self._duration_seconds(),
        )

    def _duration_seconds(self) -> float:
        """From the header; where it has none (live recordings), from the packets. Never less than its index shows."""
        stream, container = self._stream, self._container
        origin_seconds = self._origin_ticks * self._tick_seconds
        index = stream.index_entries
        indexed_seconds = (index[-1].timestamp - self._origin_ticks) * self._tick_seconds if len(index) else 0.0
        if stream.duration:
            seconds = ((stream.start_time or 0) + stream.duration) * self._tick_seconds - origin_seconds
        elif container.duration:
            seconds = ((container.start_time or 0) + container.duration) / 1_000_000 - origin_seconds
        else:
            seconds = 0.0
        if not math.isfinite(seconds) or seconds <= 0:
            _, seconds = self.packet_seconds()
        seconds = max(seconds, indexed_seconds)
        if seconds > MAX_DURATION_SECONDS:
            raise VideoTooLarge(
                f"The header announces {seconds:.0f} seconds of video; at most {MAX_DURATION_SECONDS} are decoded."
            )
        return seconds

    def _decode(self) -> Iterator[VideoFrame]:
        """All frames from here on that have a time. Damaged packets are skipped: what can be shown is shown."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:  # the container breaks off here
                return
            if packet is None:
                return
            try:
                decoded = packet.decode()
            except (InvalidDataError, EndOfFile):
                continue
            yield from (frame for frame in decoded if frame.pts is not None or frame.dts is not None)

    def _frame_at(self, seconds: float) -> VideoFrame | None:
        """The frame on display at `seconds`; the first one for anything before it, none after the last has gone."""
        if self._must_seek(seconds):
            self._seek(seconds)
        while self._coming is not None and self._seconds(self._coming) <= seconds + TICK_SECONDS:
            self._shown, self._coming = self._coming, next(self._frames, None)
        shown = self._shown
        if shown is None or self._coming is not None:
            return shown
        return shown if seconds < self._seconds(shown) + self._last_frame_seconds(shown.duration or 0) else None

    def _must_seek(self, seconds: float) -> bool:
        if self._shown is None or seconds + TICK_SECONDS < self._seconds(self._shown):
            return True
        if self._coming is None:
            return False
        index = self._stream.index_entries
        if len(index) == 0:
            return seconds - self._seconds(self._coming) > BLIND_SEEK_SECONDS
        entry = index.search_timestamp(self._origin_ticks + int(seconds / self._tick_seconds), backward=True)
        return entry >= 0 and index[entry].timestamp > _ticks(self._coming)

    def _seek(self, seconds: float) -> None:
        for back_off in BACK_OFF_SECONDS:
            target = seconds - back_off
            if target <= 0:
                break
            ticks = self._origin_ticks + int(target / self._tick_seconds)
            try:
                self._container.seek(ticks, stream=self._stream, backward=True)
            except FFmpegError:  # a container that cannot seek is read from its start
                break
            self._take_first_frames()
            if self._shown is not None and self._seconds(self._shown) <= seconds + TICK_SECONDS:
                return
        self._restart()

    def _restart(self) -> None:
        self._open()
        self._take_first_frames()

    def _take_first_frames(self) -> None:
        self._frames = self._decode()
        self._shown = next(self._frames, None)
        self._coming = next(self._frames, None)

    def _to_rgb(self, frame: VideoFrame, *, height: int, width: int) -> np.ndarray:
        if self._quarter_turns % 2:
            height, width = width, height
        rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation="BICUBIC")
        return np.rot90(rgb.to_ndarray(), self._quarter_turns)

    def _last_frame_seconds(self, duration_ticks: int) -> float:
        rate = self._stream.average_rate
        return max(duration_ticks * self._tick_seconds, float(1 / rate) if rate else 0.0, LAST_FRAME_SECONDS)

    def _seconds(self, frame: VideoFrame) -> float:
        return max(0.0, (_ticks(frame) - self._origin_ticks) * self._tick_seconds)

    def _error(self, detail: str) -> VideoError:
        if is_cut_short(self._file):
            return TruncatedVideo(f"The file ends before its index or its frames do ({detail}).")
        return DecodeFailed(f"The file cannot be decoded ({detail}).")


def _ticks(frame: VideoFrame) -> int:
    ticks = frame.pts if frame.pts is not None else frame.dts
    assert ticks is not None, "frames without a time are dropped where they are decoded"
    return ticks
