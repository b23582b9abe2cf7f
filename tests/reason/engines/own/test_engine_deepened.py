"""Deepening on our own engine, in float32: token for token what an undisturbed sequence writes, alone or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.qa import Answer
from tests.reason.engines.own.test_engine_equality import CLIPS, QUESTIONS
from tests.small_checkpoints import make_request

SECONDS = {"engine_seconds": 0.0, "prompt_seconds": 0.0, "thinking_seconds": 0.0}


def given_of(answer: Answer, *, with_tokens: bool = True) -> GivenAnswer:
    return GivenAnswer(
        token_ids=answer.first_token_ids if with_tokens else None,
        answer_first=answer.answer_first,
        confidence=answer.confidence_first,
    )


def goes_on_from(requests, answers, **how):
    return [
        replace(
            request,
            given={question.hash: given_of(answers[request.id, question.id], **how) for question in request.questions},
        )
        for request in requests
    ]


@pytest.mark.parametrize("num_slots", [1, 3, 16])
@pytest.mark.parametrize("with_tokens", [True, False])
def test_random_weights_write_what_always_think_writes(bench, random_checkpoint, num_slots: int, with_tokens: bool):
    """Their first answers are all kinds of tokens without a box."""
    budgets = {"max_answer_tokens": 6, "max_thinking_tokens": 20}
    questions = tuple(replace(question, think="auto") for question in QUESTIONS)
    requests = [
        replace(make_request(number, questions, num_frames=frames, size=size), id=str(number))
        for number, frames, size in CLIPS[:3]
    ]
    always = bench.run(bench.runner(random_checkpoint, AlwaysThink(**budgets)), requests)
    first = bench.run(bench.runner(random_checkpoint, Direct(**budgets)), requests)
    again = goes_on_from(requests, first.answers, with_tokens=with_tokens)
    strategy = Deepened(threshold=None, **budgets)
    deepened = bench.run(bench.runner(random_checkpoint, strategy, num_slots=num_slots), again)
    assert deepened.token_ids == always.token_ids
    assert any(len(ids) > 6 for ids in always.token_ids.values())


def test_taught_weights_give_the_answer_of_a_gate_with_that_threshold(bench, taught_checkpoint):
    budgets = {"max_answer_tokens": 16, "max_thinking_tokens": 48}
    requests = [
        bench.make_request(number, (question,))
        for number, question in enumerate((bench.sure, bench.unsure, bench.silent))
    ]
    low = bench.run(bench.runner(taught_checkpoint, Gated(threshold=0.2, **budgets)), requests)
    confident = [key for key, answer in low.answers.items() if answer.verdict.reason == "confident"]
    assert len(confident) == 2
    high = bench.run(bench.runner(taught_checkpoint, Gated(threshold=1.0, **budgets)), requests)
    again = goes_on_from([one for one in requests if (one.id, one.questions[0].id) in confident], low.answers)
    deepened = bench.run(bench.runner(taught_checkpoint, Deepened(threshold=1.0, **budgets)), again)
    for key in confident:
        assert deepened.token_ids[key] == high.token_ids[key]
        one, other = (replace(answers[key], **SECONDS) for answers in (deepened.answers, high.answers))
        assert replace(one, confidence_second=None) == replace(other, confidence_second=None)
        assert one.confidence_second == pytest.approx(other.confidence_second, abs=1e-5)
        assert (one.confidence_first, one.verdict) == (low.answers[key].confidence_first, other.verdict)
