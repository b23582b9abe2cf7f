"""A container's ticks and the video's seconds. Time 0 is when the first frame is shown. Knows no container."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from framegate.pipelines.decode.select import TICK_SECONDS

# The last frame stays on display at least this long: sound often lasts a little longer than the picture.
LAST_FRAME_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Clock:
    """`origin_ticks` is when the first frame is shown; `rate` is frames per second where it is known."""

    time_base: Fraction
    origin_ticks: int
    rate: float | None

    def seconds(self, ticks: int) -> float:
        return max(0.0, float((ticks - self.origin_ticks) * self.time_base))

    def limit_ticks(self, seconds: float) -> int:
        """The frame on display at `seconds` is the last one that starts at or before these ticks; never before 0."""
        # A millionth of a tick, so that 0.066 s + 1 ms reaches 67 ticks of 1 ms in floating point.
        ticks = math.floor((seconds + TICK_SECONDS) / float(self.time_base) + 1e-6)
        return self.origin_ticks + max(0, ticks)

    def end_seconds(self, last_ticks: int, duration_ticks: int) -> float:
        """When a last frame that starts at `last_ticks` goes off; its duration, where 0, is that of one frame."""
        shown_seconds = max(float(duration_ticks * self.time_base), 1 / self.rate if self.rate else 0.0)
        return self.seconds(last_ticks) + max(shown_seconds, LAST_FRAME_SECONDS)
