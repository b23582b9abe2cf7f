"""What FFmpeg's summary of a container tells of a stream, and PyAV does not.

PyAV 18 shows a stream's display matrix on decoded frames alone, and its crop nowhere. The summary has the whole crop,
and of the matrix the angle: as much as decord 0.6 looks at.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

_ANGLE = re.compile(r"^ {6}Display Matrix: rotation of (-?[\d.]+) degrees", re.MULTILINE)
_CROP = re.compile(r"^ {6}Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)


class Margins(NamedTuple):
    """Pixels of the stored picture that are not shown, at each side."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


NO_MARGINS = Margins()


class StreamSummary(NamedTuple):
    """`margins` are those of the container: `clap` in ISO-BMFF, PixelCrop in Matroska. FFmpeg leaves out those of a
    `clap` that is larger than the picture or no number. `degrees` is the turn to the left by the container's display
    matrix, whether it mirrors or not; None where it has none or is of zeros.
    """

    margins: Margins = NO_MARGINS
    degrees: float | None = None


def read_summary(container: InputContainer, stream: VideoStream) -> StreamSummary:
    """The summary of one stream of an open container; reads and decodes nothing."""
    av.logging.set_level(av.logging.INFO)
    try:
        text = container.dumps_format()  # pyright: ignore[reportAttributeAccessIssue] - missing in the stubs
    finally:
        av.logging.set_level(None)
    _, _, after = text.partition(f"\n  Stream #0:{stream.index}")
    own = after.partition("\n  Stream #")[0]
    angle, crop = _ANGLE.search(own), _CROP.search(own)
    return StreamSummary(
        margins=Margins(*(int(number) for number in crop.groups())) if crop else NO_MARGINS,
        degrees=float(angle.group(1)) if angle else None,
    )
