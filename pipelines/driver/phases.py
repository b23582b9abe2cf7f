"""What a run is at: tells whoever watches it of each phase and each receipt, and keeps how long each phase took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from framegate.pipelines.driver.tally import Tally
from framegate.schemas.run import Phase, Plan, Progress

Watch = Callable[[Progress], None]


class Phases:
    """The phases of one run, from the moment in which this is made. Other threads may read `latest`.

    `on_phase` is called as each phase begins, `on_progress` after each receipt.
    """

    def __init__(self, run_id: str, *, on_phase: Watch | None = None, on_progress: Watch | None = None) -> None:
        self._on_phase = [on_phase] if on_phase else []
        self._on_progress = [on_progress] if on_progress else []
        self._began = self._entered = time.monotonic()
        self._seconds: dict[Phase, float] = {}
        self.latest = Progress(run_id=run_id, phase=Phase.STARTING)
        self._tell(self._on_phase)

    def follow(self, on_phase: Watch) -> None:
        """Calls `on_phase` as well as each later phase begins."""
        self._on_phase.append(on_phase)

    def enter(self, phase: Phase, **known: Any) -> None:
        """The run is at `phase` from now on. `known`: values of Progress that are known from now on."""
        now = time.monotonic()
        before = self.latest.phase
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._entered
        self._entered = now
        self._tell(self._on_phase, phase=phase, **known)

    def begin_work(self, planned: Plan) -> None:
        """The plan is made; workers are started for what is left to do, if anything is."""
        self.enter(Phase.LOADING, config_id=planned.config_id, num_videos_planned=planned.videos.num_rows)

    def hear(self, tally: Tally) -> None:
        """A unit was committed, and `tally` has it."""
        done = {"num_videos_begun": tally.num_begun, "counts": tally.counts, "pace": tally.pace()}
        if self.latest.phase is Phase.LOADING:
            self.enter(Phase.WORKING, **done)
        self._tell(self._on_progress, **done)

    def seconds(self) -> dict[str, float]:
        """How long the run was in each phase until now, in the order in which it came to them."""
        here = self.latest.phase
        spent = {**self._seconds, here: self._seconds.get(here, 0.0) + time.monotonic() - self._entered}
        return {phase.value: round(seconds, 3) for phase, seconds in spent.items()}

    def seconds_left(self) -> float | None:
        """Of the work, from now on; None where there is none at the moment or where it cannot be told yet."""
        latest = self.latest
        if latest.phase is not Phase.WORKING or latest.pace is None:
            return None
        return round(latest.pace.seconds_left(time.monotonic() - self._began - latest.elapsed_seconds), 3)

    def _tell(self, watches: Sequence[Watch], **known: Any) -> None:
        self.latest = self.latest.at(elapsed_seconds=time.monotonic() - self._began, **known)
        for watch in watches:
            watch(self.latest)
