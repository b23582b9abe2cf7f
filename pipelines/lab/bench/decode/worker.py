"""The process of one measurement of `bench decode`.

Called as `python -m framegate.pipelines.lab.bench.decode.worker SYSTEM WARM_UP WORK OUTCOME`.

WARM_UP and WORK are `Work` as JSON; the result goes to the file OUTCOME (numpy). The clock starts after importing,
starting and WARM_UP, the same task on a tiny film: a process that decodes lives for hundreds of videos.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from framegate.pipelines.lab.bench.decode.films import GRID_COLUMNS, GRID_ROWS
from framegate.pipelines.lab.bench.decode.systems import SYSTEMS
from framegate.pipelines.lab.bench.decode.work import Work
from framegate.pipelines.lab.bench.processes import usage


def measure(system: str, warm_up: Work, work: Work) -> dict[str, object]:
    """start_seconds, seconds, cpu_seconds, bytes_read, and `thumbnails` of what was decoded (see `shrink`)."""
    began = time.perf_counter()
    with SYSTEMS[system]() as decode:
        decode(warm_up)
        start_seconds = time.perf_counter() - began
        before, began = usage(os.getpid()), time.perf_counter()
        taken = decode(work)
        seconds, after = time.perf_counter() - began, usage(os.getpid())
        thumbnails = shrink(taken.frames_THWC)
    return {
        "start_seconds": start_seconds,
        "seconds": seconds,
        "cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        "bytes_read": after.bytes_read - before.bytes_read if taken.bytes_read is None else taken.bytes_read,
        "thumbnails": thumbnails,
    }


def shrink(frames_THWC: np.ndarray) -> np.ndarray:
    """float32 (T, GRID_ROWS, GRID_COLUMNS, 3): the mean colour of each cell of a grid, whatever scaled the frame."""
    height, width = frames_THWC.shape[1:3]
    rows = np.arange(GRID_ROWS) * height // GRID_ROWS
    columns = np.arange(GRID_COLUMNS) * width // GRID_COLUMNS
    thumbnails = [
        np.add.reduceat(np.add.reduceat(frame.astype(np.float32), rows, axis=0), columns, axis=1)
        for frame in frames_THWC
    ]
    cell_pixels = np.diff([*rows, height])[:, None, None] * np.diff([*columns, width])[:, None]
    return np.stack(thumbnails) / cell_pixels


if __name__ == "__main__":
    name, first, second, outcome = sys.argv[1:]
    result = measure(name, Work(**json.loads(first)), Work(**json.loads(second)))
    with Path(outcome).open("wb") as file:
        np.savez(file, allow_pickle=False, **{key: np.asarray(value) for key, value in result.items()})
