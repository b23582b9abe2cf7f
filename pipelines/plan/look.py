"""A look at what videos there are, and what it says that the log of videos does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.last_look import last_look
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import VideoLog
from framegate.pipelines.commit.video_rows import join_rows
from framegate.pipelines.plan.absent import are_absent, are_unreadable
from framegate.pipelines.plan.video_changes import Looked, find_changes
from framegate.pipelines.plan.video_inputs import corrected_inputs, with_start_times
from framegate.pipelines.source.find import Found, name_source
from framegate.schemas.job import Job
from framegate.schemas.start_time import WallClock


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the input names, at one time. Row n of `is_absent` and `is_unreadable` is about row n of `found.videos`:
    storage does not have it, or does not let it be looked at."""

    job: Job
    found: Found
    is_absent: np.ndarray
    is_unreadable: np.ndarray
    time: datetime

    @staticmethod
    def of(job: Job, found: Found, time: datetime) -> Look:
        return Look(
            job=job,
            found=found,
            is_absent=are_absent(found.videos),
            is_unreadable=are_unreadable(found.videos),
            time=time,
        )

    def changes(self, output: Output, log: VideoLog, *, with_texts: bool = False) -> pa.Table:
        """Rows for the log (`commit.video_rows`): videos whose state is another one than there, and those of which the
        input says something else. `with_texts`: side files of shards count as well. Raises StorageError."""
        videos, config = self.found.videos, self.job.config.input
        looked = Looked(
            source=name_source(config),
            is_listing=self.found.is_shown,
            unreadable=frozenset(videos.column("video_uri").filter(pa.array(self.is_unreadable)).to_pylist()),
            now=self.time,
            last=cache(lambda: last_look(output, job=self.job.name) if log.is_begun else None),
        )
        readable = videos.filter(pa.array(~self.is_unreadable))
        is_absent = self.is_absent[~self.is_unreadable]
        changes = find_changes(readable, is_absent, log, looked)
        there = readable.filter(pa.array(~is_absent))
        corrected = corrected_inputs(there, log, besides=changes, with_texts=with_texts)
        clock = WallClock(config.starts, config.time_zone)
        return with_start_times(join_rows([changes, corrected]), clock, before=self.time)
