"""What came of a run, read from storage and not from the driver's memory, so that what was lost on the way shows."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.plan.remaining import remaining_of_run
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.run import Plan, RunSummary

VIDEO_COUNTS: Final = ("num_videos_answered", "num_videos_failed", "num_videos_skipped", "num_videos_left")


def count_videos(planned: Plan, output: Output) -> dict[str, int]:
    """How many planned videos were answered, failed, skipped and left: the names of RunSummary."""
    hashes = [question.hash for question in planned.questions]
    after = remaining_of_run(output, planned.config_id, planned.videos, hashes)
    return {
        "num_videos_answered": after.num_complete + after.num_settled - after.num_undecoded,
        "num_videos_failed": after.num_undecoded,
        "num_videos_skipped": planned.num_skipped + after.num_erased,
        "num_videos_left": after.num_left,
    }


def stored_counts(output: Output, config_id: str, run_id: str, seen: Counts) -> Counts:
    """What seals have stored of this run. Seconds are of the receipts that were seen, as no table has them by run."""
    sealed = Counts()
    for record in SealLog(output, config_id).read_records():
        sealed = sealed.plus(record.runs.get(run_id, Counts()))
    return replace(seen, **{name: getattr(sealed, name) for name in SEALED_COUNTS})


def begun_record(planned: Plan, started_at: datetime) -> dict[str, Any]:
    """What is stored of a run before its first unit is."""
    return {
        "config_id": planned.config_id,
        "started_at": started_at.isoformat(),
        "questions": {question.id: question.hash for question in planned.questions},
        "num_videos": planned.videos.num_rows,
        "num_videos_skipped": planned.num_skipped,
    }


def run_record(summary: RunSummary, started_at: datetime) -> dict[str, Any]:
    packages = ("framegate", "ray", "torch", "transformers", "av", "pyarrow")
    values = asdict(summary)
    values.pop("stop")
    return {
        **values,
        "stop_code": summary.stop_code,
        "stop_reason": summary.stop_reason,
        "started_at": started_at.isoformat(),
        "is_complete": summary.is_complete,
        "versions": {name: version(name) for name in packages},
    }
