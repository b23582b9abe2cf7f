"""The vLLM engine, where vLLM is installed: `make test-vllm`. Anywhere else nothing here is collected.

Everything runs in this process, on the CPU, in float32. vLLM has one model per process: a test that asks for another
one than the test before pays two seconds.
"""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from framegate.schemas.qa import Answer

if TYPE_CHECKING:
    from framegate.pipelines.reason.engines.protocol import Engine
    from framegate.pipelines.reason.engines.vllm.model import VllmModel
    from framegate.pipelines.reason.questions import ClipRequest
    from framegate.pipelines.reason.strategies.protocol import Strategy

HAS_VLLM = importlib.util.find_spec("vllm") is not None
if HAS_VLLM:
    # Before anything imports torchvision; transformers does so wherever it can.
    from framegate.pipelines.reason.engines.vllm.cpu import declare_torchvision_operators

    declare_torchvision_operators()
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str | None:
    return None if HAS_VLLM else "tests/vllm: left out, vLLM is not installed here (make test-vllm)"


def pytest_configure(config: pytest.Config) -> None:
    """What vLLM and torch warn of on their way is theirs; our warnings stay errors."""
    for category in ("DeprecationWarning", "FutureWarning", "UserWarning"):
        for package in ("vllm", "torch"):
            config.addinivalue_line("filterwarnings", f"ignore::{category}:{package}\\..*")
    # Sockets of a core that was a process of its own are closed by the garbage collector, which says so.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Exception ignored in. <function Context.__del__:pytest.PytestUnraisableExceptionWarning",
    )


@pytest.fixture(scope="session", autouse=True)
def collected() -> Iterator[None]:
    """Sockets that nobody closed are told of while the filters above hold, and not when pytest is about to leave."""
    yield
    gc.collect()


LoadModel = Callable[..., "VllmModel"]
EAGER = {"enforce_eager": True}  # compiling takes longer than all that these tests run


@pytest.fixture(scope="session")
def load_model() -> Iterator[LoadModel]:
    """`load_model(folder, max_num_seqs=4)`: the model in vLLM, built anew where folder or arguments are other ones."""
    from framegate.pipelines.reason.engines.vllm.model import VllmModel

    loaded: dict[str, Any] = {}

    def load(folder: Path | str, **engine_args: Any) -> VllmModel:
        if loaded.get("asked") != (folder, engine_args) or loaded["model"]._llm is None:  # another one has closed it
            loaded.clear()
            loaded["model"] = VllmModel(
                str(folder),
                revision=None,
                dtype="float32",
                context_tokens=2048,
                clip_tokens=1024,
                engine_args=EAGER | engine_args,
            )
            loaded["asked"] = (folder, engine_args)
        return loaded["model"]

    yield load
    if loaded:
        loaded["model"].close()


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`taught(family)`: the folder of a checkpoint that boxes its answers; see tests.small_checkpoints."""
    from tests.small_checkpoints import make_taught_checkpoint

    return cache(lambda family: make_taught_checkpoint(family, tmp_path_factory.mktemp(f"taught-{family}")))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    from tests.small_checkpoints import make_random_checkpoint

    return cache(lambda family: make_random_checkpoint(family, tmp_path_factory.mktemp(f"random-{family}")))


@dataclass
class Outcome:
    """What came back from an engine, by (request id, question id)."""

    answers: dict[tuple[str, str], Answer]
    failures: dict[tuple[str, str], tuple[str | None, str | None]]


def run_engine(engine: Engine, strategy: Strategy, requests: Iterable[ClipRequest]) -> Outcome:
    """Add the requests and step until nothing is left."""
    from framegate.pipelines.reason.questions import QuestionRunner

    runner = QuestionRunner(engine, strategy)
    for request in requests:
        runner.add(request)
    outcome = Outcome({}, {})
    while runner.num_unfinished:
        for finished in runner.step():
            key = (finished.request_id, finished.question.id)
            assert key not in outcome.answers
            assert key not in outcome.failures
            if finished.answer is not None:
                outcome.answers[key] = finished.answer
            else:
                outcome.failures[key] = (finished.failure_reason, finished.failure_message)
    return outcome


def differences(one: Answer, other: Answer, *, tolerance: float = 1e-3) -> list[str]:
    """The fields in which two engines' answers to one question differ; times are the engines' own."""
    found = []
    for field in fields(Answer):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("engine_seconds", "prompt_seconds", "thinking_seconds"):
            continue
        if field.name == "verdict":
            mine, theirs = (mine.route, mine.reason), (theirs.route, theirs.reason)
        close = isinstance(mine, float) and isinstance(theirs, float) and abs(mine - theirs) <= tolerance
        if mine != theirs and not close:
            found.append(f"{field.name}: {mine!r} and {theirs!r}")
    return found
