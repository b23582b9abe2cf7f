"""What vLLM really runs: not one token after an exit, each clip's video and prefix once, and nothing left behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from framegate.pipelines.reason.engines.vllm.engine import VllmEngine
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.errors import EngineError
from tests.small_checkpoints import LIMITS, SILENT, SURE, SYSTEM_PROMPT, UNSURE, make_request
from tests.vllm.conftest import differences, run_engine

GATED = Gated(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=48)
DIRECT = Direct(max_answer_tokens=16, max_thinking_tokens=1024)


@pytest.fixture
def model(taught, load_model):
    return load_model(taught("qwen2_5_vl"))


def make_engine(model) -> VllmEngine:
    return VllmEngine(model, system_prompt=SYSTEM_PROMPT, frames=LIMITS)


def core_of(model):
    return model._llm.engine_core.engine_core


def runner_of(model):
    return core_of(model).model_executor.driver_worker.worker.model_runner


@dataclass
class Executed:
    """What vLLM's scheduler asked its worker for, step by step."""

    num_tokens: list[int] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    num_rows: list[int] = field(default_factory=list)


@contextmanager
def watch(model) -> Iterator[Executed]:
    executed = Executed()
    executor = core_of(model).model_executor
    original = executor.execute_model

    def execute_model(scheduler_output, **kwargs):
        executed.num_tokens.append(scheduler_output.total_num_scheduled_tokens)
        executed.num_rows.append(len(scheduler_output.num_scheduled_tokens))
        for request_id in scheduler_output.scheduled_encoder_inputs:
            request = core_of(model).scheduler.requests[request_id]
            executed.videos += [feature.identifier for feature in request.mm_features]
        return original(scheduler_output, **kwargs)

    executor.execute_model = execute_model
    try:
        yield executed
    finally:
        executor.execute_model = original


def test_not_one_token_is_computed_after_an_exit(model):
    """Every token but the last that is written is read once; the prompt is read once; and that is all."""
    with watch(model) as executed:
        answer = run_engine(make_engine(model), GATED, [make_request(0, (SURE,))]).answers["clip-0", "sure"]
    assert answer.finish_reason == "exit"
    assert sum(executed.num_tokens) == answer.num_prompt_tokens + answer.num_answer_tokens - 1


def test_a_row_is_free_in_the_step_after_an_exit(taught, load_model):
    model = load_model(taught("qwen2_5_vl"), max_num_seqs=1)
    alone = run_engine(make_engine(model), GATED, [make_request(0, (SURE,))]).answers["clip-0", "sure"]
    with watch(model) as executed:
        run_engine(
            make_engine(model), GATED, [replace(make_request(0, (SURE,)), id=f"copy-{number}") for number in range(3)]
        )
    # One step each for prompt and first token, one for each further token, and one at the end to clear away.
    assert executed.num_rows == [1] * 3 * alone.num_answer_tokens + [0]


def test_a_clips_video_is_encoded_once_and_its_prefix_is_not_read_again_for_each_question(model):
    questions = tuple(replace(SURE, id=str(number)) for number in range(8))
    requests = [make_request(number, questions, num_frames=8, size=(96, 96)) for number in range(3)]
    with watch(model) as executed:
        answers = run_engine(make_engine(model), DIRECT, requests).answers
    assert len(answers) == 24
    assert len(executed.videos) == len(set(executed.videos)) == 3
    num_prompt = answers["clip-0", "0"].num_prompt_tokens
    num_video = answers["clip-0", "0"].num_video_tokens
    num_written = sum(answer.num_answer_tokens - 1 for answer in answers.values())
    # Blocks of 32 tokens are shared: each question reads less than one of them again, and its own words.
    assert num_video == 4 * 3 * 3
    assert sum(executed.num_tokens) - num_written < 3 * num_prompt + 21 * (32 + num_prompt - num_video)
    assert sum(executed.num_tokens) - num_written < 0.75 * 24 * num_prompt


def test_the_same_frames_in_another_clip_are_another_video(model):
    """Times are part of a video's positions: what is cached for one clip must never serve another."""
    first = make_request(0, (UNSURE,))
    later = replace(first, id="later", frames=replace(first.frames, pts_seconds=first.frames.pts_seconds * 4))
    together = run_engine(make_engine(model), GATED, [first, later]).answers
    alone = run_engine(make_engine(model), GATED, [later]).answers
    assert differences(together["later", "unsure"], alone["later", "unsure"], tolerance=1e-5) == []
    assert abs(together["later", "unsure"].confidence_first - together["clip-0", "unsure"].confidence_first) > 1e-5


def test_many_requests_leave_nothing_behind(model):
    engine = make_engine(model)
    requests = [
        replace(make_request(number % 3, (SURE, UNSURE, SILENT)), id=f"request-{number}") for number in range(40)
    ]
    frames = weakref.ref(requests[0].frames)
    assert len(run_engine(engine, GATED, requests).answers) == 120
    core, runner = core_of(model), runner_of(model)
    assert model._state.running == model._internal_ids == {}
    assert engine._running == {}
    assert len(model._state.batch) == 0
    assert model._state.batch._unfinished == {}
    assert core.scheduler.requests == {}
    assert model._llm.output_processor.request_states == {}
    assert runner.requests == {}
    assert runner.input_batch.req_ids == []
    del requests
    gc.collect()
    assert frames() is None


