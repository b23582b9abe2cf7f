"""The rounds of a run: one, unless it shares its work with others and one of those has left something.

Each round does what is this run's of what is left of its plan. A run that works alone has one. Where another one was in
the lease, what is left is looked at again at the end: videos of a run that died meanwhile, and such as both have passed
over, are done in another round; and what Ray dropped where a worker died while another run joined, as a task that is
run again may then pass over other videos than before. Videos of one that is at work stay its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.team import Team
from framegate.pipelines.driver.outcome import hashes_of
from framegate.pipelines.driver.run import Run
from framegate.pipelines.plan.remaining import remaining_of_run
from framegate.schemas.keys import id_numbers
from framegate.schemas.run import Plan

MAX_ROUNDS: Final = 4  # what no round has done is left, and counted


def find_rounds(run: Run, planned: Plan, team: Team) -> Iterator[pa.Table]:
    """The videos of each round, in PLANNED. The next one is found when the one before is over. Raises StorageError."""
    ids = id_numbers(planned.videos.column("video_id"))
    yield planned.videos.filter(pa.array(team.are_mine(ids)))
    for _ in range(MAX_ROUNDS - 1):
        if run.stopping.reason is not None or not team.was_joined():
            return
        team.look()
        left = remaining_of_run(run.output, planned.config_id, planned.videos, hashes_of(planned)).left_ids
        mine = np.isin(ids, left[team.are_mine(left)])
        if not mine.any():
            return
        yield planned.videos.filter(pa.array(mine))
