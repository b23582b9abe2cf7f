"""The strategies that a job can name: what they decide, what they may write, and what of them is in config_id."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import judge
from framegate.pipelines.reason.strategies.protocol import ClipFrames, Strategy, Token, TokenBudget
from framegate.pipelines.reason.strategies.two_answers import TwoAnswerCourse
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config.gate import AlwaysThinkConfig, DirectConfig, GatedConfig
from framegate.schemas.qa import Question, ThinkPolicy, Verdict

QUESTION = Question(id="q", text="Did it?", type="yes_no")
FRAMES = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=1.0)
CLIP = ClipFrames(id="clip", frames=FRAMES, start_seconds=0.0)
BUDGETS = {"max_answer_tokens": 6, "max_thinking_tokens": 8}
STRATEGIES = {
    "direct": make_strategy(DirectConfig(**BUDGETS)),
    "always_think": make_strategy(AlwaysThinkConfig(**BUDGETS)),
    "gated": make_strategy(GatedConfig(threshold=0.97, **BUDGETS)),
}


def course_of(strategy: Strategy, think: ThinkPolicy = "auto") -> TwoAnswerCourse:
    """As in a worker: pickled, and made over there."""
    (ask,) = strategy.begin(CLIP, replace(QUESTION, think=think))
    course = pickle.loads(pickle.dumps(ask.make_course))()
    assert isinstance(course, TwoAnswerCourse)
    course.start({FORCED_CLOSING: [9]})
    return course


def write(course: TwoAnswerCourse, *tokens: tuple[str, float]) -> TwoAnswerCourse:
    for text, logprob in tokens:
        course.append(Token(1, text.encode(), logprob))
    return course


@pytest.mark.parametrize(
    ("first", "confidence", "route", "reason"),
    [
        ("box", 1.0, "exit", "confident"),
        ("box", 0.97, "exit", "confident"),
        ("box", 0.9699, "think", "unsure"),
        ("box", 0.0, "think", "unsure"),
        ("empty_box", None, "think", "empty_box"),
        ("no_box", None, "think", "no_box"),
        ("fallback", None, "think", "fallback"),
    ],
)
def test_the_gate_table(first, confidence, route, reason):
    assert judge(first, confidence, 0.97) == Verdict(route=route, reason=reason, confidence=confidence)


@pytest.mark.parametrize(("first", "confidence"), [("box", None), ("no_box", 0.5), ("fallback", 1.0)])
def test_a_confidence_goes_with_a_box_and_with_nothing_else(first, confidence):
    with pytest.raises(ValueError, match="confidence"):
        judge(first, confidence, 0.97)


@pytest.mark.parametrize(
    ("strategy", "think", "confidence", "route", "reason"),
    [
        ("direct", "auto", 0.1, "exit", "never"),
        ("always_think", "auto", 0.99, "think", "always"),
        ("gated", "auto", 0.99, "exit", "confident"),
        ("gated", "auto", 0.1, "think", "unsure"),
        ("gated", "never", 0.1, "exit", "never"),
        ("gated", "always", 0.99, "think", "always"),
        ("direct", "always", 0.99, "think", "always"),
        ("always_think", "never", 0.1, "exit", "never"),
    ],
)
def test_a_questions_own_wish_wins_over_the_jobs_strategy(strategy, think, confidence, route, reason):
    course = course_of(STRATEGIES[strategy], think)
    write(course, ("\\boxed{", 0.0), ("yes", float(np.log(confidence))), ("}", 0.0))
    assert course.verdict is not None
    assert (course.verdict.route, course.verdict.reason) == (route, reason)
    assert course.verdict.confidence == pytest.approx(confidence)
    assert (course.is_over, course.is_thinking) == (route == "exit", True)


@pytest.mark.parametrize("written", ["\\boxed{ }", "no box\n" * 6, "Let's analyze the clip"])
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_every_strategy_has_a_verdict_where_there_is_nothing_to_measure(strategy, written):
    course = write(course_of(strategy), *((piece, -0.1) for piece in written.splitlines()))
    assert course.verdict is not None
    assert course.verdict.confidence is None


@pytest.mark.parametrize(
    ("strategy", "think", "num_tokens", "num_forced"),
    [
        ("direct", "auto", 6, 0),
        ("direct", "never", 6, 0),
        ("direct", "always", 20, 1),
        ("gated", "auto", 20, 1),
        ("gated", "never", 6, 0),
        ("always_think", "auto", 20, 1),
        ("always_think", "never", 6, 0),
    ],
)
def test_a_budget_is_for_both_answers_thoughts_and_the_closing_where_a_question_may_be_thought_about(
    strategy, think, num_tokens, num_forced
):
    question = replace(QUESTION, think=think)
    (budget,) = STRATEGIES[strategy].budgets(question)
    assert budget == TokenBudget(num_tokens=num_tokens, forced_texts=(FORCED_CLOSING,) * num_forced)
    assert budget.max_tokens(lambda text: 4) == num_tokens + 4 * num_forced
    (ask,) = STRATEGIES[strategy].begin(CLIP, question)
    assert (ask.budget, ask.suffix, ask.frames) == (budget, suffix_after_video(question), None)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_the_document_has_what_can_change_an_answer_and_no_threshold(strategy):
    expected = {"strategy": strategy.name, "max_answer_tokens": 6, "max_thinking_tokens": 8}
    assert strategy.document() == expected
    assert list(strategy.document()) == list(expected)


def test_only_the_gate_has_a_threshold_and_nothing_is_needed_of_an_engine():
    rulings = {name: strategy.ruling(CLIP, QUESTION) for name, strategy in STRATEGIES.items()}
    assert {name: ruling.threshold for name, ruling in rulings.items()} == {
        "direct": None, "always_think": None, "gated": 0.97,
    }  # fmt: skip
    assert all(strategy.name == name and not strategy.needs for name, strategy in STRATEGIES.items())


def test_strategies_are_values_that_travel():
    for strategy in STRATEGIES.values():
        assert pickle.loads(pickle.dumps(strategy)) == strategy
        with pytest.raises(AttributeError):
            strategy.max_answer_tokens = 7
