"""Decoded frames drawn as they are shown, into arrays of the size that was asked for."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from framegate.pipelines.decode.readers.frame_filter import FrameFilter
from framegate.pipelines.decode.readers.picture import Picture
from framegate.pipelines.decode.readers.stream_summary import Margins


class Drawing:
    """Draws the frames of one video. `first` is the picture of its first frame: a field that is to be filled stands for
    that one's shape."""

    def __init__(self, first: Picture) -> None:
        self._first = first
        self._shape = first.display_size
        self._reformatter = VideoReformatter()
        self._crop: tuple[Margins, FrameFilter] | None = None

    def draw(self, frame: VideoFrame, picture: Picture, out_HWC: np.ndarray) -> bool:
        """Fills `out_HWC` with `frame`, which holds `picture`, perhaps stretched; whether there is black beside it.

        A picture of the first one's shape fills all of it. One of another shape keeps its own: it is put into the
        middle. Raises FFmpegError.
        """
        field_height, field_width, _ = out_HWC.shape
        height, width = field_height, field_width
        if picture != self._first:
            height, width = picture.fitted_into(field_height, field_width, shape=self._shape)
        is_smaller = (height, width) != (field_height, field_width)
        if is_smaller:
            out_HWC[:] = 0
        top, left = (field_height - height) // 2, (field_width - width) // 2
        stored_size = (width, height) if picture.orientation.is_sideways else (height, width)
        pixels = self._scaled(self._cut(frame, picture), *stored_size)
        out_HWC[top : top + height, left : left + width] = picture.orientation.apply(pixels)
        return is_smaller

    def _cut(self, frame: VideoFrame, picture: Picture) -> VideoFrame:
        left, right, top, bottom = margins = picture.margins
        if not any(margins):
            return frame
        if (frame.height, frame.width) != (picture.height, picture.width):
            frame = frame.reformat(width=picture.width, height=picture.height)
        if self._crop is None or self._crop[0] != margins:
            box = f"w=iw-{left + right}:h=ih-{top + bottom}:x={left}:y={top}"
            self._crop = margins, FrameFilter((("crop", box),))
        return self._crop[1].apply(frame)

    def _scaled(self, frame: VideoFrame, height: int, width: int) -> np.ndarray:
        """By one conversion, so that no picture in RGB exists that is larger than what was asked for."""
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1
        )
        plane = rgb.planes[0]
        rows = np.asarray(memoryview(plane)).reshape(height, plane.line_size)
        return rows[:, : width * 3].reshape(height, width, 3)
