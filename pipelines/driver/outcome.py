"""What came of a run, read from storage and not from the driver's memory, so that what was lost on the way shows."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from framegate.pipelines.commit.liveness import this_process
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import RUN
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.team import Team
from framegate.pipelines.driver.phases import Phases
from framegate.pipelines.plan.remaining import remaining_of_run
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.errors import AnotherRun, FramegateError, RunStopped
from framegate.schemas.job import Job
from framegate.schemas.run import INTERRUPTED, Phase, Plan, RunSummary, Shard, Stop
from framegate.schemas.signatures import hide

PACKAGES: Final = ("framegate", "ray", "torch", "transformers", "av", "pyarrow")

_OVER: Final = {"phase": None, "seconds_left": None}
VIDEO_COUNTS: Final = ("num_videos_answered", "num_videos_failed", "num_videos_skipped", "num_videos_left")


def count_videos(planned: Plan, output: Output, team: Team) -> dict[str, int]:
    """How many planned videos were answered, failed, skipped and left, and how many other runs do: the names of
    RunSummary. What is left and is a living run's that shares the work is elsewhere."""
    team.look()
    after = remaining_of_run(output, planned.config_id, planned.videos, hashes_of(planned))
    num_others = int((~team.are_mine(after.left_ids)).sum())
    return {
        "num_videos_planned": planned.num_skipped + planned.videos.num_rows - num_others,
        "num_videos_elsewhere": planned.num_elsewhere + num_others,
        "num_videos_answered": after.num_complete + after.num_settled - after.num_undecoded,
        "num_videos_failed": after.num_undecoded,
        "num_videos_skipped": planned.num_skipped + after.num_erased,
        "num_videos_left": after.num_left - num_others,
    }


def uncounted(planned: Plan) -> dict[str, Any]:
    """The same where there is no time left to count."""
    known = {
        "num_videos_planned": planned.num_skipped + planned.videos.num_rows,
        "num_videos_elsewhere": planned.num_elsewhere,
    }
    return {**known, **dict.fromkeys(VIDEO_COUNTS)}


def hashes_of(planned: Plan) -> list[str]:
    return [question.hash for question in planned.questions]


def stored_counts(output: Output, config_id: str, run_id: str, seen: Counts) -> Counts:
    """What seals have stored of this run. Seconds are of the receipts that were seen, as no table has them by run."""
    sealed = Counts()
    for record in SealLog(output, config_id).read_records():
        sealed = sealed.plus(record.runs.get(run_id, Counts()))
    return replace(seen, **{name: getattr(sealed, name) for name in SEALED_COUNTS})


def first_fields(
    run_id: str, job: Job, started_at: datetime, shard: Shard | None = None, *, command: str = RUN
) -> dict[str, Any]:
    """Every field of a run's record, with what is known in its first second; the others are null until they are.

    What a run costs by the hour is kept, so that its cost is known however it ends.
    """
    process, cost_per_hour = this_process(), job.config.cost.per_hour(job.config.ray)
    return {
        **dict.fromkeys(field.name for field in fields(RunSummary) if field.name != "stop"),
        **dict.fromkeys(("ended_at", "questions", "num_videos", "num_videos_begun", "is_complete")),
        "seconds_left": None,
        **dict.fromkeys(("stop_code", "stop_reason", "sandbox")),
        "shard": None if shard is None else str(shard),
        "run_id": run_id,
        "command": command,
        "state": "starting",
        "phase": Phase.STARTING.value,
        "job": job.name,
        "cost_per_hour": cost_per_hour,
        "currency": None if cost_per_hour is None else job.config.cost.currency,
        "host": process.pop("host"),
        "pid": process["pid"],
        "process": process,
        "started_at": started_at.isoformat(),
        "elapsed_seconds": 0.0,
        "versions": {name: version(name) for name in PACKAGES},
    }


def plan_fields(planned: Plan) -> dict[str, Any]:
    """What the record tells of a run before its first unit is."""
    return {
        "config_id": planned.config_id,
        "questions": {question.id: question.hash for question in planned.questions},
        "num_videos": planned.videos.num_rows,
        "num_videos_elsewhere": planned.num_elsewhere,
        "num_videos_skipped": planned.num_skipped,
        "num_videos_planned": planned.num_skipped + planned.videos.num_rows,
        "num_videos_gone": planned.num_gone,
        "notices": list(planned.notices),
    }


def progress_fields(phases: Phases) -> dict[str, Any]:
    """How far a run at work is: its phase, and of what it is at work on, how much is begun."""
    progress, seconds = phases.latest, phases.seconds()
    return {
        "state": "starting" if progress.phase is Phase.STARTING else "running",
        "phase": progress.phase.value,
        "phase_seconds": seconds,
        "elapsed_seconds": progress.elapsed_seconds,
        "counts": asdict(progress.counts),
        "num_videos_begun": progress.num_videos_begun,
        "seconds_left": phases.seconds_left(),
    }


def end_fields(summary: RunSummary, planned: Plan) -> dict[str, Any]:
    """How a run ended that came to its end or was stopped."""
    values = asdict(summary)
    values.pop("stop")
    told = {"is_complete": summary.is_complete, "stop_code": None, "stop_reason": None}
    return {**values, "notices": list(summary.notices), **told, **_OVER, **_end(summary, planned)}


def failure_fields(error: BaseException) -> dict[str, Any]:
    """How a run ended that raised `error`."""
    if isinstance(error, RunStopped):
        return {**_OVER, **_stopped(error.stop)}
    if isinstance(error, KeyboardInterrupt):  # a second one, or where signals are not heeded
        return {**_OVER, **_stopped(INTERRUPTED)}
    first = str(error).strip().partition("\n")[0]
    reason = str(error) if isinstance(error, FramegateError) else f"{type(error).__name__}: {hide(first)}"
    code = "refused" if isinstance(error, AnotherRun) else "error"
    return {"state": "failed", **_OVER, "stop_code": code, "stop_reason": reason}


def _end(summary: RunSummary, planned: Plan) -> dict[str, Any]:
    num_beyond = planned.num_videos - planned.num_skipped - planned.videos.num_rows - planned.num_elsewhere
    if summary.stop is not None:
        return _stopped(summary.stop)
    if not summary.is_complete:
        return {"state": "failed", "stop_code": "incomplete", "stop_reason": summary.left_over}
    if num_beyond:
        return {
            "state": "stopped",
            "stop_code": "limit",
            "stop_reason": f"--limit left {num_beyond:,} videos for later",
        }
    return {"state": "complete"}


def _stopped(stop: Stop) -> dict[str, Any]:
    return {"state": "stopped", "stop_code": stop.code, "stop_reason": stop.sentence}
