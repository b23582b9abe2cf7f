"""The last night of an output: its last run, or, where that is one shard of an array, the last run of each shard.

Runs of an array plan for themselves and know nothing of each other. To one night belongs the last run of each shard
that began at most MAX_HOURS before the last run of all. A shard that was started again counts once, as it is now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.commit.runs import ENDED
from framegate.pipelines.results.last_run import (
    began_at,
    describe_run,
    ended_at,
    estimate_end,
    find_last,
    say_ago,
    say_books,
    say_time,
)

MAX_HOURS: Final = 20.0  # a night, and less than until the next one
MAX_NAMED: Final = 8  # of the shards that are not as they should be
ORDER: Final = ("complete", "running", "starting", "stopped", "failed", "dead")
_SUMMED: Final = ("num_videos_answered", "num_videos_failed", "num_videos_left")


@dataclass(frozen=True, kw_only=True)
class Night:
    """`last` is the run that began last. `runs`: it alone, or the last one of each shard, in order of their numbers.
    `missing`: shards without a run, such as `3/8`."""

    last: Mapping[str, Any]
    runs: tuple[Mapping[str, Any], ...]
    missing: tuple[str, ...] = ()

    @property
    def is_array(self) -> bool:
        return bool(self.last.get("shard"))

    @property
    def is_at_work(self) -> bool:
        """As far as records tell; some of these runs may be dead."""
        return any(run["state"] not in ENDED for run in self.runs)


def find_night(runs: Iterable[Mapping[str, Any]]) -> Night | None:
    """None where no run is recorded."""
    known = [*runs]
    last = find_last(known)
    if last is None or not last.get("shard"):
        return None if last is None else Night(last=last, runs=(last,))
    ours = sorted((run for run in known if _is_beside(run, last)), key=_began)
    of_shard = {_split(run["shard"])[0]: run for run in ours}  # the last one of each
    of = _split(last["shard"])[1]
    return Night(
        last=last,
        runs=tuple(of_shard[number] for number in sorted(of_shard)),
        missing=tuple(f"{number}/{of}" for number in range(1, of + 1) if number not in of_shard),
    )


def list_nights(runs: Iterable[Mapping[str, Any]]) -> Iterator[Night]:
    """All nights, the last one first. Of shards that ran twice in one night the earlier run is in none."""
    left = [*runs]
    while (night := find_night(left)) is not None:
        yield night
        first = min(map(_began, night.runs))
        left = [run for run in left if _began(run) < first]


def describe_night(night: Night, now: datetime) -> str:
    """One sentence without a full stop: of the run, or of all shards together."""
    if not night.is_array:
        return describe_run(night.last, now)
    states = Counter(state_of(run, now) for run in night.runs)
    said = [f"{states[state]} {state}" for state in ORDER if states[state]]
    said += [f"{len(night.missing)} without a run"] if night.missing else []
    name = f"{_split(night.last['shard'])[1]} shards: {', '.join(said)}"
    if any(state_of(run, now) in ("starting", "running") for run in night.runs):
        since = min((time for time in map(began_at, night.runs) if time), default=None)
        begun, of = (sum(run.get(name) or 0 for run in night.runs) for name in ("num_videos_begun", "num_videos"))
        end = estimate_night_end(night)
        eta = f", done about {say_time(end)}" if end else ""
        return f"{name}; at work since {say_time(since)}{say_ago(since, now)}, {begun:,} of {of:,} videos begun{eta}"
    ended = max((time for time in map(ended_at, night.runs) if time), default=None)
    return f"{name}; the last ended at {say_time(ended)}{say_ago(ended, now)}{say_books(sum_books(night.runs))}"


def name_shards(night: Night, now: datetime) -> list[str]:
    """One sentence for each shard of an array that failed, died, was stopped or has no run; the first MAX_NAMED."""
    if not night.is_array:
        return []
    odd = [run for run in night.runs if state_of(run, now) not in ("complete", "starting", "running")]
    said = [f"shard {run['shard']}: {describe_run(run, now)}" for run in odd]
    said += [f"shard {shard}: no run" for shard in night.missing]
    more = len(said) - MAX_NAMED
    return [*said[:MAX_NAMED], f"{more} more shards are not complete"] if more > 0 else said


def estimate_night_end(night: Night) -> datetime | None:
    """When the last of its runs at work will be done; None where that is not known of any."""
    return max(filter(None, map(estimate_end, night.runs)), default=None)


def sum_books(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of runs that share one plan, as one run would have them; those that are known.

    Each of them skipped what was complete when it planned: the fewest were when the first one did.
    """
    skipped = [run["num_videos_skipped"] for run in runs if run.get("num_videos_skipped") is not None]
    counts = [run.get("counts") or {} for run in runs]
    began, ended = ([time for time in map(when, runs) if time] for when in (began_at, ended_at))
    return {
        **{name: _sum(run.get(name) for run in runs) for name in _SUMMED},
        "num_videos_skipped": min(skipped, default=None),
        "elapsed_seconds": (max(ended) - min(began)).total_seconds() if began and ended else None,
        "counts": {name: _sum(one.get(name) for one in counts) for name in ("num_answers", "num_unparsed")},
    }


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _is_beside(run: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Whether it is of the same array and job, and began not long before."""
    if not run.get("shard") or run.get("stop_code") == "refused" or run.get("job") != last.get("job"):
        return False
    is_same = _split(run["shard"])[1] == _split(last["shard"])[1]
    began, last_began = began_at(run), began_at(last)
    return is_same and (began is None or last_began is None or last_began - began <= timedelta(hours=MAX_HOURS))


def _began(run: Mapping[str, Any]) -> tuple[str, str]:
    return str(run.get("started_at")), run["run_id"]


def _split(shard: str) -> tuple[int, int]:
    number, _, of = shard.partition("/")
    return int(number), int(of)
