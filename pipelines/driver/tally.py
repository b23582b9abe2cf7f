"""What the driver remembers of a run: a few bytes for each planned video, however many rows it has."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.counts import Counts
from framegate.schemas.keys import id_number, id_numbers


class Tally:
    """Counts receipts. 9 bytes for each planned video."""

    def __init__(self, video_ids: pa.ChunkedArray) -> None:
        self._videos = np.sort(id_numbers(video_ids))
        self._begun = np.zeros(len(self._videos), bool)
        self.num_begun = 0
        self.num_lost_races = 0
        self.counts = Counts()

    def add(self, receipt: Receipt) -> None:
        video = int(np.searchsorted(self._videos, np.uint64(id_number(receipt.video_id))))
        if not self._begun[video]:
            self._begun[video] = True
            self.num_begun += 1
        if receipt.created:
            self.counts = self.counts.plus(receipt)
        else:  # another run was first; its rows stay, and it counts them
            self.num_lost_races += 1
