"""One running time out of time stamps that begin again or jump: which offset each packet's stamps take.

Parts of a recording that were put behind one another, and a recorder that was started again, leave stamps that fall
back or leap. The rule is that of FFmpeg's command line, on the decode times of the pictures:

    a stamp falls back by more than 0.1 s           the packet follows at once on the one before it
    it lies more than `max_gap_seconds` away        the same
    anything else                                   the stamp counts, also a gap: the picture before it stays on display
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction

BACK_SECONDS = Fraction(1, 10)
# FFmpeg's for streams whose stamps may jump, and for other containers.
MAX_GAP_SECONDS, MAX_GAP_SECONDS_ELSEWHERE = 10, 30 * 3600
MAY_JUMP = frozenset({"mpeg_ts", "mpeg_ps", "ogg"})


class RunningTime:
    """Offsets in ticks of `time_base`, learnt packet by packet in the order of the file.

    `step_ticks` is how long a packet lasts that does not say so. `jumps` are (number of the packet, offset from there
    on), the first one (0, 0); `is_needed` where there are more.
    """

    def __init__(self, time_base: Fraction, *, container: str, step_ticks: int) -> None:
        max_gap = MAX_GAP_SECONDS if container in MAY_JUMP else MAX_GAP_SECONDS_ELSEWHERE
        self._max_gap_ticks, self._back_ticks = max_gap / time_base, BACK_SECONDS / time_base
        self._step_ticks = step_ticks
        self._numbers, self._offsets = [0], [0]
        self._num_packets = 0
        self._last: int | None = None  # decode time of the packet before, in running time
        self._next = 0  # that of the packet that follows it, if nothing lies between

    @property
    def is_needed(self) -> bool:
        return len(self._offsets) > 1

    @property
    def num_packets(self) -> int:
        return self._num_packets

    def add(self, dts: int | None, duration: int | None) -> int:
        """Takes the next packet of the file, and gives its offset."""
        if dts is not None:
            running = dts + self._offsets[-1]
            if self._last is not None and self._jumps(running):
                self._numbers.append(self._num_packets)
                self._offsets.append(self._next - dts)
                running = self._next
            self._last, self._next = running, running + (duration or self._step_ticks)
        self._num_packets += 1
        return self._offsets[-1]

    def offset(self, number: int) -> int:
        """That of the packet `number`, from 0, of those that were added; a later one has that of the last."""
        return self._offsets[bisect_right(self._numbers, number) - 1]

    def _jumps(self, running: int) -> bool:
        assert self._last is not None
        return abs(running - self._next) > self._max_gap_ticks or running + self._back_ticks < self._last
