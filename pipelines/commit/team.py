"""The team: runs that are at work together, and which of them does a video, so that work is done once.

A run that joins another one (`run.second: join`) enters the lease beside it. A video belongs to one of the runs there
that are alive: the one whose name gives the highest number together with the video's id. So every run comes to the
same answer without asking the others, and where one joins or dies only videos of its own move. A run looks again now
and then while it decodes, and passes over what has come to be another one's.

Nothing that is stored rests on it. Two runs that know of each other at different times do some work twice, or pass over
the same video; what is left when a run has come to its end is looked at again (`driver.rounds`).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from framegate.pipelines.commit.lease import Member, read_states
from framegate.pipelines.commit.output import Output
from framegate.schemas.clock import now
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import id_number

AT_WORK: Final = ("starting", "running")
LOOK_SECONDS: Final = 15.0  # between two looks at the lease, or a heartbeat where that is shorter


@dataclass
class Team:
    """One run's view of who is at work, and does what. Picklable; a worker's copy looks for itself."""

    output: Output
    config_id: str
    me: Member
    look_seconds: float = LOOK_SECONDS
    _states: dict[Member, str] = field(default_factory=dict)
    _over: frozenset[Member] = frozenset()
    _look_at: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Finds out who is at work now, to whom all that is left is shared anew. Raises StorageError."""
        found = self._read_others()
        self._states = {one: state for one, state in found if state in AT_WORK}
        self._over = frozenset(one for one, state in found if state not in AT_WORK)

    def was_joined(self) -> bool:
        """Whether another run has entered that shares the work, whatever became of it. Raises StorageError."""
        return bool(self._states or self._over or self._read_others())

    def are_mine(self, ids: np.ndarray) -> np.ndarray:
        """Of video_ids as numbers: whether this run does them, as far as it knows.

        Videos of a run that has ended since the last `look` are not: it has done them. Those of a dead one are.
        """
        return owners(ids, [self.me, *(one for one, state in self._states.items() if state != "dead")]) == 0

    def is_mine_now(self, video_id: str) -> bool:
        """The same of one video, after another glance at the lease where the last one is too old."""
        if time.monotonic() - self._look_at >= self.look_seconds:
            self._look_at = time.monotonic()
            try:
                self._states.update((one, state) for one, state in self._read_others() if one not in self._over)
            except StorageError as error:  # what it knew is good enough: at worst some work is done twice
                logging.getLogger("framegate").warning("who else is at work could not be read: %s", error)
        return not self._states or bool(self.are_mine(np.array([id_number(video_id)], np.uint64))[0])

    def _read_others(self) -> list[tuple[Member, str]]:
        """Those in the lease that share the work, and the states of their runs."""
        found = [] if self.me.is_beside else read_states(self.output, self.config_id, now())
        return [(one, state) for one, state in found if one.run_id != self.me.run_id and not one.is_beside]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_look_at": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _look_at=time.monotonic())


def owners(ids: np.ndarray, members: Sequence[Member]) -> np.ndarray:
    """For each video_id the place in `members` of the one who does it; -1 where it is in no shard of any."""
    best, owner = np.zeros(len(ids), np.uint64), np.full(len(ids), -1)
    for place, member in enumerate(members):
        weights = _mixed(ids ^ _seed(member.run_id))
        wins = member.does(ids) & ((weights > best) | (owner < 0))
        best, owner = np.where(wins, weights, best), np.where(wins, place, owner)
    return owner


def _seed(run_id: str) -> np.uint64:
    return np.uint64(int(hashlib.sha256(run_id.encode()).hexdigest()[:16], 16))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """The finisher of splitmix64: every bit of the result hangs on every bit of the number."""
    mixed = numbers.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
