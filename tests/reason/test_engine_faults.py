"""What goes wrong in the engine stays with the clips that it belongs to, and every question comes back exactly once."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from framegate.pipelines.reason.engines.failures import is_memory_error
from framegate.pipelines.reason.engines.own import scheduler as admission
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.strategies.sequence import GatedSequence
from framegate.schemas.config import GateConfig
from framegate.schemas.qa import Question
from tests.reason.faulty_checkpoint import OUT_OF_MEMORY, FaultyCheckpoint
from tests.small_checkpoints import LIMITS, SURE, SYSTEM_PROMPT, UNSURE, make_request

GATE = GateConfig(strategy="always_think", max_answer_tokens=3, max_thinking_tokens=6)
POISON = RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.fixture
def faulty(random_checkpoints) -> FaultyCheckpoint:
    return FaultyCheckpoint(random_checkpoints["qwen3_vl"])


@pytest.fixture
def requests(bench):
    return [bench.make_request(number, (bench.sure, bench.unsure)) for number in range(4)]


@pytest.fixture
def undisturbed(bench, random_checkpoints):
    return lambda requests: bench.run(bench.engine(random_checkpoints["qwen3_vl"], GATE), requests).token_ids


def raise_at(number: int, error: Exception):
    """Something that raises when it is called for the `number`-th time, and whatever arguments it gets."""
    calls = []

    def count(*args) -> None:
        calls.append(args)
        if len(calls) == number:
            raise error

    return count


def assert_nothing_is_left(engine: TransformersEngine) -> None:
    residents = engine._runner.residents
    assert engine.num_unfinished == 0
    assert engine.sequences == []
    assert engine.step() == []
    assert not engine._running
    assert not engine._admission._clips
    assert not any((residents.rows, residents.prefix_tokens, residents.num_thinking, residents.num_keys))


def test_an_error_in_a_step_fails_what_runs_and_nothing_that_waits(bench, faulty, requests, undisturbed):
    faulty.after_rows = raise_at(4, RuntimeError("a kernel is missing"))
    engine = bench.engine(faulty, GATE, num_slots=2)
    outcome = bench.run(engine, requests)
    assert outcome.failures == {
        ("clip-0", "sure"): ("engine_error", "RuntimeError: a kernel is missing"),
        ("clip-0", "unsure"): ("engine_error", "RuntimeError: a kernel is missing"),
    }
    assert {key: outcome.token_ids[key] for key in outcome.answers} == undisturbed(requests[1:])
    assert_nothing_is_left(engine)


@pytest.mark.parametrize("seam", ["after_see", "after_prefixes"])
def test_an_error_with_one_clip_stays_with_it_though_others_are_run_together_with_it(
    bench, faulty, requests, undisturbed, seam
):
    broken = bench.make_request(9, (bench.sure, bench.unsure, bench.silent), num_frames=6)
    together: list[int] = []

    def stumble(clips, *_) -> None:
        together.append(len(clips))
        if any(getattr(clip, "patches", clip).grid_thw[0] == 3 for clip in clips):
            raise ValueError("a broken frame")

    setattr(faulty, seam, stumble)
    engine = bench.engine(faulty, GATE, num_slots=8)  # the broken clip's last question waits meanwhile
    outcome = bench.run(engine, [*requests[:2], broken, *requests[2:]])
    assert max(together) > 2
    assert set(outcome.failures) == {("clip-9", "sure"), ("clip-9", "unsure"), ("clip-9", "silent")}
    assert set(outcome.failures.values()) == {("engine_error", "ValueError: a broken frame")}
    assert {key: outcome.token_ids[key] for key in outcome.answers} == undisturbed(requests)
    assert_nothing_is_left(engine)


@pytest.mark.parametrize("seam", ["after_see", "after_prefixes", "after_rows"])
def test_an_error_after_which_no_engine_works_in_the_process_is_raised(bench, faulty, requests, seam):
    setattr(faulty, seam, raise_at(2, POISON))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        bench.run(bench.engine(faulty, GATE, num_slots=2), requests)


def test_such_an_error_is_raised_from_the_first_clips_layout_too(bench, faulty, requests, monkeypatch):
    def lay_out(*args, **kwargs):
        raise POISON

    monkeypatch.setattr(admission, "build_prefix", lay_out)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        bench.run(bench.engine(faulty, GATE), requests)


def test_numbers_that_went_wrong_in_one_clip_do_not_reach_the_next_in_its_slot(bench, faulty, monkeypatch):
    """float16 overflows in some frames; a masked place is multiplied by a probability of 0, and 0 * NaN is NaN."""
    broken = bench.make_request(9, (bench.sure,), num_frames=8)
    request = bench.make_request(0, (bench.sure,), num_frames=2)
    expected = bench.run(bench.engine(faulty, GATE, num_slots=1), [request]).token_ids["clip-0", "sure"]
    see = faulty.see

    def see_nothing_in_long_clips(videos):
        return [
            replace(seen, features_VD=seen.features_VD * (float("nan") if video.grid_thw[0] == 4 else 1))
            for seen, video in zip(see(videos), videos, strict=True)
        ]

    monkeypatch.setattr(faulty, "see", see_nothing_in_long_clips)
    outcome = bench.run(bench.engine(faulty, GATE, num_slots=1), [broken, request])
    assert outcome.token_ids["clip-0", "sure"] == expected


def test_a_question_that_cannot_be_encoded_fails_alone(bench, faulty, requests):
    """Half of a surrogate pair is a str, and no text."""
    unsayable = bench.make_request(9, (bench.sure, Question(id="half", text="\ud800")))
    outcome = bench.run(bench.engine(faulty, GATE), [requests[0], unsayable])
    assert ("clip-9", "half") in outcome.failures
    assert {("clip-0", "sure"), ("clip-0", "unsure")} <= set(outcome.answers)


def test_a_question_whose_answer_cannot_be_made_comes_back_as_a_failure(faulty):
    class Unanswerable(GatedSequence):
        def to_answer(self):
            if self.question is SURE:
                raise ValueError("no answer can be made of this")
            return super().to_answer()

    engine = TransformersEngine(
        faulty, system_prompt=SYSTEM_PROMPT, gate=GATE, frames=LIMITS, sequence_type=Unanswerable
    )
    engine.add(make_request(0, (SURE, UNSURE)))
    finished = [one for _ in range(100) for one in engine.step()]
    assert sorted(one.question.id for one in finished) == ["sure", "unsure"]


@cache
def shared_checkpoint(folder: Path) -> FaultyCheckpoint:
    return FaultyCheckpoint(folder)


@cache
def expected_tokens(checkpoint: Checkpoint, number: int, question: Question) -> list[int]:
    return run_with_faults(checkpoint, [(number, (question,))], {}, num_slots=1)[1]["0", question.id]


def run_with_faults(checkpoint, clips, faults, *, num_slots):
    """All that comes back and all that was written, where the n-th pass of any kind raises `faults[n]`."""
    num_calls = 0

    def stumble(*args) -> None:
        nonlocal num_calls
        num_calls += 1
        if num_calls in faults:
            raise faults[num_calls]

    checkpoint.after_see = checkpoint.after_prefixes = checkpoint.after_rows = stumble
    written: dict[tuple[str, str], list[int]] = {}

    class Recorded(GatedSequence):
        def append(self, token):
            super().append(token)
            written[self.request_id, self.question.id] = self.token_ids

    engine = TransformersEngine(
        checkpoint,
        system_prompt=SYSTEM_PROMPT,
        gate=GATE,
        frames=LIMITS,
        num_slots=num_slots,
        sequence_type=Recorded,
    )
    for place, (number, questions) in enumerate(clips):
        engine.add(replace(make_request(number, questions, num_frames=2 + number), id=str(place)))
    finished = []
    for _ in range(3000):
        finished += engine.step()
        if not engine.num_unfinished:
            break
    num_calls = -10_000_000
    assert_nothing_is_left(engine)
    return finished, written


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
    random_checkpoints, clips, faults, num_slots
):
    checkpoint = shared_checkpoint(random_checkpoints["qwen3_vl"])
    finished, written = run_with_faults(checkpoint, clips, faults, num_slots=num_slots)
    keys = [(one.request_id, one.question.id) for one in finished]
    assert sorted(keys) == sorted(
        (str(place), question.id) for place, (_, questions) in enumerate(clips) for question in questions
    )
    reasons = {one.failure_reason for one in finished if one.answer is None}
    assert reasons <= {"memory_limit" if error is OUT_OF_MEMORY else "engine_error" for error in faults.values()}
    for one in finished:
        if one.answer is not None:
            number, _ = clips[int(one.request_id)]
            assert written[one.request_id, one.question.id] == expected_tokens(checkpoint, number, one.question)
            assert one.answer.engine_seconds > 0


def test_the_engine_knows_when_torch_runs_out_of_the_hosts_memory():
    """On the CPU that has no type of its own: the words are what there is."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_memory_error(raised.value)
    assert not is_memory_error(RuntimeError("size mismatch"))
