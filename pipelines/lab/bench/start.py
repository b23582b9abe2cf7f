"""`bench start`: where the time of a run goes that has next to nothing to do: one drawn film, one question, on Ray.

Each round is a process of its own, as `framegate run` is one, from its start to its end. Its workers and this process
read one clock (Linux's CLOCK_MONOTONIC), so that a worker's times fit between the driver's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from framegate.pipelines.lab.bench.processes import cpu_seconds
from framegate.schemas.errors import FramegateError

SAMPLE_SECONDS: Final = 0.1
STEPS: Final = {
    "interpreter": "Python starts",
    "imports": "framegate is imported, and the job read",
    "ray_import": "Ray is imported",
    "ray_start": "Ray's processes start",
    "starting": "the output is looked at, and the record begun",
    "planning": "the film is found, and what is left of it",
    "workers": "worker processes start, and import what they need",
    "model": "the model is loaded",
    "first_unit": "the film is decoded, asked and committed",
    "working": "Ray Data ends",
    "sealing": "what is committed becomes tables",
    "recording": "the run is counted and recorded",
    "ray_end": "Ray's processes end, and their folder is removed",
    "exit": "Python ends",
}
"""The steps of a run in their order; each begins where the one before it ends."""


@dataclass(frozen=True, kw_only=True)
class StartFigures:
    """Seconds of one round by step, and of the process as a whole. `cpu_seconds` are of all processes together, Ray's
    among them; what a process used after it was last looked at, SAMPLE_SECONDS at most, is missing."""

    steps: dict[str, float]
    seconds: float
    cpu_seconds: float

    @property
    def beyond_model(self) -> float:
        return self.seconds - self.steps["model"]


def make_job(folder: Path) -> Path:
    """A film of the dock's world, and a job about it with one question."""
    from framegate.pipelines.lab.dock.demo import make_demo

    files = make_demo(folder, num_clips=1)
    values = yaml.safe_load(files.jobs["gated"].read_text())
    question = {"id": "black_seen", "type": "yes_no", "text": "Was there any black crate?"}
    job = folder / "start.yaml"
    job.write_text(yaml.safe_dump({**values, "questions": [question]}))
    return job


def measure_start(folder: Path, *, repeats: int) -> Iterator[StartFigures]:
    """One after the other, each with an output of its own. Raises FramegateError where a run fails."""
    job = make_job(folder)
    for number in range(repeats):
        values = yaml.safe_load(job.read_text())
        again = folder / f"start-{number}.yaml"
        again.write_text(yaml.safe_dump({**values, "output": {"uri": f"start-index-{number}"}}))
        yield _measure(again, folder / f"stamps-{number}")


def _measure(job: Path, stamps: Path) -> StartFigures:
    began = time.monotonic()
    command = [sys.executable, "-m", "framegate.pipelines.lab.bench.start", str(job), str(stamps)]
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(command, stdout=said, stderr=said)
        spent: dict[int, float] = {}
        while run.poll() is None:
            spent |= cpu_seconds(run.pid, with_ray=True)
            time.sleep(SAMPLE_SECONDS)
        ended = time.monotonic()
        said.seek(0)
        if run.returncode:
            raise FramegateError(f"the run ended with {run.returncode}: {said.read()[-2000:]}")
    times = sorted(json.loads(line) for line in stamps.read_text().splitlines())
    ends = {name: at for at, name in times} | {"exit": ended}
    if missing := [name for name in STEPS if name not in ends]:
        raise FramegateError(f"the run never came to {', '.join(missing)}: the figures would be of no worth")
    steps, before = {}, began
    for name in STEPS:
        steps[name] = round(ends[name] - before, 3)
        before = ends[name]
    return StartFigures(steps=steps, seconds=round(ended - began, 3), cpu_seconds=round(sum(spent.values()), 3))


@dataclass(frozen=True)
class Stamps:
    """A file of the times at which steps ended; several processes may add to it."""

    path: str

    def end(self, name: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps([time.monotonic(), name]) + "\n")


@dataclass(frozen=True)
class TimedFactory:
    """Makes the engine in a worker, and says when that begins and ends."""

    make: Callable[[], Any]
    stamps: Stamps

    def __call__(self) -> Any:
        self.stamps.end("workers")
        engine = self.make()
        self.stamps.end("model")
        return engine


def main(job_file: str, stamps_file: str) -> None:
    """One run with its steps stamped."""
    stamps = Stamps(stamps_file)
    stamps.end("interpreter")
    from framegate.pipelines import flow
    from framegate.pipelines.driver.cluster import start_ray
    from framegate.pipelines.driver.session import end_own_session
    from framegate.pipelines.lab.bench.start import Stamps as SharedStamps
    from framegate.pipelines.lab.bench.start import TimedFactory as SharedFactory
    from framegate.pipelines.reason.engines.build import make_engine_factory
    from framegate.pipelines.reason.strategies.build import make_strategy
    from framegate.schemas.job import load_job
    from framegate.schemas.run import Phase, Progress

    job = load_job(job_file)
    make = make_engine_factory(job.config, make_strategy(job.config.gate), job.questions)
    stamps.end("imports")
    import ray.data  # noqa: F401 (it takes its time here, and not in the next step)

    stamps.end("ray_import")
    start_ray(job.config.ray)
    stamps.end("ray_start")

    ended_by = {Phase.PLANNING: "starting", Phase.LOADING: "planning", Phase.WORKING: "first_unit"}
    ended_by |= {Phase.SEALING: "working", Phase.RECORDING: "sealing"}

    def on_phase(progress: Progress) -> None:
        if progress.phase in ended_by:
            stamps.end(ended_by[progress.phase])

    # The classes of the module, not of this program, so that a worker finds them by their name.
    factory = SharedFactory(make, SharedStamps(stamps_file))
    summary = flow.run(job, engine_factory=factory, on_phase=on_phase)
    stamps.end("recording")
    if not summary.counts.num_answers:
        raise SystemExit("the film was not answered")
    end_own_session(keep=False)
    stamps.end("ray_end")


if __name__ == "__main__":
    main(*sys.argv[1:])
