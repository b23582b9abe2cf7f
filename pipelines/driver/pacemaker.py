"""Thinking at once, at a pace that leaves a first answer to every row and keeps to the budget.

Of what is asked now the pacemaker says below which confidence rows may think; the others are deferred.
It reckons from what answers took so far:

    to come    rows that are expected, less those that are done
    spare      what is left of the budget, or of the time at the speed so far, less a first answer to each row to come
    share      spare / (rows to come x what a thought takes on average)

So large a share of the rows may think, the least sure ones: below the confidence that so large a share of the rows had
so far. An even spending is the aim, and deferred rows are taken up at the end with whatever is left.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from framegate.pipelines.driver.ledger import LocalLedger
from framegate.schemas.spending import Admission, Grant, Refusal, RowCost

MIN_SEEN: Final = 20
"""Answers, before which a pace is not known, and rows think as the gate has it."""

MAX_KEPT: Final = 4096
"""Confidences that are kept, a uniform draw of all."""

MIN_TO_COME: Final = 0.02
"""Of the rows that were seen: so many are always taken to be still to come, as an estimate may be too low."""


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """
    num_rows      expected of the run
    over_at       of `clock`, when the run has to be over; None: it has no deadline
    """

    num_rows: int
    over_at: float | None = None


class Pacemaker:
    """A ledger that lets every unit in as long as first answers are paid for."""

    def __init__(
        self, horizon: Horizon, ledger: LocalLedger | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`ledger`: with the budget; None: the deadline alone bounds it. `clock` is that of `over_at`."""
        self._horizon, self._ledger, self._clock = horizon, ledger, clock
        self._lock = threading.Lock()
        self._random = random.Random(0)
        self._began_at: float | None = None
        self._confidences: list[float] = []
        self._num_seen = self._num_thought = self._num_tokens = 0
        self._first_seconds = self._think_seconds = 0.0

    def reserve(self, unit: str, num_rows: int) -> Admission:
        with self._lock:
            if self._began_at is None:
                self._began_at = self._clock()
        if self._ledger is None:
            return Grant(is_paced=True)
        if self._ledger.limit.thinking_tokens is not None:
            return Grant(thinks=self._ledger.reserve_if_it_fits(unit, num_rows), is_paced=True)
        said = self._ledger.reserve(unit, num_rows)
        return Grant(is_paced=True) if isinstance(said, Grant) else said

    def pace(self) -> float | None:
        with self._lock:
            return self._bound()

    def settle(self, unit: str, rows: Sequence[RowCost]) -> None:
        if self._ledger is not None:
            self._ledger.settle(unit, rows)
        with self._lock:
            for row in rows:
                self._see(row)

    def refusal(self) -> Refusal | None:
        return None if self._ledger is None else self._ledger.refusal()

    def _see(self, row: RowCost) -> None:
        self._num_seen += 1
        self._first_seconds += row.first_seconds
        if row.thinking_tokens:
            self._num_thought += 1
            self._think_seconds += row.think_seconds
            self._num_tokens += row.thinking_tokens
        confidence = -1.0 if row.confidence is None else row.confidence
        if len(self._confidences) < MAX_KEPT:
            self._confidences.append(confidence)
        elif (place := self._random.randrange(self._num_seen)) < MAX_KEPT:
            self._confidences[place] = confidence

    def _bound(self) -> float | None:
        if self._num_seen < MIN_SEEN or not self._num_thought:
            return None
        share = min(self._shares(), default=1.0)
        if share >= 1:
            return None
        if share <= 0:
            return 0.0
        # Above every confidence of the share: those that are equal to its last one think, too.
        return float(np.nextafter(np.quantile(self._confidences, share, method="inverted_cdf"), 2.0))

    def _shares(self) -> list[float]:
        """By each bound, what share of the rows to come may think."""
        to_come = max(self._horizon.num_rows - self._num_seen, MIN_TO_COME * self._num_seen, 1.0)
        mean_first = self._first_seconds / self._num_seen
        mean_think = self._think_seconds / self._num_thought
        shares = []
        limit = None if self._ledger is None else self._ledger.limit
        if limit is not None and limit.thinking_tokens is not None:
            mean_tokens = self._num_tokens / self._num_thought
            shares.append((limit.thinking_tokens - self._num_tokens) / (to_come * mean_tokens))
        if limit is not None and limit.engine_seconds is not None:
            spent = self._first_seconds + self._think_seconds
            shares.append(_share(limit.engine_seconds - spent - to_come * mean_first, to_come * mean_think))
        if self._horizon.over_at is not None and self._began_at is not None:
            now = self._clock()
            speed = (self._first_seconds + self._think_seconds) / max(now - self._began_at, 1e-3)
            spare = speed * max(0.0, self._horizon.over_at - now) - to_come * mean_first
            shares.append(_share(spare, to_come * mean_think))
        return shares


def _share(spare_seconds: float, think_seconds: float) -> float:
    """An engine that does not tell how long it takes is bounded by nothing."""
    return spare_seconds / think_seconds if think_seconds > 0 else 1.0
