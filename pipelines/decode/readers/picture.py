"""The shape of a picture: how large it is stored, which part of it is shown, how wide its pixels are, how it is turned.

All arithmetic between a stored picture and the one that a player shows; no pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from av.video.format import VideoFormat

from framegate.pipelines.decode.readers.orientation import UPRIGHT, Orientation
from framegate.pipelines.decode.readers.stream_summary import NO_MARGINS, Margins


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One stored picture, and how it is shown: cut to what lies inside `margins`, drawn out to square pixels, mirrored
    and turned.

    height, width  as stored, in pixels; what the coded video itself cuts off is not counted
    margins        pixels of it that are not shown
    pixel_ratio    width of a pixel over its height
    """

    height: int
    width: int
    margins: Margins = NO_MARGINS
    pixel_ratio: Fraction = Fraction(1)
    orientation: Orientation = UPRIGHT

    @property
    def display_size(self) -> tuple[int, int]:
        """(height, width) as a player shows it, in square pixels: the side that pixels are longer at is drawn out."""
        left, right, top, bottom = self.margins
        height, width = self.height - top - bottom, self.width - left - right
        if self.pixel_ratio > 1:
            width = round(width * self.pixel_ratio)
        else:
            height = max(1, round(height / self.pixel_ratio))
        return (width, height) if self.orientation.is_sideways else (height, width)

    def fitted_into(self, height: int, width: int, *, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of this picture in a field of `height` x `width` that stands for a picture of `shape`.

        All of the field where it has the same shape; else as large as it finds room, in its own shape.
        """
        return fitted_into(height, width, shape=shape, own=self.display_size)


def fitted_into(height: int, width: int, *, shape: tuple[int, int], own: tuple[int, int]) -> tuple[int, int]:
    """As `Picture.fitted_into`, for a picture that is displayed in the size `own`, (height, width)."""
    scale = min(Fraction(shape[0], own[0]), Fraction(shape[1], own[1]))
    return (
        max(1, round(height * own[0] * scale / shape[0])),
        max(1, round(width * own[1] * scale / shape[1])),
    )


def usable_margins(margins: Margins, *, height: int, width: int, format: VideoFormat | None) -> Margins:
    """Those margins of a picture that can be cut off: moved out and up to where a colour sample begins, as FFmpeg does.

    None at all where they leave nothing of the picture.
    """
    step_x = 64 // format.chroma_width(64) if format else 1
    step_y = 64 // format.chroma_height(64) if format else 1
    shown_width = (width - margins.left - margins.right) // step_x * step_x
    shown_height = (height - margins.top - margins.bottom) // step_y * step_y
    if shown_width <= 0 or shown_height <= 0:
        return NO_MARGINS
    left, top = margins.left // step_x * step_x, margins.top // step_y * step_y
    return Margins(left, width - shown_width - left, top, height - shown_height - top)
