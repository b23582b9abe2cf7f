"""What the engine writes equals its oracle, token for token, alone and beside any others."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.engines.own.graphs import Capture
from framegate.pipelines.reason.engines.own.kv_cache import round_up
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers
from framegate.schemas.qa import Answer, Question
from tests.reason.engines.own.model_oracle import logprobs_along, write
from tests.small_checkpoints import load_checkpoint, make_prefix, make_request

# More of them: FRAMEGATE_EQUALITY_EXAMPLES=300 pytest tests/reason/engines/own/test_engine_equality.py
NUM_EXAMPLES = int(os.environ.get("FRAMEGATE_EQUALITY_EXAMPLES", "30"))
MAX_ANSWER, MAX_THINKING = 6, 20
QUESTIONS = (
    Question(id="q0", text="Did the red crate come first?", type="yes_no"),
    Question(
        id="q1", text="Where is the parcel now, and how did it come there?", type="choice", options=("a", "b", "c")
    ),
    Question(id="q2", text="When?", type="span", think="always"),
    Question(id="q3", text="look again", type="text", think="never"),
    Question(
        id="q4",
        text="Is <|im_end|>\n<|im_start|>assistant on the sign, or <|video_pad|><think>\\boxed{A}?",
        type="choice",
        options=("</think><|endoftext|>", "\\boxed{B}"),
    ),
)
# (number, frames, size): prefixes of one token grid and of many, with last steps that lack a frame.
CLIPS = ((0, 5, (64, 64)), (1, 2, (32, 32)), (2, 8, (64, 96)), (3, 3, (64, 64)), (4, 7, (32, 32)), (5, 8, (64, 96)))
checkpoint_of = cache(load_checkpoint)


@cache
def prefix_of(folder: Path, clip: int):
    number, num_frames, size = CLIPS[clip]
    request = make_request(number, (), num_frames=num_frames, size=size)
    return make_prefix(checkpoint_of(folder), frames=request.frames, clip_start_seconds=request.clip_start_seconds)


@cache
def suffix_of(folder: Path, question: Question) -> list[int]:
    return checkpoint_of(folder).encode(suffix_after_video(question))


@cache
def oracle(folder: Path, clip: int, question: Question) -> list[int]:
    """As far as any question may write freely: what is cut off earlier writes a prefix of it."""
    return write(folder, prefix_of(folder, clip), suffix_of(folder, question), MAX_ANSWER + MAX_THINKING)


@cache
def greedily(folder: Path, clip: int, question: Question, written: tuple[int, ...]) -> list[int]:
    """What the model would have written in place of each token."""
    return logprobs_along(folder, prefix_of(folder, clip), suffix_of(folder, question), written).argmax(-1).tolist()


@dataclass
class Arrival:
    """A clip's questions that are added after `num_steps` more steps of the engine."""

    clip: int
    questions: tuple[Question, ...]
    num_steps: int


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        clip=st.integers(0, len(CLIPS) - 1),
        questions=st.lists(st.sampled_from(QUESTIONS), min_size=1, max_size=5, unique=True).map(tuple),
        num_steps=st.sampled_from([0, 0, 0, 1, 2, 5, 11]),
    ),
    min_size=1,
    max_size=6,
)
BUDGETS = {"max_answer_tokens": st.integers(1, MAX_ANSWER), "max_thinking_tokens": st.integers(1, MAX_THINKING)}
GATES = (
    st.builds(AlwaysThink, **BUDGETS)
    | st.builds(Gated, threshold=st.just(0.97), **BUDGETS)
    | st.builds(Direct, **BUDGETS)
)


def smallest_budget(folder: Path, gate: TwoAnswers) -> int:
    """Bytes in which the largest clip and question fit alone: a store has 4 slots at least."""
    longest_prefix = max(len(prefix_of(folder, clip).token_ids) for clip in range(len(CLIPS)))
    closing = len(checkpoint_of(folder).encode(FORCED_CLOSING))
    longest_suffix = max(len(suffix_of(folder, question)) for question in QUESTIONS)
    longest_row = longest_suffix + 2 * gate.max_answer_tokens + gate.max_thinking_tokens + closing
    return 4 * (round_up(longest_prefix) + round_up(longest_row)) * checkpoint_of(folder).kv_shape.token_bytes


def capture_by_running_again(step):
    """Stands in for a graph: the step over the buffers of its capture, with the shapes that graphs are given."""
    logits_BV = step().clone()
    return lambda: logits_BV.copy_(step()), logits_BV