def test_rows_that_run_out_of_cache_are_preempted_and_answer_the_same(random_weights, load_model):
    """Keys and values for about three of twelve sequences: the others give way in the midst of their thinking."""
    strategy = AlwaysThink(max_answer_tokens=6, max_thinking_tokens=60)
    requests = [make_request(number, (SURE, UNSURE), num_frames=8) for number in range(6)]
    roomy = run_engine(make_engine(load_model(random_weights("qwen2_5_vl"))), strategy, requests).answers
    tight = load_model(random_weights("qwen2_5_vl"), num_gpu_blocks_override=17, max_model_len=512)
    scheduler, given_way = core_of(tight).scheduler, []
    original = scheduler._preempt_request

    def preempt(request, *args, **kwargs):
        given_way.append(request.num_output_tokens)
        return original(request, *args, **kwargs)

    scheduler._preempt_request = preempt
    answers = run_engine(make_engine(tight), strategy, requests).answers
    assert any(given_way), "no row had to give way: the test has no point"
    assert {key: differences(answer, roomy[key], tolerance=1e-4) for key, answer in answers.items()} == {
        key: [] for key in roomy
    }


def test_prompts_that_are_read_in_parts_answer_the_same(taught, load_model):
    """Rows in the midst of their prompt have logits, too; no token comes of them."""
    requests = [make_request(number, (SURE, UNSURE, SILENT), num_frames=8, size=(96, 96)) for number in range(3)]
    whole = run_engine(make_engine(load_model(taught("qwen2_5_vl"))), GATED, requests).answers
    parts = load_model(taught("qwen2_5_vl"), max_num_batched_tokens=48)
    with watch(parts) as executed:
        answers = run_engine(make_engine(parts), GATED, requests).answers
    assert executed.num_tokens[0] == 48 < whole["clip-0", "sure"].num_prompt_tokens
    assert {key: differences(answer, whole[key], tolerance=1e-4) for key, answer in answers.items()} == {
        key: [] for key in whole
    }


def test_a_clip_that_cannot_be_prepared_fails_alone(model):
    too_long = make_request(7, (SURE, UNSURE), num_frames=600)
    outcome = run_engine(make_engine(model), GATED, [make_request(0, (SURE,)), too_long, make_request(1, (SURE,))])
    assert set(outcome.answers) == {("clip-0", "sure"), ("clip-1", "sure")}
    assert set(outcome.failures) == {("clip-7", "sure"), ("clip-7", "unsure")}
    reason, message = outcome.failures["clip-7", "sure"]
    assert reason == "engine_error"
    assert "max_video_tokens" in message


def test_a_question_that_is_too_long_fails_alone_and_says_what_to_raise(model):
    long = replace(SURE, id="long", text="look " * 4000)
    outcome = run_engine(make_engine(model), GATED, [make_request(0, (SURE, long, UNSURE))])
    assert set(outcome.answers) == {("clip-0", "sure"), ("clip-0", "unsure")}
    reason, message = outcome.failures["clip-0", "long"]
    assert reason == "too_long"
    assert "max_model_len" in message
    assert "2048" in message


def test_an_engine_that_dies_says_so_and_the_next_one_in_its_process_answers(taught, load_model, monkeypatch):
    model = load_model(taught("qwen2_5_vl"), max_num_seqs=5)

    def execute_model(*args, **kwargs):
        raise RuntimeError("the device is gone")

    engine = make_engine(model)
    QuestionRunner(engine, GATED).add(make_request(0, (SURE,)))
    monkeypatch.setattr(core_of(model).model_executor, "execute_model", execute_model)
    with pytest.raises(RuntimeError, match="the device is gone"):
        engine.step()
    assert engine.num_unfinished == 1
    anew = make_engine(load_model(taught("qwen2_5_vl"), max_num_seqs=6))
    assert run_engine(anew, GATED, [make_request(0, (SURE,))]).answers["clip-0", "sure"].answer == "yes"
    with pytest.raises(EngineError, match="closed"):
        engine.step()


def test_an_idle_engine_has_nothing_to_say(model):
    engine = make_engine(model)
    assert engine.num_unfinished == 0
    assert engine.step() == []


def test_times_add_up(model):
    engine = make_engine(model)
    answers = run_engine(
        engine, AlwaysThink(max_answer_tokens=16, max_thinking_tokens=48), [make_request(0, (SURE, UNSURE))]
    ).answers
    times = engine.times
    assert times.num_patches == 2 * 4 * 4
    assert min(times.vision_seconds, times.prefill_seconds, times.answer_seconds, times.think_seconds) > 0
    spent = times.vision_seconds + times.prefill_seconds + times.answer_seconds + times.think_seconds
    assert sum(answer.engine_seconds for answer in answers.values()) == pytest.approx(spent)
    num_written = sum(answer.num_answer_tokens + answer.num_thinking_tokens for answer in answers.values())
    assert times.num_step_rows == num_written - len(answers)  # the first tokens come with the prompts
    # What both questions attend to in a step is read once: the clip's prefix, which is the video and words around it.
    num_prefix, rest = divmod(times.num_step_row_keys - times.num_step_keys, times.num_step_rows - times.num_steps)
    assert rest == 0
    assert 2 * 2 * 2 < num_prefix < times.num_prefill_tokens
