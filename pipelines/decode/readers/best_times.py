"""When a decoded frame is shown, where its container gives no presentation time, or a wrong one.

AVI counts frames in the order in which they are decoded, and other containers leave times out. Then FFmpeg's best guess
holds, as its command line prints it: a frame is shown when the packet is decoded that brings it out of the decoder.

    packets, in decode order     I0  P1  b2  b3       AVI: decode times alone
    frames that come out                 I0  b2       the decoder holds two frames back
    shown at                             2   3
"""

from __future__ import annotations

from av.video.frame import VideoFrame


class BestTimes:
    """Times of frames in the order in which they come out of a decoder, in ticks. One for each start of decoding.

    A frame's own time counts unless such times ran backwards more often than decode times did.
    """

    def __init__(self) -> None:
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._num_faulty_pts = self._num_faulty_dts = 0
        self._last_ticks: int | None = None
        self._step_ticks = 1

    def time(self, frame: VideoFrame) -> int | None:
        """When `frame` is shown; None for frames before the first one that has a time."""
        pts, dts = frame.pts, frame.dts
        if dts is not None:
            self._num_faulty_dts += self._last_dts is not None and dts <= self._last_dts
        if pts is not None:
            self._num_faulty_pts += self._last_pts is not None and pts <= self._last_pts
        self._last_dts = dts if dts is not None else pts if pts is not None else self._last_dts
        self._last_pts = pts if pts is not None else dts if dts is not None else self._last_pts
        is_pts_better = self._num_faulty_pts <= self._num_faulty_dts or dts is None
        ticks = pts if pts is not None and is_pts_better else dts
        if ticks is None and self._last_ticks is not None:  # at the end of the film
            ticks = self._last_ticks + self._step_ticks
        if ticks is not None:
            step = frame.duration or (ticks - self._last_ticks if self._last_ticks is not None else 0)
            self._step_ticks = step if step > 0 else self._step_ticks
            self._last_ticks = ticks
        return ticks
