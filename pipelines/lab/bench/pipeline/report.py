"""From measured runs to rows: each run's figures, their medians, and what the engine did with its time."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from framegate.pipelines.lab.bench.pipeline.measure import Measured
from framegate.pipelines.reason.occupancy import STATES

STARVED = ("loading", "before_first", "no_unit", "arriving", "leaving")
"""Those of STATES in which an engine has no question to work at."""


def make_rows(turn: Sequence[Measured]) -> list[dict[str, Any]]:
    """A row for each run of a turn; `ratio` and `floor` are the whole run's."""
    return [
        {
            **asdict(one),
            "ratio": _ratio(turn) if one.kind == "whole" else None,
            "floor": _floor(turn) if one.kind == "whole" else None,
        }
        for one in turn
    ]


def medians(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """By kind of run, the medians of some columns."""
    found = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        same = [row for row in rows if row["kind"] == kind]
        found.append({"kind": kind, **{name: _median([row[name] for row in same]) for name in names}})
    return found


def ratios(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """The least, the median and the greatest `ratio` of all turns."""
    found = [row["ratio"] for row in rows if row["kind"] == "whole"]
    return min(found), statistics.median(found), max(found)


def engine_states(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each of STATES: the median seconds that the engine of a whole run spent in it."""
    whole = [row for row in rows if row["kind"] == "whole"]
    return [
        {
            "engine": state,
            "seconds": _median([row["engine_states"][state] for row in whole]),
            "starved": state in STARVED,
            "meaning": meaning,
        }
        for state, meaning in STATES.items()
    ]


def _ratio(turn: Sequence[Measured]) -> float:
    """Seconds of the whole run by those of the slower of its parts."""
    return _by_kind(turn)["whole"].seconds / _slower_part(turn)


def _floor(turn: Sequence[Measured]) -> float:
    """The least that `ratio` can be on this machine: all processors at work on what both parts have to do."""
    parts = _by_kind(turn)
    shared = (parts["decode"].cpu_seconds + parts["engine"].cpu_seconds) / (os.cpu_count() or 1)
    return max(1.0, shared / _slower_part(turn))


def _slower_part(turn: Sequence[Measured]) -> float:
    parts = _by_kind(turn)
    return max(parts["decode"].seconds, parts["engine"].seconds)


def _by_kind(turn: Sequence[Measured]) -> dict[str, Measured]:
    return {one.kind: one for one in turn}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
