"""The strategy entropy_switch on our own engine, in float32."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.pipelines.reason.strategies.build import make_deepened, make_strategy
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.schemas.config.entropy import EntropyConfig
from framegate.schemas.config.gate import EntropySwitchConfig, GatedConfig
from framegate.schemas.deepening import Thresholds
from tests.reason.engines.own.test_engine_deepened import SECONDS, goes_on_from
from tests.reason.engines.own.test_engine_equality import CLIPS, QUESTIONS
from tests.small_checkpoints import make_request

BUDGETS = {"threshold": 0.97, "max_answer_tokens": 6, "max_thinking_tokens": 20}
STRONG = {"rate": 0.3, "every": 1, "smoothing": 0.5, "patience": 4}


def make(budgets=BUDGETS, **entropy):
    return make_strategy(EntropySwitchConfig(**budgets, entropy=EntropyConfig(**entropy)))


@pytest.fixture
def requests():
    questions = tuple(replace(question, think="auto") for question in QUESTIONS)
    return [
        replace(make_request(number, questions, num_frames=frames, size=size), id=str(number))
        for number, frames, size in CLIPS[:3]
    ]


def plain(answer):
    return replace(answer, **SECONDS, entropy_peak_token=None, entropy_final=None)


@pytest.mark.parametrize("still", [{"mode": "off"}, {"rate": 0}], ids=str)
def test_with_nothing_added_answers_are_the_gates_bit_for_bit(
    bench, random_checkpoint, taught_checkpoint, requests, still
):
    more = [bench.make_request(number, (bench.sure, bench.unsure, bench.silent)) for number in range(3)]
    for folder, asked in ((random_checkpoint, requests), (taught_checkpoint, more)):
        gated = bench.run(bench.runner(folder, make_strategy(GatedConfig(**BUDGETS)), num_slots=16), asked)
        steered = make(**{**STRONG, **still})
        outcome = bench.run(bench.runner(folder, steered, num_slots=16), asked)
        assert {key: plain(answer) for key, answer in outcome.answers.items()} == {
            key: plain(answer) for key, answer in gated.answers.items()
        }
        thought = [answer for answer in outcome.answers.values() if answer.thinking]
        assert thought
        for answer in outcome.answers.values():
            assert (answer.entropy_peak_token is None) == (answer.entropy_final is None) == (not answer.thinking)
        assert all(0 <= answer.entropy_peak_token < answer.num_thinking_tokens for answer in thought)


@pytest.mark.parametrize("lite", [False, True])
def test_first_answers_are_the_gates_and_thoughts_are_not(bench, random_checkpoint, requests, lite):
    gated = bench.run(bench.runner(random_checkpoint, make_strategy(GatedConfig(**BUDGETS))), requests)
    found = {}
    for mode in ("switch", "minimise", "maximise"):
        outcome = bench.run(bench.runner(random_checkpoint, make(**STRONG, mode=mode, lite=lite)), requests)
        assert outcome.answers.keys() == gated.answers.keys()
        for key, answer in outcome.answers.items():
            expected = gated.answers[key]
            assert (answer.answer_first, answer.verdict) == (expected.answer_first, expected.verdict)
            assert answer.num_answer_tokens == expected.num_answer_tokens
        found[mode] = outcome.answers
        assert any(answer.thinking_text != gated.answers[key].thinking_text for key, answer in found[mode].items())
    ends = {mode: sum(one.entropy_final or 0 for one in answers.values()) for mode, answers in found.items()}
    assert ends["minimise"] < ends["maximise"]


@pytest.mark.parametrize("num_slots", [1, 3, 16])
def test_who_goes_on_later_writes_what_an_undisturbed_row_writes(bench, random_checkpoint, requests, num_slots):
    strategy = make(**STRONG)
    whole = bench.run(bench.runner(random_checkpoint, replace(strategy, threshold=1.0)), requests)
    budgets = {"max_answer_tokens": 6, "max_thinking_tokens": 20}
    first = bench.run(bench.runner(random_checkpoint, Direct(**budgets)), requests)
    deepened = make_deepened(strategy, Thresholds(default=1.0))
    again = bench.run(
        bench.runner(random_checkpoint, deepened, num_slots=num_slots), goes_on_from(requests, first.answers)
    )
    thought = {key for key, answer in whole.answers.items() if answer.thinking}
    assert thought
    for key in thought:
        one, other = again.answers[key], whole.answers[key]
        assert (one.thinking_text, one.answer, one.entropy_peak_token) == (
            other.thinking_text,
            other.answer,
            other.entropy_peak_token,
        )
        assert one.entropy_final == pytest.approx(other.entropy_final, rel=1e-3)
