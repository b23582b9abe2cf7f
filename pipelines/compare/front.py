"""The axis that accuracy is held against, and the jobs that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, get_args

from framegate.pipelines.compare.figures import Axis, JobFigures
from framegate.schemas.errors import ConfigError

AXES: Final[tuple[Axis, ...]] = get_args(Axis)
TITLES: Final[dict[Axis, str]] = {
    "cost": "cost of 1,000 rows",
    "seconds": "engine seconds of a row",
    "written": "tokens written for a row",
    "seen": "tokens of prompts for a row",
}


def value_of(job: JobFigures, axis: Axis) -> float | None:
    """None where it is not known."""
    return {
        "cost": job.cost,
        "seconds": job.seconds,
        "written": job.written_tokens,
        "seen": job.prompt_tokens,
    }[axis]


def choose_axis(jobs: Sequence[JobFigures], wanted: Axis | None) -> Axis:
    """The wanted one; without one, cost where each job has it, else seconds. Raises ConfigError where a job has no
    price, and cost is wanted."""
    unpriced = [job.job for job in jobs if job.cost is None and job.num_failed < job.num_rows]
    if wanted == "cost" and unpriced:
        raise ConfigError(
            f"--against cost: {unpriced[0]} has no price; set cost.gpu_hour in each job, or say --against seconds"
        )
    return wanted or ("seconds" if unpriced else "cost")


def mark_front(jobs: Sequence[JobFigures], axis: Axis) -> tuple[JobFigures, ...]:
    """The jobs with `is_on_front`. One without a value is on no front."""
    return tuple(
        replace(
            job, is_on_front=value_of(job, axis) is not None and not any(_beats(other, job, axis) for other in jobs)
        )
        for job in jobs
    )


def _beats(one: JobFigures, other: JobFigures, axis: Axis) -> bool:
    spent, limit = value_of(one, axis), value_of(other, axis)
    if spent is None or limit is None:
        return False
    is_as_good = one.accuracy >= other.accuracy and spent <= limit
    return is_as_good and (one.accuracy > other.accuracy or spent < limit)
