"""What the driver remembers of a run: some bytes for each planned video, however many rows it has."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.forecast import Forecast, KnownRows
from framegate.pipelines.plan.parts import deepens
from framegate.schemas.counts import Counts
from framegate.schemas.keys import id_number, id_numbers
from framegate.schemas.run import Pace


class Tally:
    """Counts receipts, and forecasts what is left. 41 bytes for each planned video."""

    def __init__(
        self, videos: pa.Table, *, clips_by_size: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`videos` in PLANNED. `clips_by_size` and `clock` are the forecast's."""
        numbers = id_numbers(videos.column("video_id"))
        self._order = np.argsort(numbers)
        self._videos = numbers[self._order]
        self._begun = np.zeros(len(self._videos), bool)
        self._forecast = (
            KnownRows(videos, clock=clock)
            if deepens(videos)
            else Forecast(videos, clips_by_size=clips_by_size, clock=clock)
        )
        self.num_begun = 0
        self.num_lost_races = 0
        self.counts = Counts()

    def add(self, receipt: Receipt) -> None:
        video = int(np.searchsorted(self._videos, np.uint64(id_number(receipt.video_id))))
        if not self._begun[video]:
            self._begun[video] = True
            self.num_begun += 1
        self._forecast.add(int(self._order[video]), receipt)
        if receipt.created:
            self.counts = self.counts.plus(receipt)
        else:  # another run was first; its rows stay, and it counts them
            self.num_lost_races += 1

    def expect(self, videos: pa.Table) -> None:
        """These of the planned videos are done by this run, and the others elsewhere."""
        is_expected = np.zeros(len(self._videos), bool)
        is_expected[self._order] = np.isin(self._videos, id_numbers(videos.column("video_id")))
        self._forecast.expect(is_expected)

    def pace(self) -> Pace | None:
        """How much is left and how fast it goes; None before that can be told."""
        return self._forecast.pace()
