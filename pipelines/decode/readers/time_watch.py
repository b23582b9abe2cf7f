"""Whether the time stamps of a file begin again, told while its packets are read one after another.

For files too large to be looked at everywhere when they are opened (`time_signs`).
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

# A stamp counts as fallen back that lies so far before the one LOOK_BACK packets earlier. Reordering does not reach so
# far, and a recording with reception errors has a few wild stamps, not MIN_FALLEN behind one another.
BACK_SECONDS = 1
LOOK_BACK = 32
MIN_FALLEN = 16


class TimeWatch:
    """Takes decode times in ticks of `time_base`, from one seek to the next."""

    def __init__(self, time_base: Fraction) -> None:
        self._back_ticks = BACK_SECONDS / time_base
        self._recent: deque[int] = deque(maxlen=LOOK_BACK)
        self._num_fallen = 0

    def forget(self) -> None:
        """The next packet lies somewhere else."""
        self._recent.clear()
        self._num_fallen = 0

    def begins_again(self, dts: int | None) -> bool:
        """Takes the stamp of the next packet. Whether the stamps begin again; then also for packets to come."""
        if self._num_fallen == MIN_FALLEN:
            return True
        if dts is None:
            return False
        has_fallen = len(self._recent) == LOOK_BACK and dts + self._back_ticks < self._recent[0]
        self._num_fallen = self._num_fallen + 1 if has_fallen else 0
        self._recent.append(dts)
        return self._num_fallen == MIN_FALLEN
