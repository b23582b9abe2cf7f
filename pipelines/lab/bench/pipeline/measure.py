"""Whole runs and their two parts: the cost of decoding and answering at the same time.

Each turn runs the same flow on Ray three times, one after the other:

    whole    as it is
    decode   with an engine that answers at once, so that decoding alone takes time
    engine   over units that were decoded before and lie in the object store, so that the engine alone takes time

The clock is the same for all. It starts when all processes are up and the model is loaded and has answered one unit,
and it stops at the last receipt. Planning, starting and loading count in `wall_seconds`. Nothing is sealed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.driver.blocks import unpack
from framegate.pipelines.driver.cluster import Shares, start_ray, unwrap
from framegate.pipelines.driver.ray_dataset import answer_units, decode_videos
from framegate.pipelines.lab.bench.pipeline.stages import (
    OWN_COLUMNS,
    StartLine,
    WaitingDecode,
    WarmCommit,
    write_warm_up,
)
from framegate.pipelines.lab.bench.processes import cpu_seconds
from framegate.pipelines.plan.plan import make_plan
from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.occupancy import STATES
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.worker.attempts import Attempts
from framegate.schemas.errors import FramegateError
from framegate.schemas.job import Job
from framegate.schemas.run import Plan

KINDS = ("whole", "decode", "engine")
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One of KINDS, once.

    seconds        of the clock; `wall_seconds` with planning, start of processes and loading
    cpu_seconds    of all processes below this one while the clock ran
    engine_states  seconds of all engines together in each of `occupancy.STATES`
    """

    kind: str
    turn: int
    seconds: float
    wall_seconds: float
    cpu_seconds: float
    num_units: int
    num_clips: int
    num_questions: int
    num_thinking: int
    num_failures: int
    engine_states: dict[str, float]


class Pipeline:
    """A job to run, with its units decoded once for the runs of the engine alone. Outputs go below `folder`."""

    def __init__(self, job: Job, folder: Path, *, engine_factory: EngineFactory | None = None) -> None:
        self._job = job
        self._folder = folder
        self._strategy = make_strategy(job.config.gate)
        self._engine_factory = engine_factory or make_engine_factory(job.config, self._strategy, job.questions)
        self._shares: Shares = start_ray(job.config.ray)
        self._warm_up = folder / "warm-up.arrow"
        self._num_run = 0
        planned = self._plan(self._output())
        if not planned.videos.num_rows:
            raise FramegateError("there is no video to measure")
        self._units = self._decode(planned)
        self._write_warm_up()

    def measure(self, kind: str, turn: int) -> Measured:
        """One run of one kind. Raises FramegateError where a worker fails."""
        from ray.exceptions import RayError

        began = time.monotonic()
        output = self._output()
        planned = self._plan(output)
        num_decoding = 0 if kind == "engine" else min(self._job.config.ray.decode_workers, planned.videos.num_rows)
        num_workers = num_decoding + self._job.config.ray.reason_actors.max
        line = StartLine(folder=output / "ready", num_workers=num_workers)
        line.folder.mkdir(parents=True)
        receipts = self._receipts(kind, planned, output, line)
        clock = _Clock(line)
        try:
            with closing(receipts):
                rows = list(receipts)
                clock.stop()
        except RayError as error:
            raise unwrap(error) from error
        return Measured(
            kind=kind,
            turn=turn,
            seconds=clock.seconds,
            wall_seconds=time.monotonic() - began,
            cpu_seconds=clock.cpu_seconds,
            num_units=len(rows),
            num_clips=sum(row["num_clips"] for row in rows),
            num_questions=sum(row["num_answers"] + row["num_failures"] for row in rows),
            num_thinking=sum(row["num_thinking"] for row in rows),
            num_failures=sum(row["num_failures"] for row in rows),
            engine_states=_sum_states(rows, clock.seconds),
        )

    def _output(self) -> Path:
        self._num_run += 1
        return self._folder / f"run-{self._num_run}"

    def _plan(self, output: Path) -> Plan:
        job = _with_output(self._job, output)
        indexes = ShardIndexCache.of(job.config.output)
        return make_plan(job, flow.choose(job, self._strategy), indexes, limit=None, retry_failed=False)

    def _workers(self, planned: Plan, output: Path, factory: EngineFactory) -> tuple[Any, Any]:
        job = _with_output(self._job, output)
        written = Output.open(job.config.output)
        attempts = Attempts(output=written, config_id=planned.config_id, run_id=output.name)
        return flow.make_workers(job, planned, attempts, self._strategy, factory)

    def _receipts(self, kind: str, planned: Plan, output: Path, line: StartLine) -> Generator[dict[str, Any]]:
        factory = ScriptedEngine if kind == "decode" else self._engine_factory
        decode, answer = self._workers(planned, output, factory)
        ray_config = self._job.config.ray
        units = self._units
        if kind != "engine":
            decode = partial(WaitingDecode, line=line, **decode.keywords)
            units = decode_videos(ray_config, planned.videos, decode, self._shares)
        answer = partial(WarmCommit, line=line, warm_up=self._warm_up, **answer.keywords)
        dataset = answer_units(ray_config, units, answer, self._shares)
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from unpack(batch).to_pylist()

    def _decode(self, planned: Plan) -> Any:
        decode, _ = self._workers(planned, self._output(), self._engine_factory)
        return decode_videos(self._job.config.ray, planned.videos, decode, self._shares).materialize()

    def _write_warm_up(self) -> None:
        """Store the first unit that was decoded. Raises FramegateError where no video could be decoded."""
        for batch in self._units.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
            units = unpack(batch)
            decoded = units.filter(units.column("failure").is_null())
            if decoded.num_rows:
                write_warm_up(decoded.slice(0, 1), self._warm_up)
                return
        raise FramegateError("none of the videos could be decoded: there is nothing for an engine to do")


