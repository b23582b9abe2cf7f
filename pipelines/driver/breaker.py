"""The circuit breaker: ends a run in which too many units fail for one reason, before it has spent the night on it."""

from __future__ import annotations

from collections import Counter, deque
from typing import ClassVar

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.config import FailuresConfig
from framegate.schemas.retries import STOPS_RUN
from framegate.schemas.run import StopCode


class Breaker:
    """A watcher of the last `stop_window` units."""

    code: ClassVar[StopCode] = "breaker"

    def __init__(self, config: FailuresConfig) -> None:
        self._config = config
        self._window: deque[str | None] = deque(maxlen=config.stop_window)

    def feed(self, receipt: Receipt) -> str | None:
        """Takes the receipt of one unit. Returns one sentence where the run should end, else None.

        The run ends as soon as more units failed for one reason than the share of a full window allows. So a short run
        of failures at its start is enough, and a run of fewer units than that is never stopped.
        """
        reason = receipt.failure_reason
        self._window.append(reason if reason in STOPS_RUN else None)
        reasons = Counter(reason for reason in self._window if reason is not None)
        if not reasons:
            return None
        [(reason, count)] = reasons.most_common(1)
        if count <= self._config.stop_share * self._config.stop_window:
            return None
        return (
            f"{count:,} of the last {len(self._window):,} units failed for one reason, {reason}, which is more than"
            f" failures.stop_share {self._config.stop_share:g} of failures.stop_window {self._config.stop_window:,}"
        )
