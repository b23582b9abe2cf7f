"""A comparison as rows of tables, for a terminal and a page, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from framegate.pipelines.compare.figures import FEW_VIDEOS, Comparison

Rows = Sequence[Mapping[str, Any]]


def job_rows(found: Comparison) -> Rows:
    """One for each job. Means are of a row; `cost` is of 1,000 rows."""
    currency = next((job.currency for job in found.jobs if job.currency), None)
    return [
        {
            "job": f"{number} {job.job}",
            "strategy": job.strategy,
            "right": _share(job.accuracy),
            "95 % interval": _interval(job.low, job.high),
            "thinks": _share(job.think_share),
            "prompt tokens": job.prompt_tokens,
            "of video": job.video_tokens,
            "written": job.written_tokens,
            "seconds": job.seconds,
            **({} if currency is None else {f"{currency} / 1,000": job.cost}),
            "front": "*" if job.is_on_front else "",
        }
        for number, job in enumerate(found.jobs, start=1)
    ]


def difference_rows(found: Comparison) -> Rows:
    """One for each job but the first."""
    return [
        {
            "job": f"{number} {pair.job}",
            f"less {found.jobs[0].job}": f"{pair.difference * 100:+.1f} pt",
            "95 % interval": _interval(pair.low, pair.high, points=True),
            "it alone": pair.num_more,
            "other alone": pair.num_fewer,
            "p rows": pair.p_rows,
            "p videos": pair.p_videos,
            "p Holm": pair.p_holm,
            "": pair.verdict,
        }
        for number, pair in enumerate(found.differences, start=2)
    ]


def question_rows(found: Comparison) -> Rows:
    """One for each question, with each job's share of right answers."""
    return [
        {
            "question": one.question_id,
            "rows": one.num_rows,
            **{
                f"{number} {job.job}": _share(share)
                for number, (job, share) in enumerate(zip(found.jobs, one.accuracies, strict=True), start=1)
            },
        }
        for one in found.questions
    ]


def say_rows(found: Comparison) -> list[str]:
    """What was compared, what was left out and why, and what counts as wrong without being an answer."""
    said = [
        f"{found.num_rows:,} labelled rows of {found.num_videos:,} videos, which all jobs were asked;"
        f" {found.num_left_out:,} labels are left out, since a job was not asked their rows, and {found.num_unknown:,}"
        " are of no row"
    ]
    if found.num_left_out:
        missing = [f"{job.job} {job.num_missing:,}" for job in found.jobs if job.num_missing]
        said.append(f"not asked: {', '.join(missing)}")
    wrong = [
        f"{job.job} {job.num_unparsed:,} unparsed, {job.num_deferred:,} deferred, {job.num_failed:,} failed"
        for job in found.jobs
        if job.num_unparsed or job.num_deferred or job.num_failed
    ]
    if wrong:
        said.append(f"counted as wrong: {'; '.join(wrong)}")
    if found.num_videos < 2:
        said.append("all rows are of one video: there is no interval, and no test by videos")
    elif found.num_videos < FEW_VIDEOS:
        said.append(
            f"{found.num_videos:,} videos are few: with fewer than {FEW_VIDEOS} intervals tend to be too narrow"
        )
    return said


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _interval(low: float | None, high: float | None, *, points: bool = False) -> str | None:
    if low is None or high is None:
        return None
    return f"{low * 100:+.1f} to {high * 100:+.1f}" if points else f"{low:.1%} to {high:.1%}"