class _Clock:
    """Starts when the last worker is ready. Reads the processor time of all processes again and again, because that of
    a process can no longer be read once it has ended."""

    def __init__(self, line: StartLine) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self._line = line
        self._began: float | None = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        ended = time.monotonic()
        self._ends.set()
        self._thread.join()
        if self._began is None:
            raise FramegateError("the workers were not ready in time; look at the log of Ray")
        self.seconds = ended - self._began

    def _run(self) -> None:
        try:
            self._line.wait()
        except TimeoutError:
            return
        self._began = time.monotonic()
        before = cpu_seconds(os.getpid())
        after = dict(before)
        while not self._ends.wait(LOOK_SECONDS):
            after |= cpu_seconds(os.getpid())
        after |= cpu_seconds(os.getpid())
        self.cpu_seconds = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def _with_output(job: Job, output: Path) -> Job:
    config = job.config
    uri = config.output.model_copy(update={"uri": str(output)})
    return Job(config=config.model_copy(update={"output": uri}), questions=job.questions)


def _sum_states(rows: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    """The seconds of all engines by state, from the last receipt of each, without the wait for the other workers."""
    last: dict[str, dict[str, float]] = {}
    worker, states = OWN_COLUMNS
    for row in rows:
        found = json.loads(row[states])
        if sum(found.values()) > sum(last.get(row[worker], {}).values()):
            last[row[worker]] = found
    total = dict.fromkeys(STATES, 0.0)
    for found in last.values():
        found["before_first"] = max(0.0, found["before_first"] - max(0.0, sum(found.values()) - seconds))
        for state, spent in found.items():
            total[state] += spent
    return total


@contextmanager
def open_pipeline(job: Job, folder: Path) -> Iterator[Pipeline]:
    """A pipeline on Ray, which is ended afterwards where it did not run before."""
    import ray

    was_running = ray.is_initialized()
    try:
        yield Pipeline(job, folder)
    finally:
        if not was_running:
            ray.shutdown()


def measure_turns(
    pipeline: Pipeline, num_turns: int, *, on_measured: Callable[[Measured], None] | None = None
) -> Iterator[list[Measured]]:
    """Yields turns. Each runs every one of KINDS, and the order changes from turn to turn."""
    for turn in range(num_turns):
        order = [*KINDS[turn % len(KINDS) :], *KINDS[: turn % len(KINDS)]]
        measured = []
        for kind in order:
            measured.append(pipeline.measure(kind, turn + 1))
            if on_measured:
                on_measured(measured[-1])
        yield sorted(measured, key=lambda one: KINDS.index(one.kind))
