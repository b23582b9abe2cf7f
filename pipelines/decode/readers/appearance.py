"""How each frame of a video is shown: what its container says, and what the coded video says of this one frame."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame

from framegate.pipelines.decode.readers.every_frame import frame_ticks
from framegate.pipelines.decode.readers.orientation import UPRIGHT, orientation_of
from framegate.pipelines.decode.readers.picture import Picture, usable_margins
from framegate.pipelines.decode.readers.stream_summary import StreamSummary
from framegate.pipelines.decode.readers.track import Track


class Appearance:
    """Of the frames of `track`, whose first one is `first`.

    The pixel ratio is the container's. Where the coded video says the same of its first frame, or the container says
    nothing, each key frame's own ratio counts from there on. A frame that nothing turns is turned like the first one.
    """

    def __init__(self, track: Track, summary: StreamSummary, first: VideoFrame) -> None:
        self._track, self._margins = track, summary.margins
        coded_ratio = track.changes.pixel_ratio_at(frame_ticks(first))
        self._ratio = track.stream.sample_aspect_ratio or coded_ratio or Fraction(1)
        self._follows_codec = coded_ratio == self._ratio
        self._orientation = orientation_of(first) or UPRIGHT
        self.first = self.of(first)

    def of(self, frame: VideoFrame) -> Picture:
        """The picture that is stored in `frame`, as it was decoded."""
        changes, ticks = self._track.changes, frame_ticks(frame)
        orientation = orientation_of(frame) or changes.orientation_at(ticks) or self._orientation
        ratio = changes.pixel_ratio_at(ticks) if self._follows_codec else None
        return Picture(
            height=frame.height,
            width=frame.width,
            margins=usable_margins(self._margins, height=frame.height, width=frame.width, format=frame.format),
            pixel_ratio=ratio or self._ratio,
            orientation=orientation,
        )
