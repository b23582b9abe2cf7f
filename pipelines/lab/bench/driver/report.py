"""From measured processes to rows: medians by system, and by kind of process."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from framegate.pipelines.lab.bench.driver.measure import Measured
from framegate.pipelines.lab.bench.driver.sampled import KindFigures

BESIDE = "bare_16"


def system_rows(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """A row for each system. `ratio`: videos a second by those of BESIDE in the same turn."""
    rows = []
    beside = _of(measured, BESIDE)
    for name, runs in _by_system(measured).items():
        ratios = [one.videos_per_second / other.videos_per_second for one, other in zip(runs, beside, strict=False)]
        rows.append(
            {
                "system": name,
                "videos": runs[0].num_videos,
                "seconds": _median(runs, lambda one: one.seconds),
                "videos/s": _median(runs, lambda one: one.videos_per_second),
                "steady/s": _median(runs, lambda one: one.steady_per_second),
                "ratio": statistics.median(ratios) if ratios else None,
                "cpu ms a video": _median(runs, lambda one: 1000 * _cpu_seconds(one) / one.num_videos),
            }
        )
    return rows


def kind_rows(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """A row for each system and kind of process."""
    rows = []
    for name, runs in _by_system(measured).items():
        for kind in sorted({figures.kind for one in runs for figures in one.kinds}):
            found = [figures for one in runs for figures in one.kinds if figures.kind == kind]
            cpu_seconds = _median(found, lambda one: one.cpu_seconds) or 0.0
            rows.append(
                {
                    "system": name,
                    "process": kind,
                    "number": _median(found, lambda one: one.num_processes),
                    "cpu ms a video": 1000 * cpu_seconds / runs[0].num_videos,
                    "peak MiB": _median(found, lambda one: one.peak_bytes / 2**20),
                    "end MiB": _median(found, lambda one: one.last_bytes / 2**20),
                    "grows kB a video": _median(found, _grown_kb),
                }
            )
    return rows


def _grown_kb(figures: KindFigures) -> float | None:
    return None if figures.grown_bytes_per_video is None else figures.grown_bytes_per_video / 1000


def _cpu_seconds(one: Measured) -> float:
    return sum(figures.cpu_seconds for figures in one.kinds)


def _by_system(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    return {name: _of(measured, name) for name in dict.fromkeys(one.system for one in measured)}


def _of(measured: Sequence[Measured], name: str) -> list[Measured]:
    return [one for one in measured if one.system == name]


def _median(items: Sequence[Any], figure: Callable[[Any], float | None]) -> float | None:
    known = [value for value in map(figure, items) if value is not None]
    return statistics.median(known) if known else None
