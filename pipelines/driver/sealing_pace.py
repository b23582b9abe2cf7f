"""How long sealing takes, learnt from seals: what a run keeps free of its time before a deadline.

    reserve = ending + SAFETY * (units that are not sealed * seconds per unit + bytes / BYTES_PER_SECOND)
    ending  = max(FIXED_SECONDS, ENDING_PER_START * seconds that the start of Ray took)

Seconds per unit are the most that one of the last runs here took, or this run itself; DEFAULT_SECONDS_PER_UNIT
before any did. `ending` is for ending the workers, for the record and for the end of the process: on a machine that
others keep busy these take longer, as the start of Ray did. The bytes are of files that a deepening
writes anew, which takes that long whatever the number of units: it learns nothing for runs, and nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

FIXED_SECONDS: Final = 15.0
ENDING_PER_START: Final = 2.0  # under a load of 16 to 23 on 2 cores the start took 16 s, and ending 20 s and more
SAFETY: Final = 2.0
DEFAULT_SECONDS_PER_UNIT: Final = 0.02  # many times what a local disk takes, for stores that answer slowly
BYTES_PER_SECOND: Final = 5 * 2**20  # of sealed files that are written anew; 6 MB of rows of 100 bytes were measured
MIN_UNITS: Final = 20  # fewer units take as long as starting to seal does, and say nothing of each
NUM_RUNS: Final = 5


class SealingPace:
    """What is known of how long sealing takes. Any thread may read `reserve_seconds`.

    num_units   committed and not sealed, as far as this run knows
    num_bytes   of sealed files that a deepening writes anew, at most; 0 of a run
    measured    seconds per unit of this run's own seals; None before one had enough units
    start_seconds   what the start of Ray took in this run; 0 before it has started
    """

    def __init__(self) -> None:
        self.num_units = self.num_bytes = 0
        self.measured: float | None = None
        self.start_seconds = 0.0
        self._earlier: float | None = None

    def learn_from(self, runs: Iterable[Mapping[str, Any]]) -> None:
        """`runs`: records of earlier runs of this output, the oldest first."""
        known = [float(run["seal_seconds_per_unit"]) for run in runs if run.get("seal_seconds_per_unit")]
        self._earlier = max(known[-NUM_RUNS:], default=None)

    def learn(self, num_units: int, seconds: float) -> None:
        """A seal of so many units took so long."""
        if num_units >= MIN_UNITS and not self.num_bytes:
            self.measured = max(seconds / num_units, self.measured or 0.0)

    def reserve_seconds(self) -> float:
        known = [pace for pace in (self.measured, self._earlier) if pace is not None]
        of_units = self.num_units * max(known, default=DEFAULT_SECONDS_PER_UNIT)
        ending = max(FIXED_SECONDS, ENDING_PER_START * self.start_seconds)
        return ending + SAFETY * (of_units + self.num_bytes / BYTES_PER_SECOND)
