"""The gate inside vLLM: exit, think, end, forced closing; in both families, and as the transformers engine has it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.pipelines.reason.asking.wording import STEP_BY_STEP
from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.engines.vllm.engine import VllmEngine
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.video_cot import VideoCot
from tests.small_checkpoints import (
    FAMILY_NAMES,
    LIMITS,
    SILENT,
    SURE,
    SYSTEM_PROMPT,
    UNSURE,
    load_checkpoint,
    make_request,
)
from tests.vllm.conftest import differences, run_engine

GATED = Gated(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=48)
ALWAYS = AlwaysThink(max_answer_tokens=16, max_thinking_tokens=48)
DIRECT = Direct(max_answer_tokens=16, max_thinking_tokens=48)
COT = VideoCot(max_answer_tokens=16, max_thinking_tokens=24)
REQUESTS = tuple(make_request(number, (question,)) for number, question in enumerate((SURE, UNSURE, SILENT)))
SURE_KEY, UNSURE_KEY, SILENT_KEY = ("clip-0", "sure"), ("clip-1", "unsure"), ("clip-2", "silent")


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def family(request) -> str:
    """All tests of one family run before those of the next, so that models are built twice and not twenty times."""
    return request.param


@pytest.fixture
def model(family, taught, load_model):
    return load_model(taught(family))


def make_engine(model) -> VllmEngine:
    return VllmEngine(model, system_prompt=SYSTEM_PROMPT, frames=LIMITS)


def make_other_engine(folder) -> TransformersEngine:
    return TransformersEngine(load_checkpoint(folder), system_prompt=SYSTEM_PROMPT, frames=LIMITS)


def test_a_sure_first_answer_exits(model):
    answer = run_engine(make_engine(model), GATED, REQUESTS).answers[SURE_KEY]
    assert (answer.answer, answer.finish_reason, answer.thinking) == ("yes", "exit", False)
    assert (answer.verdict.route, answer.verdict.reason) == ("exit", "confident")
    assert answer.confidence_first > 0.9
    assert (answer.num_thinking_tokens, answer.thinking_text, answer.answer_second) == (0, None, None)
    assert 0 < answer.prompt_seconds < answer.engine_seconds
    assert answer.thinking_seconds == 0


def test_an_unsure_first_answer_is_thought_about_in_the_same_request(model):
    answer = run_engine(make_engine(model), GATED, REQUESTS).answers[UNSURE_KEY]
    assert (answer.verdict.route, answer.verdict.reason) == ("think", "unsure")
    assert 0.3 < answer.confidence_first < 0.7
    assert (answer.answer_letter, answer.answer_second, answer.finish_reason) == ("B", "B", "answered")
    assert answer.thinking_text == "look again"


def test_a_turn_that_ends_without_a_box_is_unparsed(model):
    answer = run_engine(make_engine(model), GATED, REQUESTS).answers[SILENT_KEY]
    assert (answer.answer, answer.status, answer.finish_reason) == (None, "unparsed", "ended")


@pytest.mark.parametrize("strategy", [GATED, ALWAYS, DIRECT], ids=lambda strategy: strategy.name)
def test_answers_are_those_of_the_transformers_engine(family, taught, model, strategy):
    """Clips of other sizes and lengths, too, all at once, several questions each."""
    requests = [
        *REQUESTS,
        make_request(3, (SURE, UNSURE, SILENT), num_frames=7, size=(96, 64)),
        make_request(4, (UNSURE, SURE), num_frames=1),
    ]
    ours = run_engine(make_engine(model), strategy, requests)
    theirs = run_engine(make_other_engine(taught(family)), strategy, requests)
    assert ours.failures == theirs.failures == {}
    assert ours.answers.keys() == theirs.answers.keys()
    assert {key: differences(answer, theirs.answers[key]) for key, answer in ours.answers.items()} == {
        key: [] for key in ours.answers
    }


def test_a_question_that_must_or_must_not_think_overrides_the_job(model):
    never, always = replace(UNSURE, id="never", think="never"), replace(SURE, id="always", think="always")
    answers = run_engine(make_engine(model), GATED, [make_request(1, (never, always))]).answers
    assert answers["clip-1", "never"].verdict.reason == "never"
    assert answers["clip-1", "never"].num_thinking_tokens == 0
    assert answers["clip-1", "always"].verdict.reason == "always"
    assert answers["clip-1", "always"].thinking


@pytest.mark.parametrize("budget", [1, 3, 7])
def test_thinking_over_its_budget_is_closed_by_force_and_an_answer_comes(family, taught, model, budget):
    strategy = AlwaysThink(max_answer_tokens=16, max_thinking_tokens=budget)
    ours = run_engine(make_engine(model), strategy, [make_request(1, (UNSURE,))]).answers[UNSURE_KEY]
    theirs = run_engine(make_other_engine(taught(family)), strategy, [make_request(1, (UNSURE,))]).answers[UNSURE_KEY]
    assert (ours.answer_letter, ours.answer_second, ours.finish_reason) == ("B", "B", "thinking_budget")
    assert differences(ours, theirs) == []


@pytest.mark.parametrize(("chunk", "carry", "thinking"), [(40, 8, 40), (5, 3, 48), (3, 2, 7)])
def test_chunks_go_on_behind_carried_tokens_as_in_the_transformers_engine(
    family, taught, model, chunk: int, carry: int, thinking: int
) -> None:
    """One by one in a batch of others; at last the closing is forced."""
    strategy = BoundedThinking(
        threshold=1.0, max_answer_tokens=16, max_thinking_tokens=thinking, chunk_tokens=chunk, carry_tokens=carry
    )
    requests = [*REQUESTS, make_request(3, (SURE, UNSURE), num_frames=7, size=(96, 64))]
    ours = run_engine(make_engine(model), strategy, requests)
    theirs = run_engine(make_other_engine(taught(family)), strategy, requests)
    assert ours.failures == theirs.failures == {}
    found = {key: differences(answer, theirs.answers[key]) for key, answer in ours.answers.items()}
    assert found == {key: [] for key in theirs.answers}
    assert (max(answer.num_chunks or 0 for answer in ours.answers.values()) > 1) == (chunk < thinking)


def test_random_weights_write_what_they_write_in_the_transformers_engine(family, random_weights, load_model):
    """Nothing that they write is likely, so that whatever differs before it shows: positions, pixels, closing."""
    strategy = AlwaysThink(max_answer_tokens=6, max_thinking_tokens=20)
    folder = random_weights(family)
    requests = [
        make_request(number, (SURE, UNSURE, SILENT), num_frames=num_frames, size=size)
        for number, (num_frames, size) in enumerate([(2, (64, 64)), (5, (32, 96)), (8, (96, 64))])
    ]
    ours = run_engine(make_engine(load_model(folder)), strategy, requests).answers
    theirs = run_engine(make_other_engine(folder), strategy, requests).answers
    assert len(ours) == 9
    assert {key: differences(answer, theirs[key]) for key, answer in ours.items()} == {key: [] for key in ours}
    assert {answer.finish_reason for answer in ours.values()} <= {"thinking_budget", "ended"}


@pytest.mark.parametrize("checkpoint", ["taught", "random_weights"])
@pytest.mark.parametrize(
    "strategy",
    [COT, replace(GATED, threshold=1.0, max_thinking_tokens=24, wording=STEP_BY_STEP, inner=COT)],
    ids=["alone", "behind a gate"],
)
def test_video_cot_describes_and_then_answers_as_in_the_transformers_engine(
    request, family, load_model, checkpoint: str, strategy
) -> None:
    """Words of its own, no first answer, a closing of its own; a question that must not think is answered at once."""
    folder = request.getfixturevalue(checkpoint)(family)
    never = replace(SURE, id="never", think="never")
    requests = [*REQUESTS, make_request(3, (SURE, UNSURE, never), num_frames=7, size=(96, 64))]
    ours = run_engine(make_engine(load_model(folder)), strategy, requests)
    theirs = run_engine(make_other_engine(folder), strategy, requests)
    assert ours.failures == theirs.failures == {}
    assert ours.answers.keys() == theirs.answers.keys()
    found = {key: differences(answer, theirs.answers[key]) for key, answer in ours.answers.items()}
    assert found == {key: [] for key in theirs.answers}
    assert ours.answers["clip-3", "never"].num_thinking_tokens == 0
    assert all(answer.num_thinking_tokens for key, answer in ours.answers.items() if key != ("clip-3", "never"))
    if checkpoint == "random_weights":
        assert "thinking_budget" in {answer.finish_reason for answer in ours.answers.values()}