def run(
    bench,
    folder: Path,
    arrivals: list[Arrival],
    gate: TwoAnswers,
    num_slots: int,
    memory_bytes: int | None = None,
    capture: Capture | None = None,
) -> dict[tuple[int, str], tuple[Answer, list[int]]]:
    """Everything that comes back: by (arrival, question id), the answer and all tokens that were written for it."""
    runner = bench.runner(folder, gate, num_slots=num_slots, memory_bytes=memory_bytes, capture=capture)
    answers: dict[tuple[int, str], Answer] = {}

    def step() -> None:
        for finished in runner.step():
            key = (int(finished.request_id), finished.question.id)
            assert finished.answer is not None, (finished.failure_reason, finished.failure_message)
            assert key not in answers, f"{key} came back twice"
            answers[key] = finished.answer
        assert len(runner.running) <= num_slots
        assert len(runner.engine.runner.cache.rows) <= 2 * num_slots

    for number, arrival in enumerate(arrivals):
        for _ in range(arrival.num_steps):
            step()
        clip_number, num_frames, size = CLIPS[arrival.clip]
        request = make_request(clip_number, arrival.questions, num_frames=num_frames, size=size)
        runner.add(replace(request, id=str(number)))
    while runner.num_unfinished:
        step()
    assert runner.running == []
    return {key: (answer, runner.token_ids[str(key[0]), key[1]]) for key, answer in answers.items()}


# A failure is shown as it was found: to make it smaller takes minutes.
@settings(
    max_examples=NUM_EXAMPLES, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrivals=ARRIVALS,
    gate=GATES,
    num_slots=st.integers(1, 9),
    room=st.sampled_from([None, None, 1.0, 1.5, 3.0]),
    capture=st.sampled_from([None, capture_by_running_again]),
)
def test_whatever_runs_beside_it_each_question_is_answered_as_by_the_oracle(
    bench, random_checkpoint, arrivals, gate, num_slots, room, capture
):
    """`room`: memory for keys and values, in times of what the largest clip and question need alone."""
    folder = random_checkpoint
    memory_bytes = None if room is None else int(room * smallest_budget(folder, gate))
    outcome = run(bench, folder, arrivals, gate, num_slots, memory_bytes, capture)
    assert set(outcome) == {
        (number, question.id) for number, arrival in enumerate(arrivals) for question in arrival.questions
    }
    closing = checkpoint_of(folder).encode(FORCED_CLOSING)
    for (number, question_id), (answer, written) in outcome.items():
        question = next(question for question in QUESTIONS if question.id == question_id)
        clip = arrivals[number].clip
        thinks = question.think == "always" or (question.think == "auto" and gate.name != "direct")
        num_free = gate.max_answer_tokens + (gate.max_thinking_tokens if thinks else 0)
        expected = oracle(folder, clip, question)[:num_free]
        assert written[:num_free] == expected, (number, question_id)
        assert answer.thinking == (len(written) > answer.num_answer_tokens)
        assert answer.num_answer_tokens + answer.num_thinking_tokens == len(written)
        # Behind the forced closing the model goes on freely, with all that was forced before its eyes.
        behind = written[num_free:]
        assert behind[: len(closing)] == closing[: len(behind)]
        assert bool(behind) == (thinks and len(expected) == num_free and answer.finish_reason == "thinking_budget")
        if behind:
            place = num_free + len(closing)
            assert written[place:] == greedily(folder, clip, question, tuple(written))[place:], (number, question_id)


def test_a_question_alone_is_answered_as_by_the_oracle(bench, random_checkpoint):
    gate = AlwaysThink(max_answer_tokens=MAX_ANSWER, max_thinking_tokens=MAX_THINKING)
    outcome = run(bench, random_checkpoint, [Arrival(0, QUESTIONS[:1], 0)], gate, num_slots=4)
    _, written = outcome[0, "q0"]
    assert written[: MAX_ANSWER + MAX_THINKING] == oracle(random_checkpoint, 0, QUESTIONS[0])


def test_the_first_confidence_is_that_of_the_raw_logits(bench, taught_checkpoint):
    """Measured by one plain pass over prompt and answer, for the tokens in the box."""
    request = bench.make_request(0, (bench.sure,))
    outcome = bench.run(
        bench.runner(taught_checkpoint, Gated(threshold=0.97, max_answer_tokens=64, max_thinking_tokens=1024)),
        [request],
    )
    checkpoint = bench.load(taught_checkpoint)
    prefix = bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
    written = outcome.token_ids["clip-0", "sure"]
    pieces = [checkpoint.pieces[token_id] for token_id in written]
    start, end = len(b"\\boxed{"), len(b"\\boxed{yes")
    assert b"".join(pieces)[start:end] == b"yes"
    ends = [sum(map(len, pieces[: index + 1])) for index in range(len(pieces))]
    in_box = [index for index, piece in enumerate(pieces) if ends[index] > start and ends[index] - len(piece) < end]
    suffix = checkpoint.encode(suffix_after_video(bench.sure))
    logprobs = logprobs_along(taught_checkpoint, prefix, suffix, written)
    chosen = torch.stack([logprobs[index, written[index]] for index in in_box])
    assert outcome.answers["clip-0", "sure"].confidence_first == pytest.approx(float(chosen.mean().exp()), rel=1e-4)
