"""Questions over an engine of asks: each comes back once, whatever strategies and engines do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers, exit_always
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question
from tests.asking import GATED, NUMBER, YES_NO, answer_all, ask_about, boxed, drain

After = Callable[[Sequence[FinishedAsk], int], Any]


@dataclass(frozen=True, kw_only=True)
class Says(TwoAnswers):
    """Asks `num_asks` times at first; what follows is the test's to say."""

    max_answer_tokens: int = 8
    max_thinking_tokens: int = 8
    num_asks: int = 1
    then: After | None = None
    seen: list[tuple[int, int]] = field(default_factory=list, compare=False)

    name = "says"
    needs = frozenset()

    @property
    def decide(self):
        return exit_always

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        return [ask for number in range(self.num_asks) for ask in self.again(clip, question, str(number))]

    def again(self, clip: ClipFrames, question: Question, label: str) -> Sequence[Ask]:
        return [replace(ask, label=label) for ask in super().begin(clip, question)]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        self.seen.append((len(finished), num_open))
        return super().after(finished[-1:], num_open) if self.then is None else self.then(finished, num_open)

    def answer(self, one: FinishedAsk) -> Answer:
        return super().after([one], 0)


def failure_of(strategy: Says, **options: Any) -> tuple[str | None, str | None]:
    finished, _ = answer_all(strategy, ask_about("clip", YES_NO), **options)
    one = finished["clip", "q"]
    assert one.answer is None
    return one.failure_reason, one.failure_message


def test_a_strategy_waits_for_its_asks_and_asks_again() -> None:
    def then(finished: Sequence[FinishedAsk], num_open: int) -> Any:
        if num_open:
            return None
        if len(finished) == 3:
            return strategy.again(finished[0].ask.clip, finished[0].ask.question, "last")
        return strategy.answer(finished[-1])

    strategy = Says(num_asks=3, then=then)
    finished, engine = answer_all(strategy, ask_about("a", YES_NO), ask_about("b", YES_NO))
    assert all(one.answer is not None for one in finished.values())
    assert engine.num_asks == 2 * 4
    assert sorted(strategy.seen) == sorted(2 * [(1, 2), (2, 1), (3, 0), (4, 0)])


def test_asks_are_added_while_others_run() -> None:
    """After the first ask that ends, another one joins the two that are still open."""

    def script(ask: Ask) -> Sequence[Any]:
        return [("word", 0.0)] * 3 * int(ask.label) + boxed("yes")

    def then(finished: Sequence[FinishedAsk], num_open: int) -> Any:
        if len(finished) == 1:
            return strategy.again(finished[0].ask.clip, finished[0].ask.question, "0")
        return None if num_open else strategy.answer(finished[-1])

    strategy = Says(num_asks=3, then=then, max_answer_tokens=20)
    finished, _ = answer_all(strategy, ask_about("clip", YES_NO), script=script)
    assert finished["clip", "q"].answer is not None
    assert strategy.seen == [(1, 2), (2, 2), (3, 1), (4, 0)]


def test_one_ask_that_fails_fails_the_question_once_the_others_have_ended() -> None:
    def script(ask: Ask) -> Sequence[Any]:
        if ask.label == "1":
            raise ValueError("ill")
        return [("word", 0.0)] * int(ask.label) + boxed("yes")

    strategy = Says(num_asks=3, then=lambda finished, num_open: None)
    assert failure_of(strategy, script=script) == ("engine_error", "ValueError: ill")
    assert strategy.seen == [], "a question that failed is not asked about again"


def test_the_first_of_two_failures_is_told() -> None:
    def script(ask: Ask) -> Sequence[Any]:
        raise ValueError(f"ill {ask.label}")

    assert failure_of(Says(num_asks=2), script=script) == ("engine_error", "ValueError: ill 0")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Says(num_asks=0), "the strategy says asks nothing"),
        (Says(then=lambda finished, num_open: None), "the strategy says waits for asks, and none is open"),
        (Says(then=lambda finished, num_open: []), "the strategy says waits for asks, and none is open"),
        (Says(then=lambda finished, num_open: 1 / 0), "ZeroDivisionError: division by zero"),
        (
            Says(then=lambda finished, num_open: [replace(finished[0].ask)] * 2),
            "the strategy says asks the same ask twice",
        ),
    ],
)
def test_a_strategy_that_errs_fails_its_question_with_a_sentence(strategy: Says, message: str) -> None:
    assert failure_of(strategy) == ("engine_error", message)


def test_an_answer_that_comes_too_early_fails_after_the_open_asks() -> None:
    strategy = Says(num_asks=3, then=lambda finished, num_open: strategy.answer(finished[0]))
    message = "the strategy says answered with 2 asks still open"
    assert failure_of(strategy) == ("engine_error", message)
    assert strategy.seen == [(1, 2)]


