"""How a stored picture is turned and mirrored before it is shown: one of eight ways, told by a display matrix.

A display matrix is nine whole numbers. The stored point (p, q) is shown at (a p + c q, b p + d q), where a, b are
numbers 0 and 1 and c, d numbers 3 and 4, in units of 1/65536. x grows to the right and y downwards; the rest of the
matrix moves the picture and changes nothing of it. A container has one for a whole stream (ISO-BMFF: of the track times
that of the movie; Matroska: from its projection), an H.264 or HEVC stream may have others in its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from framegate.pipelines.decode.readers.frame_filter import FrameFilter

# Two of the eight count as equally near to a matrix when they differ by less: 1/65536 is its unit, and the cosine and
# the sine of 45 degrees are rounded to it.
_TIE = 1e-3
# PyAV 18 knows the kinds of side data up to 27; FFmpeg 8 has those up to 31, FFmpeg 9 a few more.
_WITHOUT_UNKNOWN_KINDS = tuple(("sidedata", f"mode=delete:type={kind}") for kind in range(28, 40))


class Orientation(NamedTuple):
    """A picture is shown mirrored from left to right, where that is so, and then turned left `num_turns` times by 90
    degrees (0 to 3)."""

    num_turns: int = 0
    is_mirrored: bool = False

    @property
    def is_sideways(self) -> bool:
        """Whether the height of the stored picture is the width of the one that is shown."""
        return self.num_turns % 2 == 1

    @property
    def degrees(self) -> int:
        """By how much the picture is turned to the right: 0, 90, 180 or 270. That it is mirrored is not told."""
        return -90 * self.num_turns % 360

    def after(self, first: Orientation) -> Orientation:
        """The one that shows what `first` followed by this one shows."""
        turns = -first.num_turns if self.is_mirrored else first.num_turns
        return Orientation((self.num_turns + turns) % 4, self.is_mirrored != first.is_mirrored)

    def inverse(self) -> Orientation:
        """The one that brings back what this one was applied to."""
        return self if self.is_mirrored else Orientation(-self.num_turns % 4)

    def apply(self, picture_HWC: np.ndarray) -> np.ndarray:
        """A view of the picture as it is shown."""
        return np.rot90(picture_HWC[:, ::-1] if self.is_mirrored else picture_HWC, self.num_turns)


UPRIGHT = Orientation()
# (a, b, c, d) of each. Where several are as near to a matrix, the first of them counts: the one that does least.
_MATRICES: tuple[tuple[Orientation, tuple[int, int, int, int]], ...] = (
    (UPRIGHT, (1, 0, 0, 1)),
    (Orientation(3), (0, 1, -1, 0)),
    (Orientation(1), (0, -1, 1, 0)),
    (Orientation(2), (-1, 0, 0, -1)),
    (Orientation(0, True), (-1, 0, 0, 1)),
    (Orientation(2, True), (1, 0, 0, -1)),
    (Orientation(1, True), (0, 1, 1, 0)),
    (Orientation(3, True), (0, -1, -1, 0)),
)


def from_matrix(matrix: Sequence[int]) -> Orientation:
    """The orientation that is nearest to a display matrix; as stored where it is of zeros, or as near to that.

    So a turn by 30 degrees is none, one by 60 is a quarter turn, and one by 45 is none.
    """
    a, b, c, d = (float(matrix[number]) for number in (0, 1, 3, 4))
    size = max(abs(value) for value in (a, b, c, d))
    if size == 0:
        return UPRIGHT
    nearest, nearest_score = UPRIGHT, -np.inf
    for orientation, (e, f, g, h) in _MATRICES:
        score = (a * e + b * f + c * g + d * h) / size
        if score > nearest_score + _TIE:
            nearest, nearest_score = orientation, score
    return nearest


def orientation_of(frame: VideoFrame) -> Orientation | None:
    """What the display matrix of a decoded frame says, None where it has none.

    Every frame has that of its container. One of the coded video alone is on the frames that it came with; where there
    are both, the container's comes first and counts.
    """
    for item in _side_data(frame):
        if item.type is Type.DISPLAYMATRIX:
            return from_matrix(np.frombuffer(item, dtype=np.int32, count=9).tolist())
    return None


def _side_data(frame: VideoFrame) -> list[Any]:  # of SideData, which the stubs have neither as items nor as buffers
    try:
        return list(frame.side_data)
    except ValueError:  # PyAV 18 raises it for a kind that it does not know, such as the Exif of a JPEG picture
        return list(FrameFilter(_WITHOUT_UNKNOWN_KINDS).apply(frame).side_data)
