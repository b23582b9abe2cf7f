"""Ends a run whose model does not answer in the form that is asked for, before it has spent the night on it."""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Final

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.config import FailuresConfig
from framegate.schemas.run import StopCode

NUM_SAMPLES: Final = 3


class UnparsedWatch:
    """A watcher of the last `stop_unparsed_rows` answers, in whole units."""

    code: ClassVar[StopCode] = "unparsed"

    def __init__(self, config: FailuresConfig) -> None:
        self._max_share, self._num_rows = config.stop_unparsed_share, config.stop_unparsed_rows
        self._window: deque[tuple[int, int]] = deque()
        self._num_answers = self._num_unparsed = 0
        self._samples: deque[str] = deque(maxlen=NUM_SAMPLES)

    def feed(self, receipt: Receipt) -> str | None:
        """Takes the receipt of one unit. Returns one sentence where the run should end, else None.

        The run ends as soon as more answers could not be read than the share of a full window allows. So a short run of
        them at its start is enough, and a run of fewer answers than that is never stopped.
        """
        self._add(receipt)
        num_window = max(self._num_answers, self._num_rows)
        if self._num_unparsed <= self._max_share * num_window:
            return None
        wrote = "; ".join(self._samples)
        return (
            f"{self._num_unparsed:,} of the last {self._num_answers:,} answers could not be read, which is more than"
            f" failures.stop_unparsed_share {self._max_share:g} of failures.stop_unparsed_rows {self._num_rows:,};"
            f" the model wrote: {wrote}"
        )

    def _add(self, receipt: Receipt) -> None:
        num_unparsed = receipt.num_unparsed or 0
        self._window.append((receipt.num_answers, num_unparsed))
        self._num_answers += receipt.num_answers
        self._num_unparsed += num_unparsed
        self._samples.extend(receipt.unparsed_samples)
        while self._num_answers - self._window[0][0] >= self._num_rows:
            num_answers, num_unparsed = self._window.popleft()
            self._num_answers -= num_answers
            self._num_unparsed -= num_unparsed
