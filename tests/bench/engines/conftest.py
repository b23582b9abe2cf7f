"""One tiny checkpoint of each family for all tests of the engines' benchmark, and one piece of work of seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.bench.engines.checkpoint import MadeCheckpoint, make_checkpoint
from pipelines.bench.engines.machine import Machine
from pipelines.bench.engines.measure import EngineBench
from pipelines.bench.engines.run import Interpreters
from pipelines.bench.engines.shapes import FAMILY_NAMES
from pipelines.bench.engines.task import Task
from pipelines.bench.engines.work import EngineWork

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
