"""`gate.measures`: other measures of first answers, from distributions made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from framegate.pipelines.reason.asking.confidence import measure_mean, measure_min_probability
from framegate.pipelines.reason.engines.scripted import Script, Written
from framegate.pipelines.reason.strategies.answer_tokens import needs_of
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Ask, Strategy
from framegate.schemas.config.gate import AlwaysThinkConfig, DirectConfig, GatedConfig
from framegate.schemas.qa import Answer, Measure, Question
from tests.asking import NUMBER, YES_NO, answer_all, ask_about, boxed

ALL: tuple[Measure, ...] = ("min_probability", "margin", "entropy")
CHOICE = Question(id="c", text="Which?", type="choice", options=("red", "blue"))


def written(text: str, probabilities: Sequence[float]) -> Written:
    """The first token of a distribution, as an engine tells it."""
    first, *others = probabilities
    entropy = -sum(p * math.log(p) for p in probabilities)
    return text, math.log(first), entropy, first - max(others)


TENS, ONES = written("1", [0.5, 0.25, 0.25]), written("2", [0.8, 0.1, 0.1])
TWELVE: list[Written] = [written("\\boxed{", [0.3, 0.7]), TENS, ONES, written("}", [0.2, 0.8])]
MEAN_ENTROPY = (1.5 * math.log(2) + 0.8 * math.log(1 / 0.8) + 0.2 * math.log(10)) / 2


def gated(measures: tuple[Measure, ...], **more: object) -> Strategy:
    return make_strategy(GatedConfig.model_validate({"measures": measures, **more}))


def ask(strategy: Strategy, script: Sequence[Written] | Script, question: Question = NUMBER) -> Answer:
    found, _ = answer_all(
        strategy, ask_about("clip", question), script=script if callable(script) else lambda _: script
    )
    answer = found["clip", question.id].answer
    assert answer is not None, found["clip", question.id].failure_message
    return answer


def measured(answer: Answer) -> tuple[float | None, float | None, float | None]:
    return answer.confidence_min_probability, answer.confidence_margin, answer.confidence_entropy


def test_measures_are_of_the_answers_tokens_alone() -> None:
    for strategy in (
        gated(ALL, threshold=0.1),
        make_strategy(DirectConfig(measures=ALL)),
        make_strategy(AlwaysThinkConfig(measures=ALL)),
    ):
        answer = ask(strategy, TWELVE)
        assert answer.answer_first == "12"
        assert measured(answer) == pytest.approx((0.5, (0.25 + 0.7) / 2, MEAN_ENTROPY), abs=1e-12)
        assert answer.confidence_first == pytest.approx(math.sqrt(0.5 * 0.8))


def test_of_a_choice_the_letter_counts() -> None:
    script = [written("\\boxed{(", [0.4, 0.6]), written("B", [0.7, 0.3]), written(") blue}", [0.3, 0.7])]
    assert measured(ask(gated(ALL), script, CHOICE)) == pytest.approx(
        (0.7, 0.4, -0.7 * math.log(0.7) - 0.3 * math.log(0.3)), abs=1e-12
    )


@pytest.mark.parametrize("named", [(), ("entropy",), ("margin", "min_probability"), ("min_probability",)])
def test_what_is_not_asked_for_is_null_and_changes_nothing(named) -> None:
    without, answer = ask(gated((), threshold=0.1), TWELVE), ask(gated(named, threshold=0.1), TWELVE)
    told = dict(zip(ALL, measured(answer), strict=True))
    assert {name for name, value in told.items() if value is not None} == set(named)
    nothing = {"confidence_min_probability": None, "confidence_margin": None, "confidence_entropy": None}
    assert replace(answer, **nothing) == without
    assert gated(named).document() == gated(()).document()


def test_the_distribution_is_needed_for_margin_and_entropy_until_thinking() -> None:
    asks: list[Ask] = []

    def script(ask: Ask) -> Sequence[Written]:
        asks.append(ask)
        return boxed("1")

    for named in ((), ("min_probability",), ("margin",), ("entropy",)):
        strategy = gated(named)
        assert strategy.needs == needs_of(named)
        answer_all(strategy, ask_about("clip", NUMBER), script=script) if "margin" not in named else None
    assert [(one.needs_distribution, one.until_thinking) for one in asks] == [
        (False, True),
        (False, True),
        (True, True),
    ]
    assert [needs_of([name]) for name in ALL] == [frozenset(), {"distribution"}, {"distribution"}]


def test_an_engine_that_does_not_tell_fails_the_question() -> None:
    found, _ = answer_all(gated(("margin",)), ask_about("clip", YES_NO), script=lambda _: boxed("yes"))
    assert "gate.measures has margin, and the engine did not tell it of 1 tokens" in str(
        found["clip", "q"].failure_message
    )


@pytest.mark.parametrize("script", [[("\\boxed{ }", -0.1)], [("no box", -0.1)], [("Let's analyze it", -0.1)]])
def test_there_is_nothing_to_measure_without_a_box(script) -> None:
    answer = ask(gated(ALL), script)
    assert (answer.confidence_first, *measured(answer)) == (None,) * 4


def test_a_row_that_thinks_or_is_asked_anew_keeps_the_measures_of_its_first_answer() -> None:
    twice = [*TWELVE, *boxed("3")]
    thought = ask(gated(ALL, threshold=0.99), twice)
    anew = ask(
        gated(ALL, threshold=0.99, inner="video_cot"),
        lambda ask: TWELVE if "at once" in str(ask.suffix) else boxed("3"),
    )
    for answer in (thought, anew):
        assert (answer.answer_first, answer.answer_second) == ("12", "3")
        assert measured(answer) == pytest.approx((0.5, 0.475, MEAN_ENTROPY), abs=1e-12)


def test_no_tokens_at_all_are_an_error() -> None:
    for measure in (measure_min_probability, measure_mean):
        with pytest.raises(ValueError, match=r"."):
            measure([])


def test_a_measure_is_named_once() -> None:
    with pytest.raises(ValueError, match="each measure is named once, got margin, margin"):
        GatedConfig(measures=("margin", "margin"))
