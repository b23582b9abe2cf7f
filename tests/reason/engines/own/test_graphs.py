"""Captured token steps: replayed from fixed buffers they write what the steps themselves write, or are not used.

Real graphs need a GPU. Here a capture keeps the step and its buffers, and a replay runs it again over those buffers:
all but the graph itself is as on CUDA.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import pytest
import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.schemas.qa import Question

GATE = AlwaysThink(max_answer_tokens=6, max_thinking_tokens=20)
QUESTIONS = (
    Question(id="q0", text="Did the red crate come first?", type="yes_no"),
    Question(id="q1", text="Where is the parcel now?", type="choice", options=("a", "b", "c")),
    Question(id="q2", text="When?", type="span"),
)


class Recorder:
    """A capture without a GPU; counts, and can be made to lie or to fail."""

    def __init__(self, *, offset: float = 0.0, error: Exception | None = None) -> None:
        self.offset, self.error = offset, error
        self.num_captures = self.num_replays = 0

    def __call__(self, step: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        if self.error is not None:
            raise self.error
        self.num_captures += 1
        output = torch.empty_like(step())

        def replay() -> None:
            self.num_replays += 1
            output.copy_(step() + self.offset * torch.arange(output.shape[1]))

        return replay, output


def runner_with(bench, source, capture):
    return bench.runner(source, GATE, num_slots=6, capture=capture)


@pytest.fixture
def requests(bench):
    chance = random.Random(3)
    return [
        bench.make_request(
            number,
            QUESTIONS[: chance.randint(1, 3)],
            num_frames=chance.choice([2, 4, 8]),
            size=chance.choice([(64, 64), (64, 96), (32, 32)]),
        )
        for number in range(9)
    ]


def test_replayed_steps_write_the_same_tokens(bench, random_checkpoint, requests):
    recorder = Recorder()
    replayed = bench.run(runner_with(bench, random_checkpoint, recorder), requests)
    plain = bench.run(runner_with(bench, random_checkpoint, None), requests)
    assert replayed.token_ids == plain.token_ids
    assert recorder.num_replays > 2 * recorder.num_captures > 0


@pytest.mark.parametrize("trouble", [{"offset": 1.0}, {"offset": float("nan")}, {"error": RuntimeError("no")}], ids=str)
def test_a_graph_that_lies_or_fails_is_not_used_and_said_once(bench, random_checkpoint, requests, trouble, caplog):
    recorder = Recorder(**trouble)
    with caplog.at_level(logging.WARNING):
        outcome = bench.run(runner_with(bench, random_checkpoint, recorder), requests)
    plain = bench.run(runner_with(bench, random_checkpoint, None), requests)
    assert outcome.token_ids == plain.token_ids
    assert recorder.num_replays <= 1
    assert len([record for record in caplog.records if "steps run without graphs" in record.message]) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
def test_graphs_on_cuda_write_what_the_cpu_writes(bench, random_checkpoint, requests):
    checkpoint = Checkpoint(str(random_checkpoint), revision=None, dtype="float32", device="cuda")
    on_cuda = bench.run(runner_with(bench, checkpoint, None), requests)
    assert on_cuda.token_ids == bench.run(runner_with(bench, random_checkpoint, None), requests).token_ids
