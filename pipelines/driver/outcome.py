"""What came of a run, read from storage and not from the driver's memory: what was lost on the way shows here."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow.compute as pc

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.plan.remaining import plan_videos
from framegate.pipelines.plan.stored import read_done
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.keys import id_numbers
from framegate.schemas.run import Plan, RunSummary
from framegate.schemas.tables import FOUND


def count_videos(planned: Plan, output: Output) -> dict[str, int]:
    """How many planned videos were answered, failed, skipped and left: the names of RunSummary."""
    done = read_done(output, planned.config_id)
    after = plan_videos(
        planned.videos.select(FOUND.names),
        planned.questions,
        done.answered,
        done.failed,
        undecoded=done.undecoded,
        now=datetime.min.replace(tzinfo=UTC),  # what failed in this run is no work that this run left
        max_attempts=1,
        erased=read_tombstones(output),
    )
    given_up = done.failed.filter(pc.field("question").is_null()).column("video")
    left = id_numbers(after.table.column("video_id"))
    failed = np.setdiff1d(np.intersect1d(id_numbers(planned.videos.column("video_id")), given_up), left)
    num_planned = planned.videos.num_rows
    return {
        "num_videos_answered": num_planned - len(left) - len(failed) - after.num_erased,
        "num_videos_failed": len(failed),
        "num_videos_skipped": planned.num_skipped + after.num_erased,
        "num_videos_left": len(left),
    }


def stored_counts(output: Output, config_id: str, run_id: str, seen: Counts) -> Counts:
    """What seals have stored of this run. Seconds are of the receipts that were seen, as no table has them by run."""
    sealed = Counts()
    for record in SealLog(output, config_id).read_records():
        sealed = sealed.plus(record.runs.get(run_id, Counts()))
    return replace(seen, **{name: getattr(sealed, name) for name in SEALED_COUNTS})


def begun_record(planned: Plan, started_at: datetime) -> dict[str, Any]:
    """What stands of a run before its first unit does."""
    return {
        "config_id": planned.config_id,
        "started_at": started_at.isoformat(),
        "questions": {question.id: question.hash for question in planned.questions},
        "num_videos": planned.videos.num_rows,
        "num_videos_skipped": planned.num_skipped,
    }


def run_record(summary: RunSummary, started_at: datetime) -> dict[str, Any]:
    packages = ("framegate", "ray", "torch", "transformers", "av", "pyarrow")
    return {
        **asdict(summary),
        "started_at": started_at.isoformat(),
        "is_complete": summary.is_complete,
        "versions": {name: version(name) for name in packages},
    }
