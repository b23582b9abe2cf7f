"""`bench engines`: runs all systems on the same work or over a range of it, and measures what the gate itself costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from framegate.pipelines.lab.bench.engines.checkpoint import MadeCheckpoint
from framegate.pipelines.lab.bench.engines.floor import read_model_size
from framegate.pipelines.lab.bench.engines.machine import Machine
from framegate.pipelines.lab.bench.engines.report import make_rows
from framegate.pipelines.lab.bench.engines.run import Interpreters, OnRun, run_in_turn, run_once
from framegate.pipelines.lab.bench.engines.shapes import MAX_POSITIONS
from framegate.pipelines.lab.bench.engines.task import Outcome, Task
from framegate.pipelines.lab.bench.engines.thresholds import choose_threshold, measure_confidences
from framegate.pipelines.lab.bench.engines.work import EngineWork
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.schemas.errors import ConfigError, EngineError

Axis = Literal["think-rate", "questions", "frames"]
RANGES: dict[Axis, tuple[float, ...]] = {
    "think-rate": (0.0, 0.25, 0.5, 0.75, 1.0),
    "questions": (1, 2, 4, 8, 16, 32),
    "frames": (8, 16, 32, 64, 128),
}
# The same engine twice each, by its strategy.
GATING_PAIRS = {"transformers": "transformers_gated", "vllm": "vllm_gated"}
NOTES = (
    "two_call and generate_always cut frames with this package's preprocessing, once per clip, and are given the"
    " published positions: both is kind to them; the first costs no torchvision, the second makes the tokens the same."
)


@dataclass(frozen=True, kw_only=True)
class EngineBench:
    """One checkpoint on one machine. `on_run` is called before every run. `num_slots` as in Task."""

    checkpoint: MadeCheckpoint
    machine: Machine
    dtype: str
    device: str
    interpreters: Interpreters
    on_run: OnRun
    num_slots: int | None = None

    def measure(
        self, work: EngineWork, systems: Sequence[str], *, think_rate: float, num_repeats: int
    ) -> list[dict[str, Any]]:
        """A row for each system, with the threshold of its implementation or None. A system without a result has a
        complaint that says why. Raises ConfigError."""
        check_work(work, self.checkpoint.folder)
        confidences = self._measure_confidences(work, systems)
        return self._measure(work, systems, confidences, think_rate=think_rate, num_repeats=num_repeats)

    def scale(
        self, work: EngineWork, systems: Sequence[str], axis: Axis, *, think_rate: float, num_repeats: int
    ) -> list[dict[str, Any]]:
        """The rows of `measure` for each value of RANGES[axis], with that value as their first column. Raises
        ConfigError before anything is run."""
        works = [work_at(work, axis, value) for value in RANGES[axis]]
        for changed in works:
            check_work(changed, self.checkpoint.folder)
        confidences: dict[EngineWork, dict[str, list[float] | str]] = {}
        rows = []
        for value, changed in zip(RANGES[axis], works, strict=True):
            if changed not in confidences:  # another think rate is no other work
                confidences[changed] = self._measure_confidences(changed, systems)
            some = self._measure(
                changed,
                systems,
                confidences[changed],
                think_rate=value if axis == "think-rate" else think_rate,
                num_repeats=num_repeats,
            )
            rows += [{axis.replace("-", "_"): value, **row} for row in some]
        return rows

    def gating_cost(self, work: EngineWork, engines: Sequence[str], *, num_pairs: int) -> list[dict[str, Any]]:
        """The time of the gate where every question thinks, beside the same engine without a gate.

        A row per engine has the median seconds of both and their ratio, or a complaint. The two run in turn, and which
        of them goes first alternates. Raises ConfigError.
        """
        check_work(work, self.checkpoint.folder)
        rows = []
        for number, engine in enumerate(engines):
            try:
                figures = self._cost_of_gate(engine, work, num_pairs, num_done=number * 2 * num_pairs)
            except EngineError as error:
                names = ("gated_seconds", "always_seconds", "ratio", "versions")
                figures = {**dict.fromkeys(names), "complaint": str(error)}
            rows.append({"engine": engine, "num_pairs": num_pairs, **figures})
        return rows

    def header(
        self, work: EngineWork, rows: Sequence[Mapping[str, Any]], *, think_rate: float | None
    ) -> dict[str, Any]:
        """The conditions of the rows: machine, model, work, versions."""
        versions: dict[str, set[str]] = {}
        for row in rows:
            for name, version in (row.get("versions") or {}).items():
                versions.setdefault(name, set()).add(version)  # vLLM may have its own torch
        return {
            "device": self.machine.device,
            "num_cores": self.machine.num_cores,
            "num_threads": self.machine.num_threads,
            "read_bytes_per_second": self.machine.read_bytes_per_second,
            "matrix_operations_per_second": self.machine.matrix_operations_per_second,
            "family": self.checkpoint.family,
            "num_parameters": self.checkpoint.num_parameters,
            "dtype": self.dtype,
            "versions": {name: " and ".join(sorted(found)) for name, found in versions.items()},
            "work": asdict(work),
            "think_rate": think_rate,
            "num_slots": self.num_slots,
            "notes": NOTES,
        }

    def _measure_confidences(self, work: EngineWork, systems: Sequence[str]) -> dict[str, list[float] | str]:
        return measure_confidences(systems, self._task("", work, 0.0), self.interpreters, on_run=self.on_run)

    def _measure(
        self,
        work: EngineWork,
        systems: Sequence[str],
        confidences: Mapping[str, list[float] | str],
        *,
        think_rate: float,
        num_repeats: int,
    ) -> list[dict[str, Any]]:
        thresholds: dict[str, float] = {}
        complaints: dict[str, list[Outcome | str]] = {}
        for system, some in confidences.items():
            if isinstance(some, str):
                complaints[system] = [some]
            else:
                thresholds[system] = choose_threshold(some, think_rate)
        tasks = [
            self._task(system, work, thresholds.get(system, 0.0)) for system in systems if system not in complaints
        ]
        outcomes = run_in_turn(tasks, self.interpreters, num_repeats=num_repeats, on_run=self.on_run) | complaints
        rows = make_rows(
            {system: outcomes[system] for system in systems},
            work=work,
            size=read_model_size(self.checkpoint.folder),
            machine=self.machine,
            dtype=self.dtype,
        )
        return [{**row, "threshold": thresholds.get(row["system"])} for row in rows]

    def _cost_of_gate(self, engine: str, work: EngineWork, num_pairs: int, *, num_done: int) -> dict[str, Any]:
        task = self._task(GATING_PAIRS[engine], work, 1.0)
        seconds: dict[str, list[float]] = {"gated": [], "always_think": []}
        versions: dict[str, str] = {}
        for pair in range(num_pairs):
            for strategy in sorted(seconds, reverse=pair % 2 == 0):
                self.on_run(f"{engine} {strategy}", num_done)
                outcome = run_once(replace(task, strategy=strategy), self.interpreters)
                _check_that_all_thought(outcome, work)
                seconds[strategy].append(outcome.seconds)
                versions = outcome.versions
                num_done += 1
        gated, always = (statistics.median(seconds[strategy]) for strategy in ("gated", "always_think"))
        return {
            "gated_seconds": gated,
            "always_seconds": always,
            "ratio": gated / always,
            "versions": versions,
            "complaint": None,
        }

    def _task(self, system: str, work: EngineWork, threshold: float) -> Task:
        return Task(
            system=system,
            checkpoint=str(self.checkpoint.folder.absolute()),
            work=work,
            threshold=threshold,
            dtype=self.dtype,
            device=self.device,
            num_threads=self.machine.num_threads,
            num_slots=self.num_slots,
        )


def work_at(work: EngineWork, axis: Axis, value: float) -> EngineWork:
    """The work with another number of what `axis` counts; a think rate is no part of it."""
    if axis == "questions":
        return replace(work, num_questions=int(value))
    return replace(work, num_frames=int(value)) if axis == "frames" else work


def check_work(work: EngineWork, folder: Path) -> None:
    """Raises ConfigError where the checkpoint in `folder` cannot take the work as it is."""
    grid = read_vision_grid(str(folder))
    if work.size % grid.factor:
        raise ConfigError(f"--size: {work.size} is no multiple of {grid.factor}, which this model's frames must be")
    steps = -(-work.num_frames // grid.temporal_patch)
    num_tokens = steps * (work.size // grid.factor) ** 2 + work.num_written
    if num_tokens > MAX_POSITIONS // 2:
        raise ConfigError(
            f"{work.num_frames} frames of {work.size} pixels square and what is written are {num_tokens} tokens;"
            f" at most {MAX_POSITIONS // 2} are possible: give fewer --frames, a smaller --size or fewer tokens"
        )


def _check_that_all_thought(outcome: Outcome, work: EngineWork) -> None:
    num_thinking = sum(one.thinks for one in outcome.written)
    if num_thinking != work.num_asked:
        raise EngineError(f"{num_thinking} of {work.num_asked} questions thought, and all of them must")
