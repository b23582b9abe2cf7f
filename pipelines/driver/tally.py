"""What the driver remembers of a run: a few bytes for each planned video, however many rows it has.

Knows receipts as rows of columns, and nothing of where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from framegate.schemas.counts import Counts
from framegate.schemas.keys import id_number, id_numbers
from framegate.schemas.run import Progress


class Tally:
    """Counts receipts. 9 bytes for each planned video."""

    def __init__(self, video_ids: pa.ChunkedArray) -> None:
        self._videos = np.sort(id_numbers(video_ids))
        self._begun = np.zeros(len(self._videos), bool)
        self.num_begun = 0
        self.num_lost_races = 0
        self.counts = Counts()

    def add(self, receipt: Mapping[str, Any]) -> None:
        place = int(np.searchsorted(self._videos, np.uint64(id_number(receipt["video_id"]))))
        if not self._begun[place]:
            self._begun[place] = True
            self.num_begun += 1
        if receipt["created"]:
            self.counts = self.counts.plus(Counts.of_row(receipt))
        else:  # another run was first; its rows stay, and it counts them
            self.num_lost_races += 1

    def progress(self, *, elapsed_seconds: float) -> Progress:
        return Progress(
            num_videos_planned=len(self._videos),
            num_videos_begun=self.num_begun,
            counts=self.counts,
            elapsed_seconds=elapsed_seconds,
        )
