"""What tests of the engines' benchmark share: a tiny checkpoint of each family, small work, runs without a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines.lab.bench.engines import measure, run, thresholds
from framegate.pipelines.lab.bench.engines.checkpoint import MadeCheckpoint, make_checkpoint
from framegate.pipelines.lab.bench.engines.machine import Machine
from framegate.pipelines.lab.bench.engines.measure import EngineBench
from framegate.pipelines.lab.bench.engines.run import Interpreters
from framegate.pipelines.lab.bench.engines.shapes import FAMILY_NAMES
from framegate.pipelines.lab.bench.engines.systems import VLLM_SYSTEMS
from framegate.pipelines.lab.bench.engines.task import Outcome, Task, Written
from framegate.pipelines.lab.bench.engines.work import EngineWork
from framegate.schemas.errors import EngineError

# What each implementation adds to a confidence by rounding: one threshold for all would make 1, 2 and 3 think.
ROUNDING = {"two_call": 0.0, "generate": 0.0, "transformers": -0.15, "vllm": 0.15}
MACHINE = Machine(
    device="a machine", num_cores=2, num_threads=2, read_bytes_per_second=1000.0, matrix_operations_per_second=20_000.0
)


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {family: make_checkpoint(folder / family, family, 1_000_000, seed=1).folder for family in FAMILY_NAMES}


@pytest.fixture(scope="session")
def tiny_work() -> Callable[[str], EngineWork]:
    """`tiny_work(family)`: 6 questions, in frames that are a few tokens of that family."""

    def make(family: str) -> EngineWork:
        size = {"qwen2_5_vl": 56, "qwen3_vl": 64}[family]
        return EngineWork(
            num_videos=2, num_questions=3, num_frames=4, size=size, num_answer_tokens=5, num_thinking_tokens=9
        )

    return make


@pytest.fixture(scope="session")
def make_task(tiny_checkpoints: dict[str, Path], tiny_work: Callable[[str], EngineWork]) -> Callable[..., Task]:
    """`make_task(family, system, threshold=0.5)`, in float32 so that rounding decides nothing."""

    def make(family: str, system: str, threshold: float = 0.5) -> Task:
        return Task(
            system=system,
            checkpoint=str(tiny_checkpoints[family]),
            work=tiny_work(family),
            threshold=threshold,
            dtype="float32",
            device="cpu",
            num_threads=1,
        )

    return make


@pytest.fixture
def bench(tiny_checkpoints: dict[str, Path]) -> EngineBench:
    made = MadeCheckpoint(folder=tiny_checkpoints["qwen3_vl"], family="qwen3_vl", num_parameters=1)
    return EngineBench(
        checkpoint=made, machine=MACHINE, dtype="float32", device="cpu", interpreters=Interpreters(vllm=None),
        on_run=lambda what, num_done: None,
    )  # fmt: skip


class Runs:
    """In place of the processes that would do the tasks. Confidences are 0.1, 0.2, ... before rounding."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.fails: Callable[[Task], bool] = lambda task: False

    def __call__(self, task: Task, interpreters: Interpreters) -> Outcome:
        self.tasks.append(task)
        if self.fails(task):
            raise EngineError(f"{task.system} ended with 1")
        [rounding] = [value for name, value in ROUNDING.items() if task.system.startswith(name)]
        strategy = task.strategy or task.system.rpartition("_")[2]
        written = []
        for question in range(task.work.num_asked):
            confidence = 0.1 + 0.1 * question + rounding
            thinks = strategy.startswith("always") or (strategy != "direct" and confidence < task.threshold)
            written.append(
                Written(
                    request_id="clip", question_id=f"q{question}", token_ids=[1], confidence=confidence,
                    thinks=thinks, num_generated_tokens=1,
                )
            )  # fmt: skip
        return Outcome(
            load_seconds=1.0, seconds=1.0, written=written, peak_rss_bytes=1, peak_device_bytes=None, times=None,
            versions={"torch": "vLLM's" if task.system in VLLM_SYSTEMS else "ours"},
        )  # fmt: skip


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs()
    for module in (measure, run, thresholds):
        monkeypatch.setattr(module, "run_once", made)
    return made
