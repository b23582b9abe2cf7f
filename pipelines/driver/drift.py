"""Whether a run that ends is held against the nights before it, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from framegate.pipelines.driver.stopping import Stopping
from framegate.schemas.counts import Counts
from framegate.schemas.drift import NO_DRIFT, Drift
from framegate.schemas.errors import FramegateError, RunStopped
from framegate.schemas.run import Plan

FindDrift = Callable[[], Drift]


def look_for_drift(
    find: FindDrift | None,
    stopping: Stopping,
    planned: Plan,
    found: tuple[Mapping[str, Any], Counts, int] | None,
    *,
    is_sealed: bool,
) -> Drift:
    """What `find` tells. Not asked where it is None, nor where the run is not complete or has stored nothing new.

    found: what was counted of the run; None: there was no time left for it. Should it fail, or be stopped, the run's
    rows are sealed all the same: the note says so.
    """
    if find is None:
        return NO_DRIFT
    if found is None or not is_sealed or stopping.reason is not None or not _is_complete(planned, found[0]):
        return Drift(note="only complete nights are held against those before them, and this one is not")
    if not found[1].num_answers and not found[1].num_failures:
        return Drift(note="nothing new was answered")
    try:
        return stopping.call(find)
    except RunStopped as stopped:
        return Drift(note=f"drift was not looked for to the end: {stopped.stop.sentence}")
    except FramegateError as error:
        note = f"drift could not be looked for: {error}"
        logging.getLogger("framegate").warning("the run is complete all the same, and %s", note)
        return Drift(note=note)


def _is_complete(planned: Plan, videos: Mapping[str, Any]) -> bool:
    """Whether nothing that the input names was left, by --limit neither."""
    num_beyond = planned.num_videos - planned.num_skipped - planned.videos.num_rows - planned.num_elsewhere
    return videos["num_videos_left"] == 0 and num_beyond == 0
