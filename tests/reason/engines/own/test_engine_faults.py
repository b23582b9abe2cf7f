"""What goes wrong in the engine stays with the clips that it belongs to, and every question comes back exactly once."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.failures import is_memory_error
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.protocol import TokenBudget
from framegate.pipelines.reason.strategies.two_answers import TwoAnswerCourse
from framegate.schemas.qa import Question
from tests.reason.engines.own.asks import make_clip, run_asks
from tests.reason.engines.own.faulty_checkpoint import (
    OUT_OF_MEMORY,
    FaultyCheckpoint,
    assert_nothing_is_left,
    raise_at,
)
from tests.small_checkpoints import SURE, UNSURE, make_request

GATE = AlwaysThink(max_answer_tokens=3, max_thinking_tokens=6)
FATAL = RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.fixture
def faulty(random_checkpoints) -> FaultyCheckpoint:
    return FaultyCheckpoint(random_checkpoints["qwen3_vl"])


@pytest.fixture
def requests(bench):
    return [bench.make_request(number, (bench.sure, bench.unsure)) for number in range(4)]


@pytest.fixture
def undisturbed(bench, random_checkpoints):
    return lambda requests: bench.run(bench.runner(random_checkpoints["qwen3_vl"], GATE), requests).token_ids


def test_an_error_in_a_step_fails_what_runs_and_nothing_that_waits(bench, faulty, requests, undisturbed):
    faulty.after_rows = raise_at(4, RuntimeError("a kernel is missing"))
    runner = bench.runner(faulty, GATE, num_slots=2)
    outcome = bench.run(runner, requests)
    assert outcome.failures == {
        ("clip-0", "sure"): ("engine_error", "RuntimeError: a kernel is missing"),
        ("clip-0", "unsure"): ("engine_error", "RuntimeError: a kernel is missing"),
    }
    assert {key: outcome.token_ids[key] for key in outcome.answers} == undisturbed(requests[1:])
    assert_nothing_is_left(runner)


@pytest.mark.parametrize("seam", ["after_see", "after_prefixes"])
def test_an_error_with_one_clip_stays_with_it_though_others_are_run_together_with_it(
    bench, faulty, requests, undisturbed, seam
):
    broken = bench.make_request(9, (bench.sure, bench.unsure, bench.silent), num_frames=6)
    together: list[int] = []

    def stumble(clips, *_) -> None:
        together.append(len(clips))
        if any(getattr(clip, "video", clip).grid_thw[0] == 3 for clip in clips):
            raise ValueError("a broken frame")

    setattr(faulty, seam, stumble)
    runner = bench.runner(faulty, GATE, num_slots=8)  # the broken clip's last question waits meanwhile
    outcome = bench.run(runner, [*requests[:2], broken, *requests[2:]])
    assert max(together) > 2
    assert set(outcome.failures) == {("clip-9", "sure"), ("clip-9", "unsure"), ("clip-9", "silent")}
    assert set(outcome.failures.values()) == {("engine_error", "ValueError: a broken frame")}
    assert {key: outcome.token_ids[key] for key in outcome.answers} == undisturbed(requests)
    assert_nothing_is_left(runner)


@pytest.mark.parametrize("seam", ["after_see", "after_prefixes", "after_rows"])
def test_an_error_after_which_no_engine_works_in_the_process_is_raised(bench, faulty, requests, seam):
    setattr(faulty, seam, raise_at(2, FATAL))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        bench.run(bench.runner(faulty, GATE, num_slots=2), requests)


def test_such_an_error_is_raised_from_the_first_clips_layout_too(bench, faulty, requests):
    faulty.before_layout = raise_at(1, FATAL)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        bench.run(bench.runner(faulty, GATE), requests)


def test_numbers_that_went_wrong_in_one_clip_do_not_reach_the_next_in_its_slot(bench, faulty, monkeypatch):
    """float16 overflows in some frames; a masked place is multiplied by a probability of 0, and 0 * NaN is NaN."""
    broken = bench.make_request(9, (bench.sure,), num_frames=8)
    request = bench.make_request(0, (bench.sure,), num_frames=2)
    expected = bench.run(bench.runner(faulty, GATE, num_slots=1), [request]).token_ids["clip-0", "sure"]
    see = faulty.see

    def see_nothing_in_long_clips(videos, *args):
        return [
            replace(seen, features_VD=seen.features_VD * (float("nan") if video.grid_thw[0] == 4 else 1))
            for seen, video in zip(see(videos), videos, strict=True)
        ]

    monkeypatch.setattr(faulty, "see", see_nothing_in_long_clips)
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=1), [broken, request])
    assert outcome.token_ids["clip-0", "sure"] == expected


def test_a_question_that_cannot_be_encoded_fails_alone(bench, faulty, requests):
    """Half of a surrogate pair is a str, and no text."""
    unsayable = bench.make_request(9, (bench.sure, Question(id="half", text="\ud800")))
    outcome = bench.run(bench.runner(faulty, GATE), [requests[0], unsayable])
    assert ("clip-9", "half") in outcome.failures
    assert {("clip-0", "sure"), ("clip-0", "unsure")} <= set(outcome.answers)


def test_a_question_whose_answer_cannot_be_made_comes_back_as_a_failure(bench, faulty):
    class Unanswerable(AlwaysThink):
        def after(self, finished, num_open):
            if finished[0].ask.question is SURE:
                raise ValueError("no answer can be made of this")
            return super().after(finished, num_open)

    gate = Unanswerable(max_answer_tokens=3, max_thinking_tokens=6)
    outcome = bench.run(bench.runner(faulty, gate), [make_request(0, (SURE, UNSURE))])
    assert outcome.failures == {("clip-0", "sure"): ("engine_error", "ValueError: no answer can be made of this")}
    assert set(outcome.answers) == {("clip-0", "unsure")}


@pytest.mark.parametrize("step", ["start", "append", "is_over"])
def test_an_ask_whose_course_fails_comes_back_alone_as_a_failure(bench, faulty, step):
    def fail(*_) -> None:
        raise ValueError("not this way")

    broken = type("Broken", (TwoAnswerCourse,), {step: property(fail) if step == "is_over" else fail})
    clip = make_clip(0)
    [sure], [unsure] = (GATE.begin(clip, question) for question in (SURE, UNSURE))
    engine = bench.engine(faulty)
    spoilt = replace(sure, make_course=partial(broken, *sure.make_course.args, **sure.make_course.keywords))
    outcome = run_asks(engine, [spoilt, unsure])
    assert (outcome[spoilt].course, outcome[spoilt].failure_message) == (None, "ValueError: not this way")
    assert outcome[unsure].failure_reason is None
    assert outcome[unsure].course.is_over
    assert not engine.running


def test_an_ask_whose_course_is_over_before_its_first_token_fails_alone(bench, faulty):
    class Over(TwoAnswerCourse):
        is_over = True

    clip = make_clip(0)
    [sure], [unsure] = (GATE.begin(clip, question) for question in (SURE, UNSURE))
    over = replace(sure, make_course=partial(Over, *sure.make_course.args, **sure.make_course.keywords))
    outcome = run_asks(bench.engine(faulty), [over, unsure])
    assert outcome[over].failure_message == "the course of the ask is over before its first token"
    assert outcome[unsure].course.is_over


def test_an_ask_that_goes_on_beyond_its_budget_fails_alone(bench, faulty):
    clip = make_clip(0)
    [long], [other] = (GATE.begin(clip, question) for question in (SURE, UNSURE))
    long = replace(long, budget=TokenBudget(num_tokens=4))
    outcome = run_asks(bench.engine(faulty), [long, other])
    assert outcome[long].failure_message == "the ask goes on beyond the 4 tokens of its budget"
    assert outcome[other].course.is_over


@cache
def shared_checkpoint(folder: Path) -> FaultyCheckpoint:
    return FaultyCheckpoint(folder)


@cache
def expected_tokens(bench, checkpoint: Checkpoint, number: int, question: Question) -> list[int]:
    return run_with_faults(bench, checkpoint, [(number, (question,))], {}, num_slots=1).token_ids["0", question.id]


def run_with_faults(bench, checkpoint, clips, faults, *, num_slots):
    """All that comes back and all that was written, where the n-th pass of any kind raises `faults[n]`."""
    num_calls = 0

    def stumble(*args) -> None:
        nonlocal num_calls
        num_calls += 1
        if num_calls in faults:
            raise faults[num_calls]

    checkpoint.before_layout = checkpoint.after_see = checkpoint.after_prefixes = checkpoint.after_rows = stumble
    runner = bench.runner(checkpoint, GATE, num_slots=num_slots)
    requests = [
        replace(make_request(number, questions, num_frames=2 + number), id=str(place))
        for place, (number, questions) in enumerate(clips)
    ]
    outcome = bench.run(runner, requests)
    num_calls = -10_000_000
    assert_nothing_is_left(runner)
    return outcome


# A failure is shown as it was found: to make it smaller takes minutes.
@settings(max_examples=40, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clips=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([(SURE,), (UNSURE,), (SURE, UNSURE)])), min_size=1, max_size=5
    ),
    faults=st.dictionaries(
        st.integers(1, 60), st.sampled_from([OUT_OF_MEMORY, OUT_OF_MEMORY, ValueError("broken")]), max_size=5
    ),
    num_slots=st.integers(1, 6),
)
def test_whatever_fails_and_when_each_question_comes_back_once_and_what_is_answered_is_right(
    bench, random_checkpoints, clips, faults, num_slots
):
    checkpoint = shared_checkpoint(random_checkpoints["qwen3_vl"])
    outcome = run_with_faults(bench, checkpoint, clips, faults, num_slots=num_slots)
    assert {*outcome.answers, *outcome.failures} == {
        (str(place), question.id) for place, (_, questions) in enumerate(clips) for question in questions
    }
    reasons = {reason for reason, _ in outcome.failures.values()}
    assert reasons <= {"memory_limit" if error is OUT_OF_MEMORY else "engine_error" for error in faults.values()}
    for (request_id, question_id), answer in outcome.answers.items():
        number, _ = clips[int(request_id)]
        expected = expected_tokens(bench, checkpoint, number, answer.question)
        assert outcome.token_ids[request_id, question_id] == expected
        assert answer.engine_seconds > 0


def test_the_engine_knows_when_torch_runs_out_of_the_hosts_memory():
    """On the CPU that has no type of its own: the words are what there is."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_memory_error(raised.value)
    assert not is_memory_error(RuntimeError("size mismatch"))
