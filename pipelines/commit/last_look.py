"""When a run last looked at what videos there are."""

from __future__ import annotations

from datetime import datetime

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import deepens, read_runs


def last_look(output: Output, *, job: str | None = None) -> datetime | None:
    """When the newest run began that has found its videos: of one job, by its name, or of any. None where none has.

    Raises StorageError.
    """
    found = (run for run in read_runs(output).values() if not deepens(run))
    runs = [run for run in found if run.get("num_videos_planned") is not None]
    times = [str(run["started_at"]) for run in runs if job is None or run.get("job") == job]
    return max(map(datetime.fromisoformat, times), default=None)
