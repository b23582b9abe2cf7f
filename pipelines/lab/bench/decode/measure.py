"""`bench decode`: runs every system on every file and task, each in a fresh process, and reports medians as rows."""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from framegate.pipelines.lab.bench.decode.films import Film, make_film
from framegate.pipelines.lab.bench.decode.work import Work, plan_work
from framegate.pipelines.lab.bench.processes import family, rss_bytes

REFERENCE, BASELINE = "framegate_in_process", "decord"
SAMPLE_SECONDS, FAMILY_SECONDS = 0.02, 0.3  # between two looks at memory; between two searches for new processes
MAX_SECONDS = 3600.0  # decord can hang
# Scalers and colour conversions differ by 1 to 3 grey levels in the mean of a cell, the frame's number by 100 and more.
MAX_DIFFERENCE = 24.0
# A minute of next to nothing, from which as many frames can be taken as from any other film.
WARM_UP = Film(
    name="warm-up", height=72, width=128, fps=10, seconds=60, bits_per_second=50_000, scene_seconds=60, gop_seconds=4
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The measurements of one run; `thumbnails` float32 (T, rows, columns, 3)."""

    start_seconds: float
    seconds: float
    cpu_seconds: float
    bytes_read: int
    peak_rss_bytes: int
    thumbnails: np.ndarray


def measure(
    works: Sequence[tuple[Work, Sequence[str]]],
    *,
    num_repeats: int,
    on_run: Callable[[Work, str, int], None],
) -> Iterator[list[dict[str, Any]]]:
    """Yields, for each piece of work, the rows of the systems that do it.

    Before each run `on_run` is called with the work, the system and the number of runs done.
    """
    with tempfile.TemporaryDirectory(prefix="framegate-bench-") as folder:
        small_film, outcome_file = Path(folder) / WARM_UP.file_name, Path(folder) / "outcome.npz"
        make_film(WARM_UP, small_film)
        num_done = 0
        for work, systems in works:
            warm_up = replace(plan_work(small_film, work.task), height=work.height, width=work.width)
            runs: dict[str, list[Outcome | str]] = {system: [] for system in systems}
            for _ in range(num_repeats):
                for system in systems:
                    on_run(work, system, num_done)
                    runs[system].append(run_once(system, warm_up, work, outcome_file))
                    num_done += 1
            yield _rows(work, runs)


def run_once(system: str, warm_up: Work, work: Work, file: Path) -> Outcome | str:
    """The measurements, or the sentence that says why there are none."""
    file.unlink(missing_ok=True)
    arguments = [system, json.dumps(asdict(warm_up)), json.dumps(asdict(work)), str(file)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "framegate.pipelines.lab.bench.decode.worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # so that what it starts can be ended with it
        )
        try:
            peak_rss_bytes = _watch(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    if process.returncode or not file.exists():
        return f"gave no result: {lines[-1]}" if lines else f"was ended by signal {-process.returncode}"
    with np.load(file, allow_pickle=False) as found:
        return Outcome(
            start_seconds=float(found["start_seconds"]),
            seconds=float(found["seconds"]),
            cpu_seconds=float(found["cpu_seconds"]),
            bytes_read=int(found["bytes_read"]),
            peak_rss_bytes=peak_rss_bytes,
            thumbnails=found["thumbnails"],
        )


def _watch(process: subprocess.Popen) -> int:
    """Waits for the process, ends it after MAX_SECONDS, and returns the most memory that it was seen to use."""
    began = known_since = time.monotonic()
    members, peak_bytes = [process.pid], 0
    while process.poll() is None:
        now = time.monotonic()
        if now - began > MAX_SECONDS:
            process.kill()
        if now - known_since > FAMILY_SECONDS:
            members, known_since = family(process.pid), now
        peak_bytes = max(peak_bytes, rss_bytes(members))
        time.sleep(SAMPLE_SECONDS)
    return peak_bytes


def _rows(work: Work, runs: dict[str, list[Outcome | str]]) -> list[dict[str, Any]]:
    good = {name: [one for one in some if isinstance(one, Outcome)] for name, some in runs.items()}
    expected = next((good[name][0].thumbnails for name in (REFERENCE, *good) if good.get(name)), None)
    rows = []
    for system, some in runs.items():
        done = good[system]
        num_frames = min((len(run.thumbnails) for run in done), default=0)
        complaints = [one for one in some if isinstance(one, str)]
        differences = [picture_difference(run.thumbnails, expected) for run in done] if expected is not None else []
        if done and num_frames < len(work.frame_indices):
            complaints.append(f"gave {num_frames} of {len(work.frame_indices)} frames")
        elif any(difference > MAX_DIFFERENCE for difference in differences):
            complaints.append("gave other frames than the rest")
        seconds = [run.seconds for run in done]
        middle_seconds = _median(seconds)
        rows.append(
            {
                "system": system,
                "file": Path(work.path).name,
                "task": work.task,
                "seconds": middle_seconds,
                "speedup": _median(_ratios(runs.get(BASELINE, []), some)),
                "ratio_to_in_process": _median(_ratios(some, runs.get(REFERENCE, []))),
                "cpu_seconds": _median([run.cpu_seconds for run in done]),
                "videos_per_second": middle_seconds and 1 / middle_seconds,
                "frames_per_second": middle_seconds and num_frames / middle_seconds,
                "bytes_read_fraction": _median([run.bytes_read / work.size_bytes for run in done]),
                "peak_rss_mib": _median([run.peak_rss_bytes / 2**20 for run in done]),
                "start_seconds": _median([run.start_seconds for run in done]),
                "picture_difference": max(differences, default=None),
                "num_frames": num_frames,
                "num_repeats": len(done),
                "min_seconds": min(seconds, default=None),
                "max_seconds": max(seconds, default=None),
                "complaint": "; ".join(dict.fromkeys(complaints)) or None,
            }
        )
    return rows


def picture_difference(thumbnails: np.ndarray, others: np.ndarray) -> float:
    """The largest difference of any cell of any frame, in grey levels; infinite where the numbers of frames differ."""
    return float(np.abs(thumbnails - others).max()) if thumbnails.shape == others.shape else math.inf


def _ratios(above: Sequence[Outcome | str], below: Sequence[Outcome | str]) -> list[float]:
    """The ratio of seconds in each turn: what slows the machine down for a while slows neighbouring runs alike."""
    return [
        one.seconds / other.seconds
        for one, other in zip(above, below, strict=False)
        if isinstance(one, Outcome) and isinstance(other, Outcome)
    ]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