def test_a_question_that_fails_disturbs_no_other() -> None:
    class HalfWell(Says):
        def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
            if question is NUMBER:
                raise RuntimeError("cannot count")
            return super().begin(clip, question)

    finished, _ = answer_all(HalfWell(), ask_about("clip", NUMBER, YES_NO))
    assert finished["clip", "n"].failure_message == "RuntimeError: cannot count"
    assert finished["clip", "q"].answer is not None


def test_what_begin_fails_is_unfinished_until_the_next_step() -> None:
    runner = QuestionRunner(ScriptedEngine(), Says(num_asks=0))
    runner.add(ask_about("clip", YES_NO))
    assert (runner.num_unfinished, runner.engine.num_unfinished) == (1, 0)
    assert len(runner.step()) == 1
    assert runner.num_unfinished == 0


def test_a_course_that_goes_on_beyond_its_budget_fails() -> None:
    class Short(Says):
        def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
            return [replace(ask, budget=replace(ask.budget, num_tokens=2)) for ask in super().begin(clip, question)]

    assert failure_of(Short()) == ("engine_error", "the course goes on beyond its budget of 2 tokens")


def test_what_an_engine_raises_is_raised_and_a_fatal_error_is_never_one_questions() -> None:
    class Full(ScriptedEngine):
        def add(self, ask: Ask) -> None:
            raise RuntimeError("the engine is full")

    with pytest.raises(RuntimeError, match="full"):
        QuestionRunner(Full(), GATED).add(ask_about("clip", YES_NO))

    def then(finished: Sequence[FinishedAsk], num_open: int) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    runner = QuestionRunner(ScriptedEngine(), Says(then=then))
    runner.add(ask_about("clip", YES_NO))
    with pytest.raises(RuntimeError, match="CUDA"):
        drain(runner)


def test_an_engine_that_lacks_what_is_needed_is_refused() -> None:
    class Greedy(ScriptedEngine):
        capabilities = frozenset({"distribution"})

    class Samples(Says):
        needs = frozenset({"sampling", "distribution"})

    with pytest.raises(
        EngineError, match=r"the strategy says needs tokens that are drawn \(sampling\), which the engine lacks"
    ):
        QuestionRunner(Greedy(), Samples())


@dataclass(frozen=True, kw_only=True)
class InStep(Says):
    """Asks so often, one ask after the other, each in step with those of other questions of the clip."""

    times: int = 3

    def again(self, clip: ClipFrames, question: Question, label: str) -> Sequence[Ask]:
        return [replace(ask, in_step=True) for ask in super().again(clip, question, label)]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        last = finished[-1]
        if len(finished) < self.times + len(last.ask.question.id):
            return self.again(last.ask.clip, last.ask.question, str(len(finished)))
        return self.answer(last)


def test_asks_in_step_begin_together_and_wait_for_no_question_that_is_over() -> None:
    """From the first one on. A question with a longer id is asked more often; each has answers of another length."""
    together: list[set[str]] = []

    def watch(asks: Sequence[Ask]) -> None:
        together.append({ask.label for ask in asks if ask.clip.id == "a"})

    def write(ask: Ask) -> Any:
        return [*[("hm", 0.0)] * (len(ask.question.id) + int(ask.label)), *boxed("yes")]

    questions = tuple(replace(YES_NO, id="q" * number, text=f"Did it, {number}?") for number in (1, 2, 3))
    engine = ScriptedEngine(write, before_step=watch)
    added: list[tuple[int, str]] = []
    add = engine.add

    def record(ask: Ask) -> None:
        if ask.clip.id == "a":
            added.append((len(together), ask.label))
        add(ask)

    engine.add = record  # type: ignore[method-assign]
    runner = QuestionRunner(engine, InStep(max_answer_tokens=32))
    runner.add(ask_about("a", *questions))
    assert len(added) == 3, "all of them are there before the first step"
    runner.add(ask_about("b", questions[0]))
    finished = drain(runner)
    assert len(finished) == 4
    assert all(one.answer is not None for one in finished)
    assert all(len(labels) <= 1 for labels in together)
    starts = {label: {step for step, name in added if name == label} for _, label in added}
    assert all(len(steps) == 1 for steps in starts.values()), starts
    assert [label for _, label in added] == ["0"] * 3 + ["1"] * 3 + ["2"] * 3 + ["3"] * 3 + ["4"] * 2 + ["5"]


def test_a_question_whose_ask_fails_frees_those_that_wait_for_it() -> None:
    def write(ask: Ask) -> Any:
        if ask.question.id == "q" and ask.label == "2":
            raise ValueError("not today")
        return boxed("1")

    finished, _ = answer_all(InStep(max_answer_tokens=8), ask_about("a", YES_NO, NUMBER), script=write)
    assert finished["a", "q"].failure_reason == "engine_error"
    assert finished["a", "n"].answer is not None
