"""What the coded video says of its pictures' shape, and where it says something else from then on.

A broadcast goes from 4:3 to 16:9 at a key frame, with as many pixels as before: only the width of a pixel tells. And
an H.264 or HEVC message may turn the picture.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from typing import Generic, TypeVar

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from framegate.pipelines.decode.readers.orientation import Orientation, orientation_of

T = TypeVar("T")


class CodedChanges:
    """What was told since `forget`, which every jump in the video calls: decoding begins at a key frame anew there."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._ratios: _Steps[Fraction | None] = _Steps()
        self._orientations: _Steps[Orientation] = _Steps()

    def note_packet(self, packet: Packet[VideoStream] | None, codec: VideoCodecContext) -> None:
        """A packet that was just decoded by `codec`; the picture itself may come out of it later."""
        if packet is not None and packet.is_keyframe:
            ticks = packet.pts if packet.pts is not None else packet.dts
            if ticks is not None:
                self._ratios.add(ticks, codec.sample_aspect_ratio or None)

    def note_frame(self, frame: VideoFrame) -> None:
        """A frame that came out of the decoder. Between key frames a message counts for its own picture alone."""
        if frame.key_frame and frame.pts is not None:
            orientation = orientation_of(frame)
            if orientation is not None:
                self._orientations.add(frame.pts, orientation)

    def pixel_ratio_at(self, ticks: int) -> Fraction | None:
        """Width of a pixel over its height in the frame that starts at `ticks`; None where the codec does not tell."""
        return self._ratios.at(ticks)

    def orientation_at(self, ticks: int) -> Orientation | None:
        """What the last key frame at or before `ticks` says that says something; None where none does."""
        return self._orientations.at(ticks)


class _Steps(Generic[T]):
    """A value that changes at some ticks; the latest word on a tick counts."""

    def __init__(self) -> None:
        self._ticks: list[int] = []
        self._values: list[T] = []

    def add(self, ticks: int, value: T) -> None:
        place = bisect_right(self._ticks, ticks)
        if place and self._values[place - 1] == value:
            return
        self._ticks.insert(place, ticks)
        self._values.insert(place, value)

    def at(self, ticks: int) -> T | None:
        place = bisect_right(self._ticks, ticks)
        return self._values[place - 1] if place else None
