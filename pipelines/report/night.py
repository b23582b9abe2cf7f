"""Which runs a report is about: the night itself, the one whose rows it shows, and an earlier one to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.commit.runs import deepens
from framegate.pipelines.results.last_night import Night, find_night
from framegate.schemas.errors import ConfigError

MAX_NAMED: Final = 5  # run_ids that an error lists
_Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The nights of one report.

    night     what its head is about: the run that was asked for, or the last one
    answered  whose rows it shows: the same, or where that wrote none, the last one before it that did
    earlier   what it is compared with; None where there is no earlier night under this config_id
    """

    night: Night
    answered: Night
    earlier: Night | None

    @property
    def config_id(self) -> str | None:
        return self.answered.last.get("config_id")

    @property
    def run_ids(self) -> tuple[str, ...]:
        return _ids(self.answered)

    @property
    def earlier_ids(self) -> tuple[str, ...]:
        return _ids(self.earlier) if self.earlier is not None else ()


def find_scope(runs: Iterable[_Run], *, run_id: str | None, compare: str | None) -> Scope:
    """Raises ConfigError where no run is recorded, or no run has one of the two ids."""
    known = sorted((run for run in runs if not deepens(run)), key=_order)
    night = _night_of(known, run_id, "--run") if run_id is not None else find_night(known)
    if night is None:
        raise ConfigError("no run is recorded in this output: run the job first")
    answered = _last_with_rows(known, night) or night
    earlier = _night_of(known, compare, "--compare") if compare is not None else _before(known, answered)
    return Scope(night=night, answered=answered, earlier=earlier)


def _night_of(known: Sequence[_Run], run_id: str, option: str) -> Night:
    """The night as it was when that run had begun: it alone, or of an array the last run of each shard until then."""
    places = {run["run_id"]: place for place, run in enumerate(known)}
    if run_id not in places:
        last = ", ".join(run["run_id"] for run in known[-MAX_NAMED:]) or "none"
        raise ConfigError(f"{option} {run_id}: no such run is recorded; the last ones are {last}")
    run = known[places[run_id]]
    if not run.get("shard"):
        return Night(last=run, runs=(run,))
    found = find_night([one for one in known[: places[run_id] + 1] if one.get("shard") or one is run])
    assert found is not None  # the run itself is among them
    return found


def _last_with_rows(known: Sequence[_Run], night: Night) -> Night | None:
    """The night itself where it wrote an answer, else the last one before it that did, under its config_id."""
    if _has_rows(night):
        return night
    config_id, last = night.last.get("config_id"), _order(night.last)
    candidates = [run for run in known if _order(run) < last and run.get("config_id") == config_id]
    return _latest(candidates)


def _before(known: Sequence[_Run], night: Night) -> Night | None:
    """The last earlier night that wrote an answer under the same config_id."""
    first, ids = min(map(_order, night.runs)), {*_ids(night)}
    config_id = night.last.get("config_id")
    candidates = [
        run for run in known if _order(run) < first and run["run_id"] not in ids and run.get("config_id") == config_id
    ]
    return _latest(candidates)


def _latest(candidates: Sequence[_Run]) -> Night | None:
    for place in range(len(candidates), 0, -1):
        night = find_night(candidates[:place])
        if night is not None and _has_rows(night):
            return night
    return None


def _has_rows(night: Night) -> bool:
    return any((run.get("counts") or {}).get("num_answers") for run in night.runs)


def _ids(night: Night) -> tuple[str, ...]:
    return tuple(run["run_id"] for run in night.runs)


def _order(run: _Run) -> tuple[str, str]:
    return str(run.get("started_at")), run["run_id"]
