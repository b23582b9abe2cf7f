"""Which nights are compared: this one, and complete ones of the same job and config_id before it.

A night that was stopped is in no comparison. It has done its largest videos, or the first of its list, and these are
not like all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from framegate.pipelines.commit.runs import deepens
from framegate.pipelines.results.last_night import Night, list_nights
from framegate.pipelines.results.last_run import began_at

WINDOWS: Final = (1, 3)
"""How many nights `now` is: a large shift shows in one, and a small one, or one at a camera with few videos, in three
together. Each is a comparison of its own."""

_Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """nights: this one first, then those before it, the last one first. num_before: so many at the most are one side of
    a comparison. look: the number of this comparison, from 1."""

    nights: tuple[Night, ...]
    num_before: int
    look: int

    def places(self, window: int) -> tuple[range, range]:
        """The places of the nights that are `now`, and of those before them. The second is empty where there are too
        few."""
        return range(window), range(window, min(len(self.nights), window + self.num_before))

    @property
    def windows(self) -> tuple[int, ...]:
        """Those that have a night before them."""
        return tuple(window for window in WINDOWS if len(self.places(window)[1]))

    @property
    def runs_by_place(self) -> list[tuple[int, str]]:
        return [(place, run["run_id"]) for place, night in enumerate(self.nights) for run in night.runs]

    def began(self, place: int) -> datetime | None:
        """When the first run of a night began."""
        return min((time for time in map(began_at, self.nights[place].runs) if time), default=None)


def find_compared(runs: Iterable[_Run], run_id: str, *, num_before: int) -> Compared | None:
    """`run_id` is of a run that has come to its end, whatever its record says. None where no night is before it."""
    known = [run for run in runs if not deepens(run)]
    mine = next(run for run in known if run["run_id"] == run_id)
    ours = [run for run in known if run["run_id"] != run_id and _is_like(run, mine)]
    nights = list_nights([*(run for run in ours if _counts(run)), mine])
    ordered = [*islice(_from(nights, run_id), 1 + num_before + max(WINDOWS) - 1)]
    if len(ordered) < 2:
        return None
    return Compared(nights=tuple(ordered), num_before=num_before, look=1 + _last_look(ours))


def _from(nights: Iterable[Night], run_id: str) -> Iterable[Night]:
    """Later ones are left out: of a run that began while this one worked, and was over before."""
    is_here = False
    for night in nights:
        is_here = is_here or any(run["run_id"] == run_id for run in night.runs)
        if is_here:
            yield night


def _is_like(run: _Run, mine: _Run) -> bool:
    return run.get("config_id") == mine.get("config_id") and run.get("job") == mine.get("job")


def _counts(run: _Run) -> bool:
    """Whether it is complete, and came by a video."""
    counts = run.get("counts") or {}
    return run["state"] == "complete" and bool(counts.get("num_answers") or counts.get("num_failures"))


def _last_look(runs: Sequence[_Run]) -> int:
    return max((run.get("drift_look") or 0 for run in runs), default=0)
