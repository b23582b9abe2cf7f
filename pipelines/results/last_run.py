"""The last run of an output in one sentence: what it is at or how it ended, since when, how far, and when it will end.

Only records of runs are read, no table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from framegate.pipelines.commit.liveness import find_death
from framegate.pipelines.commit.runs import ENDED, deepens

STOPPED_BY: Mapping[str, str] = {
    "signal": "a signal",
    "deadline": "its deadline",
    "budget": "its budget",
    "breaker": "the circuit breaker",
    "unparsed": "too many unparsed answers",
    "limit": "--limit",
}


def find_last(runs: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The run that began last, of those that were not refused because another one was at work."""
    begun = [run for run in runs if run.get("stop_code") != "refused"]
    return max(begun, key=lambda run: (str(run.get("started_at")), run["run_id"]), default=None)


def describe_run(run: Mapping[str, Any], now: datetime) -> str:
    """One sentence without a full stop."""
    name, since = f"{'deepening' if deepens(run) else 'run'} {run['run_id']}", began_at(run)
    died = find_death(run, now)
    if died is not None:
        return f"{name} is dead: {died}; {_where(run)}{_far(run)}"
    if run["state"] not in ENDED:
        return (
            f"{name} is at work since {say_time(since)}{say_ago(since, now)}, {_where(run)}{_far(run)}{_eta(run, now)}"
        )
    ended = ended_at(run)
    when = f" at {say_time(ended)}{say_ago(ended, now)}" if ended else ""
    if run["state"] == "failed":
        return f"{name} failed{when}: {run.get('stop_reason') or run.get('stop_code')}{say_books(run)}"
    if run["state"] == "stopped":
        by = STOPPED_BY.get(str(run.get("stop_code")), "something")
        reason = run.get("stop_reason")
        said = f" ({reason})" if reason and reason != "interrupted" else ""
        return f"{name} was stopped by {by}{when}{said}{say_books(run)}"
    return f"{name} is complete{when}{say_books(run)}"


def began_at(run: Mapping[str, Any]) -> datetime | None:
    return _time(run.get("started_at"))


def ended_at(run: Mapping[str, Any]) -> datetime | None:
    """When a run ended, or was last heard of. Records of earlier versions say how long it took."""
    if ended := _time(run.get("ended_at")):
        return ended
    if heartbeat := run.get("heartbeat"):
        return _time(heartbeat["at"])
    began, seconds = began_at(run), run.get("elapsed_seconds")
    return began + timedelta(seconds=seconds) if began and seconds is not None else None


def estimate_end(run: Mapping[str, Any]) -> datetime | None:
    """When a run at work will be done; None where that cannot be told yet.

    As its last heartbeat said, by the clock of its own machine. Records of earlier versions do not say it: there every
    video takes as long as those begun so far.
    """
    seconds = (run.get("phase_seconds") or {}).get("working")
    num_begun, num_videos = run.get("num_videos_begun"), run.get("num_videos")
    heard = _time((run.get("heartbeat") or {}).get("at"))
    if run["state"] in ENDED or not (seconds and num_begun and num_videos and heard):
        return None
    if "seconds_left" in run:
        return None if run["seconds_left"] is None else heard + timedelta(seconds=run["seconds_left"])
    return heard + timedelta(seconds=seconds / num_begun * max(0, num_videos - num_begun))


def say_time(time: datetime | None) -> str:
    return "an unknown time" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def say_span(seconds: float) -> str:
    """A length of time in its largest fitting unit."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def say_ago(time: datetime | None, now: datetime) -> str:
    """` (3.8 h ago)`; nothing where the time is not known."""
    return f" ({say_span((now - time).total_seconds())} ago)" if time else ""


def say_books(run: Mapping[str, Any]) -> str:
    """`: 96 videos answered, 2 failed, 12 skipped, 0 left, in 3.2 h`, as far as it is known."""
    parts = [
        (run.get("num_videos_answered"), "answered"),
        (run.get("num_videos_failed"), "failed"),
        (run.get("num_videos_skipped"), "skipped"),
        (run.get("num_videos_left"), "left"),
    ]
    said = [f"{number:,} {word}" for number, word in parts if number is not None]
    seconds = run.get("elapsed_seconds")
    if not said:
        return ""
    rows = f"{(run.get('counts') or {}).get('num_deepened', 0):,} rows deepened; " if deepens(run) else ""
    return f": {rows}videos {', '.join(said)}" + (f", in {say_span(seconds)}" if seconds is not None else "")


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _where(run: Mapping[str, Any]) -> str:
    return f"process {run['pid']} on {run['host']}: " if run.get("host") else ""


def _far(run: Mapping[str, Any]) -> str:
    phase = run.get("phase") or "it has begun"
    if run.get("num_videos") is None:
        return str(phase)
    return f"{phase}, {run.get('num_videos_begun') or 0:,} of {run['num_videos']:,} videos begun"


def _eta(run: Mapping[str, Any], now: datetime) -> str:
    end = estimate_end(run)
    return f", done about {say_time(end)} (in {say_span((end - now).total_seconds())})" if end else ""
