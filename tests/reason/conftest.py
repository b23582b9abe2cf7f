"""Small checkpoints of both families, made here: random ones for equality, a taught one that really boxes answers."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.engines.protocol import ClipRequest
from framegate.schemas.config import GateConfig
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


@dataclass
class Outcome:
    """What came back from an engine, by (request id, question id), and every sequence that ran."""

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

    def engine(
        self, source: Path | Checkpoint, gate: GateConfig, *, num_slots: int = 4, memory_bytes: int | None = None
    ) -> TransformersEngine:
        return TransformersEngine(
            source if isinstance(source, Checkpoint) else self.load(source),
            system_prompt=SYSTEM_PROMPT,
            gate=gate,
            frames=LIMITS,
            num_slots=num_slots,
            memory_bytes=memory_bytes,
        )

    def run(self, engine: TransformersEngine, requests: Iterable[ClipRequest] = ()) -> Outcome:
        """Add the requests and step until nothing is left."""
        for request in requests:
            engine.add(request)
        outcome = Outcome({}, {}, {})
        num_steps = 0
        while engine.num_unfinished:
            num_steps += 1
            assert num_steps < 2000, f"{engine.num_unfinished} questions never come back"
            for finished in engine.step():
                key = (finished.request_id, finished.question.id)
                assert key not in outcome.answers
                assert key not in outcome.failures
                if finished.answer is not None:
                    outcome.answers[key] = finished.answer
                else:
                    outcome.failures[key] = (finished.failure_reason, finished.failure_message)
            for sequence in engine.sequences:
                outcome.token_ids[sequence.request_id, sequence.question.id] = sequence.token_ids
        return outcome


@pytest.fixture(scope="session")
def bench() -> Workbench:
    return Workbench()
