"""Reading frames with PyAV (FFmpeg): the default decoder.

It seeks instead of decoding everything, scales inside the conversion to RGB so that no full-size RGB frame exists, and
can open nothing but the bytes it was given. One thread per reader: the flow runs many readers side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from framegate.pipelines.decode.readers.all_packets import AllPackets, film_seconds, read_all_packets
from framegate.pipelines.decode.readers.appearance import Appearance
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.drawing import Drawing
from framegate.pipelines.decode.readers.empty_stretches import find_gaps, may_be_sparse
from framegate.pipelines.decode.readers.every_frame import EveryFrame, Shown, frame_ticks
from framegate.pipelines.decode.readers.frame_starts import IrregularPackets
from framegate.pipelines.decode.readers.header import (
    announced_seconds,
    decode_error,
    frame_rate,
    read_header,
)
from framegate.pipelines.decode.readers.joined import open_joined
from framegate.pipelines.decode.readers.needed_frames import NeededFrames
from framegate.pipelines.decode.readers.reader import Reader, Selection, VideoHeader
from framegate.pipelines.decode.readers.skippable import skips_exactly
from framegate.pipelines.decode.readers.stream_summary import read_summary
from framegate.pipelines.decode.readers.time_signs import read_where_needed
from framegate.pipelines.decode.readers.timeline import Timeline, file_zero
from framegate.pipelines.decode.readers.track import Track, count_bytes
from framegate.schemas.config import DecodeConfig


def open_pyav(file: RangeFile, *, container: str, limits: DecodeConfig) -> Reader:
    """A PyavReader of `file`, or of each film in it where several lie behind one another. Raises VideoError."""
    return open_joined(PyavReader, file, container=container, limits=limits)


class PyavReader:
    """A video read from an open seekable `file`, which stays the caller's; `container` is what `sniff` called it.

    `skips` False decodes every frame on the way to one that was asked for, for comparison: the frames are the same.
    """

    header: VideoHeader

    def __init__(self, file: RangeFile, *, container: str, limits: DecodeConfig, skips: bool = True) -> None:
        self._file = file
        self._frames: NeededFrames | EveryFrame | None = None
        self._track: Track | None = None
        try:
            track = self._track = Track(file, container=container, limits=limits)
            packets = read_where_needed(track)
            skips = skips and skips_exactly(container, track.stream)
            self._frames = NeededFrames(track) if skips else EveryFrame(track)
            first = self._first_frame(track)
            first_ticks = frame_ticks(first)
            self._timeline = Timeline(
                time_base=track.time_base,
                origin_ticks=file_zero(track.container.start_time, first_ticks, track.time_base),
                rate=frame_rate(track.stream),
            )
            self._appearance = Appearance(track, read_summary(track.container, track.stream), first)
            self._drawing = Drawing(self._appearance.first)
            self.header = self._read_header(track, packets, first_ticks, limits)
        except FFmpegError as error:
            self.close()
            raise decode_error(file, error) from error
        except BaseException:
            self.close()
            raise

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        frames_THWC = np.empty((len(times_seconds), height, width, 3), dtype=np.uint8) if out is None else out
        pts: list[int] = []
        has_ended = is_letterboxed = False
        limits = [self._timeline.limit_ticks(seconds) for seconds in times_seconds]
        try:
            ranges = self._open_track().byte_ranges(limits)
            for k, seconds in enumerate(times_seconds):
                if ranges is not None:
                    self._open_track().expect(ranges[k])
                shown = self._shown_at(limits, k)
                if shown is None or (shown.is_last and seconds >= self._end_seconds(shown.frame)):
                    has_ended = True
                    break
                ticks = frame_ticks(shown.frame)
                if not pts or ticks > pts[-1]:
                    picture = self._appearance.of(shown.frame)
                    is_letterboxed |= self._drawing.draw(shown.frame, picture, frames_THWC[len(pts)])
                    pts.append(ticks)
        except FFmpegError as error:
            raise decode_error(self._file, error) from error
        pts_seconds = np.array([self._timeline.seconds(ticks) for ticks in pts], dtype=np.float64)
        return Selection(frames_THWC[: len(pts)], pts_seconds, has_ended, is_letterboxed=is_letterboxed)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`. What opening read is not in it."""
        track = self._open_track()
        limits = [self._timeline.limit_ticks(seconds) for seconds in times_seconds]
        ranges = track.byte_ranges(limits)
        if ranges is None:
            self._forget()
            track.load_index()
            ranges = track.byte_ranges(limits)
        return None if ranges is None else count_bytes(ranges)

    @property
    def progress(self) -> Callable[[], object]:
        """See `Reader`."""
        return self._open_track().progress

    @progress.setter
    def progress(self, tell: Callable[[], object]) -> None:
        self._open_track().progress = tell

    def close(self) -> None:
        """Frees the decoder."""
        self._forget()
        self._frames = None
        if self._track is not None:
            self._track.close()
            self._track = None

    def __enter__(self) -> PyavReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _first_frame(self, track: Track) -> VideoFrame:
        assert self._frames is not None
        try:
            first = self._frames.first()
        except IrregularPackets:
            self._frames.forget()
            self._frames = EveryFrame(track)
            first = self._frames.first()
        if first is None:
            raise decode_error(self._file, "no frame of it can be decoded")
        return first

    def _read_header(
        self, track: Track, packets: AllPackets | None, first_ticks: int, limits: DecodeConfig
    ) -> VideoHeader:
        announced = announced_seconds(track.container, track.stream, self._timeline)
        if announced is None and packets is None:  # a live recording
            self._forget()
            packets = read_all_packets(track)
            track.route = packets.route
        duration_seconds = film_seconds(announced, packets, self._timeline)
        duration_seconds += float(track.held_ticks * track.time_base)
        if may_be_sparse(track, packets, duration_seconds):
            self._forget()
        gaps = find_gaps(track, self._timeline, packets, first_ticks=first_ticks, duration_seconds=duration_seconds)
        return read_header(
            track.container,
            track.stream,
            self._file,
            kind=track.kind,
            limits=limits,
            display_size=self._appearance.first.display_size,
            duration_seconds=duration_seconds,
            gaps=gaps,
            rotation=self._appearance.first.orientation.degrees,
        )

    def _shown_at(self, limits_ticks: Sequence[int], k: int) -> Shown | None:
        assert self._frames is not None
        try:
            return self._frames.at(limits_ticks, k)
        except IrregularPackets:
            self._frames.forget()
            self._open_track().look_on()
            self._frames = EveryFrame(self._open_track(), origin_ticks=self._timeline.origin_ticks)
            return self._frames.at(limits_ticks, k)
        except BaseException:  # storage failed: the next read begins with a seek
            self._frames.forget()
            raise

    def _end_seconds(self, last: VideoFrame) -> float:
        return self._timeline.end_seconds(frame_ticks(last), last.duration or 0)

    def _forget(self) -> None:
        if self._frames is not None:
            self._frames.forget()

    def _open_track(self) -> Track:
        if self._track is None:
            raise ValueError("the reader is closed; open the video again")
        return self._track
