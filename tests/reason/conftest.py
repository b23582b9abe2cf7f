"""Small checkpoints of both families, made here: random ones for equality, a taught one that really boxes answers."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.engines.own.request import Request
from framegate.pipelines.reason.questions import ClipRequest, QuestionRunner
from framegate.pipelines.reason.strategies.protocol import FinishedAsk, Strategy
from framegate.schemas.qa import Answer
from tests.small_checkpoints import (
    FAMILY_NAMES,
    LIMITS,
    SILENT,
    SURE,
    SYSTEM_PROMPT,
    UNSURE,
    load_checkpoint,
    make_prefix,
    make_random_checkpoint,
    make_request,
    make_taught_checkpoint,
)


@pytest.fixture(scope="session")
def random_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint folder per family."""
    return {name: make_random_checkpoint(name, tmp_path_factory.mktemp(name)) for name in FAMILY_NAMES}


@pytest.fixture(scope="session", params=FAMILY_NAMES)
def random_checkpoint(request: pytest.FixtureRequest, random_checkpoints: dict[str, Path]) -> Path:
    return random_checkpoints[request.param]


@pytest.fixture(scope="session", params=FAMILY_NAMES)
def taught_checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_taught_checkpoint(request.param, tmp_path_factory.mktemp("taught"))


@pytest.fixture
def copied(random_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of a test's own, to spoil."""
    return shutil.copytree(random_checkpoint, tmp_path / "checkpoint")


class Recorded:
    """A strategy that keeps what was written for each ask that came back, by (clip id, question id)."""

    def __init__(self, strategy: Strategy) -> None:
        self.token_ids: dict[tuple[str, str], list[int]] = {}
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        for one in finished:
            course = getattr(one.course, "inner", one.course)  # of a course inside of another
            self.token_ids[one.ask.clip.id, one.ask.question.id] = course.token_ids
        return self._strategy.after(finished, num_open)


class RecordingRunner(QuestionRunner):
    """Questions over our own engine, with all that was written."""

    engine: TransformersEngine

    def __init__(self, engine: TransformersEngine, strategy: Strategy) -> None:
        recorded = Recorded(strategy)
        super().__init__(engine, recorded)
        self.token_ids = recorded.token_ids

    @property
    def running(self) -> Sequence[Request]:
        return self.engine.running


@dataclass
class Outcome:
    """What came back, by (request id, question id), and what was written for it."""

    answers: dict[tuple[str, str], Answer]
    failures: dict[tuple[str, str], tuple[str | None, str | None]]
    token_ids: dict[tuple[str, str], list[int]]


@dataclass(frozen=True)
class Workbench:
    """What the tests of the engine share: clips, questions and engines over the small checkpoints."""

    sure = SURE
    unsure = UNSURE
    silent = SILENT
    system_prompt = SYSTEM_PROMPT
    limits = LIMITS
    make_request = staticmethod(make_request)
    make_prefix = staticmethod(make_prefix)
    load = staticmethod(functools.cache(load_checkpoint))

    def engine(self, source: Path | Checkpoint, *, num_slots: int | None = 4, **settings: Any) -> TransformersEngine:
        return TransformersEngine(
            source if isinstance(source, Checkpoint) else self.load(source),
            num_slots=num_slots,
            **{"system_prompt": SYSTEM_PROMPT, "frames": LIMITS, **settings},
        )

    def runner(self, source: Path | Checkpoint, strategy: Strategy, **settings: Any) -> RecordingRunner:
        return RecordingRunner(self.engine(source, **settings), strategy)

    def run(self, runner: RecordingRunner, requests: Iterable[ClipRequest] = ()) -> Outcome:
        """Add the requests and step until nothing is left."""
        for request in requests:
            runner.add(request)
        outcome = Outcome({}, {}, runner.token_ids)
        num_steps = 0
        while runner.num_unfinished:
            num_steps += 1
            assert num_steps < 2000, f"{runner.num_unfinished} questions never come back"
            for finished in runner.step():
                key = (finished.request_id, finished.question.id)
                assert key not in outcome.answers
                assert key not in outcome.failures
                if finished.answer is not None:
                    outcome.answers[key] = finished.answer
                else:
                    outcome.failures[key] = (finished.failure_reason, finished.failure_message)
        return outcome


@pytest.fixture(scope="session")
def bench() -> Workbench:
    return Workbench()
