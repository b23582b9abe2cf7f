"""Converts a container's ticks to seconds of the video and back.

Second 0 is the file's zero, as a player's clock has it: when the first of its pictures and sounds begins. Where sound
begins 3 s before the first picture, that one is shown at second 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

# Frame times are rounded to the container's ticks (Matroska and FLV: 1 ms); the moments asked for are not. A frame
# whose true time is 66.667 ms stands at 67 ms and must still count as shown at 66.667 ms.
TICK_SECONDS = 1e-3
# The last frame stays on display at least this long: sound often lasts a little longer than the picture.
LAST_FRAME_SECONDS = 1.0


# FFmpeg tells when a file begins in whole microseconds.
MICROSECOND = Fraction(1, 1_000_000)


def file_zero(start_microseconds: int | None, first_ticks: int, time_base: Fraction) -> int:
    """The tick of the file's zero: when its first stream begins, by the container; never after the first frame."""
    if start_microseconds is None:
        return first_ticks
    start = start_microseconds * MICROSECOND
    if first_ticks * time_base - start <= MICROSECOND:  # the same moment, but for rounding
        return first_ticks
    return round(start / time_base)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """`origin_ticks` is the file's zero; `rate` is frames per second, None where unknown."""

    time_base: Fraction
    origin_ticks: int
    rate: float | None

    def seconds(self, ticks: int) -> float:
        return max(0.0, float((ticks - self.origin_ticks) * self.time_base))

    def limit_ticks(self, seconds: float) -> int:
        """The tick L such that the last frame starting at or before L is on display at `seconds`. Never before 0."""
        # A millionth of a tick, so that 0.066 s + 1 ms reaches 67 ticks of 1 ms in floating point.
        ticks = math.floor((seconds + TICK_SECONDS) / float(self.time_base) + 1e-6)
        return self.origin_ticks + max(0, ticks)

    def end_seconds(self, last_ticks: int, duration_ticks: int) -> float:
        """When the last frame, which starts at `last_ticks`, leaves the display. Duration 0 means: not known."""
        shown_seconds = max(float(duration_ticks * self.time_base), 1 / self.rate if self.rate else 0.0)
        return self.seconds(last_ticks) + max(shown_seconds, LAST_FRAME_SECONDS)
