"""Whether the last night of an output was a good one, for a monitor: reasons why not, one sentence each.

Only records of runs are read: a check costs a few requests, however much is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.commit.runs import deepens, has_books
from framegate.pipelines.results.drift_table import last_compared
from framegate.pipelines.results.last_night import Night, find_night, sum_books
from framegate.pipelines.results.last_run import began_at, describe_run, ended_at, say_span, say_time
from framegate.schemas.drift import alarms_of, rows_of

AT_WORK: Final = ("starting", "running")
BAD_STOPS: Final = ("breaker", "unparsed")
"""A run that these stopped needs somebody who looks; one that a signal, its deadline or --limit stopped does not."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a night may have. None: anything.

    max_age_seconds   since the last run ended well; one that is at work counts from its start
    max_failed        share of failed ones among the videos that the last run decoded or tried to
    max_unparsed      share of unparsed ones among its answers
    max_left          share of the videos of its plan that it left
    max_drift         alarms of the last run that looked for drift, under the config_id of the last run
    """

    max_age_seconds: float | None = None
    max_failed: float | None = None
    max_unparsed: float | None = None
    max_left: float | None = None
    max_drift: int | None = None


def find_faults(runs: Sequence[Mapping[str, Any]], limits: Limits, now: datetime) -> list[str]:
    """One sentence for each thing that is not as it should be; none where all is well.

    The shares are those of the last run that came to an end with books. Of an array each shard has to be well, and the
    shares are those of its shards together.
    """
    night = find_night(runs)
    if night is None:
        return ["no run is recorded here"]
    odd = [run for run in night.runs if not _is_well(run, now)]
    faults = [
        f"shard {run['shard']}: {describe_run(run, now)}" if night.is_array else describe_run(run, now) for run in odd
    ]
    if night.missing and not any(state_of(run, now) in AT_WORK for run in night.runs):
        faults.append(f"shards {', '.join(night.missing)} have no run")
    if limits.max_age_seconds is not None:
        faults += _find_age(runs, limits.max_age_seconds, now)
    if limits.max_drift is not None:
        faults += _find_drift(runs, night.last.get("config_id"), limits.max_drift)
    counted = find_night(run for run in runs if has_books(run) and not deepens(run))
    return [*faults, *(_find_shares(counted, limits) if counted is not None else [])]


def _is_well(run: Mapping[str, Any], now: datetime) -> bool:
    """Whether a run is at work, or ended in a way that needs nobody."""
    state = state_of(run, now)
    return state in (*AT_WORK, "complete") or (state == "stopped" and run.get("stop_code") not in BAD_STOPS)


def _find_age(runs: Sequence[Mapping[str, Any]], max_seconds: float, now: datetime) -> list[str]:
    asking = [run for run in runs if run.get("stop_code") != "refused" and not deepens(run)]
    well = [run for run in asking if _is_well(run, now)]
    times = [began_at(run) if state_of(run, now) in AT_WORK else ended_at(run) for run in well]
    newest = max((time for time in times if time is not None), default=None)
    if newest is None:
        return ["no run has ended well yet"]
    seconds = (now - newest).total_seconds()
    if seconds <= max_seconds:
        return []
    return [
        f"no run has ended well for {say_span(seconds)}, since {say_time(newest)};"
        f" --max-age allows {say_span(max_seconds)}"
    ]


def _find_drift(runs: Sequence[Mapping[str, Any]], config_id: str | None, most: int) -> list[str]:
    run = last_compared([run for run in runs if run.get("config_id") == config_id])
    alarms = [] if run is None else alarms_of(rows_of(run))
    if run is None or len(alarms) <= most:
        return []
    return [
        f"{len(alarms):,} {'alarm' if len(alarms) == 1 else 'alarms'} of drift in run {run['run_id']}, the first:"
        f" {alarms[0].sentence}; --max-drift allows {most:,}"
    ]


def _find_shares(night: Night, limits: Limits) -> list[str]:
    run = sum_books(night.runs)
    where = f"the {len(night.runs)} shards of the last night" if night.is_array else f"run {night.last['run_id']}"
    answered, failed = run.get("num_videos_answered") or 0, run.get("num_videos_failed") or 0
    left, counts = run.get("num_videos_left") or 0, run.get("counts") or {}
    parts = [
        (failed, answered + failed, limits.max_failed, "videos failed", "--max-failed"),
        (counts.get("num_unparsed") or 0, counts.get("num_answers") or 0, limits.max_unparsed,
         "answers are unparsed", "--max-unparsed"),
        (left, answered + failed + left, limits.max_left, "videos were left", "--max-left"),
    ]  # fmt: skip
    return [
        f"{number:,} of {total:,} {what} ({number / total:.1%}) in {where}; {option} allows {most:.1%}"
        for number, total, most, what, option in parts
        if most is not None and total and number / total > most
    ]
