"""Did it end in time: the night's runs, how long each phase took, and how fast clips came through the night."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.report.figures import Ended, Throughput
from framegate.pipelines.report.night import Scope
from framegate.pipelines.report.rows import NIGHT, NightRows
from framegate.pipelines.results.last_night import ORDER, Night, describe_night, name_shards, sum_books
from framegate.pipelines.results.last_run import began_at, ended_at

MAX_BINS: Final = 48
_WIDTHS: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)

_TOTALS: Final = f"""
    SELECT count(*) AS num_rows, min(written_at) AS first, max(written_at) AS last FROM {NIGHT}"""
_CLIPS: Final = f"""
    SELECT count(*) AS num_clips, coalesce(sum(end_seconds - start_seconds), 0) / 3600 AS clip_hours
    FROM (SELECT any_value(start_seconds) AS start_seconds, any_value(end_seconds) AS end_seconds
          FROM {NIGHT} GROUP BY video_id, clip_index)"""


def find_ended(rows: NightRows, scope: Scope, now: datetime) -> Ended:
    """Raises StorageError."""
    night = scope.night
    books = sum_books(night.runs)
    began, ended = ([time for time in map(when, night.runs) if time] for when in (began_at, ended_at))
    totals = rows.one(_TOTALS)
    return Ended(
        sentence=describe_night(night, now),
        state=_worst_state(night, now),
        run_ids=tuple(run["run_id"] for run in night.runs),
        odd_shards=tuple(name_shards(night, now)),
        started_at=min(began, default=None),
        ended_at=max(ended, default=None),
        elapsed_seconds=books["elapsed_seconds"],
        phase_seconds=_sum_phases(night),
        stop_code=next((run["stop_code"] for run in night.runs if run.get("stop_code")), None),
        num_videos_answered=books["num_videos_answered"],
        num_videos_failed=books["num_videos_failed"],
        num_videos_skipped=books["num_videos_skipped"],
        num_videos_left=books["num_videos_left"],
        num_rows=totals["num_rows"],
        throughput=_throughput(rows, totals["first"], totals["last"]),
        **rows.one(_CLIPS),
    )


def _worst_state(night: Night, now: datetime) -> str:
    states = {state_of(run, now) for run in night.runs}
    return max(states, key=lambda state: ORDER.index(state) if state in ORDER else 0)


def _sum_phases(night: Night) -> dict[str, float]:
    """Over the runs of an array, of which each has phases of its own."""
    total: Counter[str] = Counter()
    for run in night.runs:
        total.update(run.get("phase_seconds") or {})
    return dict(total)


def _throughput(rows: NightRows, first: datetime | None, last: datetime | None) -> tuple[Throughput, ...]:
    """Clips by the time at which their first row of the night was committed, in at most MAX_BINS stretches.

    The last stretch is mostly not a whole one, so that it is left out where it is shorter than the others and not the
    only one: it would look as if the night had slowed down.
    """
    if first is None or last is None:
        return ()
    seconds = (last - first).total_seconds()
    width = next((width for width in _WIDTHS if seconds / width <= MAX_BINS), _WIDTHS[-1])
    found = rows.ask(f"""
        SELECT floor((epoch(committed) - {first.timestamp()!r}) / {width})::BIGINT AS number, count(*) AS num_clips
        FROM (SELECT min(written_at) AS committed FROM {NIGHT} GROUP BY video_id, clip_index) GROUP BY 1""")
    counts = {row["number"]: row["num_clips"] for row in found}
    whole = max(1, int(seconds // width))
    return tuple(
        Throughput(at=first + timedelta(seconds=bin * width), seconds=float(width), num_clips=counts.get(bin, 0))
        for bin in range(min(whole, MAX_BINS))
    )
