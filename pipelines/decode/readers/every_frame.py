"""The frame on display at a moment, found by decoding every frame: slow, and right for any container and codec.

`needed_frames` is faster where packets tell which frames there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from av.error import EOFError as EndOfFile
from av.error import InvalidDataError
from av.video.frame import VideoFrame

from framegate.pipelines.decode.readers.best_times import BestTimes
from framegate.pipelines.decode.readers.track import Track, back_offs

# Without an index of key frames: how far ahead a seek is likely to beat decoding what lies between.
BLIND_SEEK_SECONDS = 4.0


class Shown(NamedTuple):
    """A frame that is on display, and whether the video has none after it."""

    frame: VideoFrame
    is_last: bool


class EveryFrame:
    """Frames of `track`, which is the caller's and may not be moved by anybody else meanwhile."""

    def __init__(self, track: Track, *, origin_ticks: int = 0) -> None:
        self._track = track
        self._origin_ticks = origin_ticks
        self.forget()

    def forget(self) -> None:
        """Frees what is decoded. Needed before the track moves or closes: frame iterators point into it."""
        self._shown: VideoFrame | None = None
        self._coming: VideoFrame | None = None
        self._frames: Iterator[VideoFrame] = iter(())

    def first(self) -> VideoFrame | None:
        """The first frame of all. Raises FFmpegError, VideoError as `Track.rewind` does."""
        self._rewind()
        if self._shown is not None:
            self._origin_ticks = frame_ticks(self._shown)
        return self._shown

    def at(self, limits_ticks: Sequence[int], k: int) -> Shown | None:
        """The last frame that starts at or before `limits_ticks[k]`, or else the first one; None if there is none."""
        limit = limits_ticks[k]
        if self._must_seek(limit):
            self._seek(limit)
        while self._coming is not None and frame_ticks(self._coming) <= limit:
            self._shown, self._coming = self._coming, next(self._frames, None)
        return None if self._shown is None else Shown(self._shown, self._coming is None)

    def _must_seek(self, limit: int) -> bool:
        if self._shown is None or limit < frame_ticks(self._shown):
            return True
        if self._coming is None or not self._track.can_seek:
            return False
        key_ticks = self._track.key_ticks_before(limit)
        if key_ticks is not None and key_ticks > frame_ticks(self._coming):
            return True
        too_far = limit - frame_ticks(self._coming) > BLIND_SEEK_SECONDS / self._track.time_base
        return too_far and not self._track.has_index_to(limit)

    def _seek(self, limit: int) -> None:
        for target in back_offs(limit, self._track.time_base, not_before=self._origin_ticks):
            self.forget()
            if not self._track.seek(target):
                break
            self._take_first_frames(after_seek=True)
            if self._shown is not None and frame_ticks(self._shown) <= limit:
                return
        self._rewind()

    def _rewind(self) -> None:
        self.forget()
        self._track.rewind()
        self._take_first_frames()

    def _take_first_frames(self, *, after_seek: bool = False) -> None:
        self._frames = self._decode(after_seek=after_seek)
        self._shown = next(self._frames, None)
        self._coming = next(self._frames, None)

    def _decode(self, *, after_seek: bool) -> Iterator[VideoFrame]:
        """All frames from here on, `pts` being when each is shown. Damaged packets are skipped: what can be shown is
        shown.

        After a seek, frames that are shown before the key frame at which decoding starts are left out: they refer to
        what lies before it, and some decoders paint the missing part grey.
        """
        start_ticks: int | None = None
        times = BestTimes()
        codec = self._track.stream.codec_context
        codec.skip_frame = "DEFAULT"
        for packet in chain(self._track.packets(), [None]):  # None: at the end, all that the decoder holds back
            if packet is not None and packet.size == 0 and packet.dts is not None:
                continue  # Theora, AVI: the picture before it stays
            if after_seek and packet is not None:
                start_ticks, after_seek = packet.pts if packet.pts is not None else packet.dts, False
            try:
                decoded = codec.decode(packet)
            except (InvalidDataError, EndOfFile):
                continue
            self._track.changes.note_packet(packet, codec)
            for frame in decoded:
                self._track.note_frame(frame)
                frame.pts = times.time(frame)
                if frame.pts is not None and (start_ticks is None or frame.pts >= start_ticks):
                    yield frame


def frame_ticks(frame: VideoFrame) -> int:
    assert frame.pts is not None, "frames without a time are dropped where they are decoded"
    return frame.pts
