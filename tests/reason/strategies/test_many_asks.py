"""Strategies with several asks per question, on the scripted engine: what is asked, and what the row says of it."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from framegate.pipelines.reason.engines.scripted import Written
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.many_asks import ManyAsks
from framegate.pipelines.reason.strategies.protocol import Ask, Strategy
from framegate.schemas.config.gate import GatedConfig
from framegate.schemas.config.many_asks import (
    FrameEnsembleConfig,
    LookAgainConfig,
    SelfConsistencyConfig,
    SparseToDenseConfig,
)
from framegate.schemas.qa import Answer, Question
from tests.asking import NUMBER, YES_NO, answer_all, ask_about, boxed

SURE, UNSURE = math.log(0.99), math.log(0.5)
LIMITS: dict[str, Any] = {"max_answer_tokens": 8, "max_thinking_tokens": 16}
LOOK = make_strategy(LookAgainConfig(sparse_share=0.25, sparse_threshold=0.95, threshold=0.9, **LIMITS))
ENSEMBLE = make_strategy(FrameEnsembleConfig(threshold=0.9, num_phases=3, **LIMITS))
DENSE = make_strategy(SparseToDenseConfig(sparse_share=0.25, agree_at=0.7, num_samples=3, **LIMITS))
CONFIDENCE, AGREEMENT, NONE = (
    make_strategy(SelfConsistencyConfig(decide_by=measure, threshold=0.9, num_samples=3, **LIMITS))
    for measure in ("confidence", "agreement", "none")
)
EVERY = (LOOK, ENSEMBLE, DENSE, CONFIDENCE, AGREEMENT, NONE)
Says = Mapping[str, tuple[str, float] | tuple[str, float, str]]
"""By label or stage: the first box, its log-probability, and the second box."""


def script(says: Says, asked: list[Ask]) -> Callable[[Ask], Sequence[Written]]:
    def write(ask: Ask) -> Sequence[Written]:
        asked.append(ask)
        first, logprob, *second = says.get(ask.label) or says[ask.label.rpartition(" ")[0]]
        return [*boxed(first, logprob), ("hm", 0.0), *boxed(second[0] if second else first, SURE)]

    return write


def answer(
    strategy: Strategy, says: Says, question: Question = YES_NO, *, num_frames: int = 16
) -> tuple[Answer, list[Ask]]:
    asked: list[Ask] = []
    finished, _ = answer_all(strategy, ask_about("a", question, num_frames=num_frames), script=script(says, asked))
    one = finished["a", question.id]
    assert one.answer is not None, one.failure_message
    assert one.answer.question == question, "as it is in the bank, whatever an ask was told of thinking"
    return one.answer, asked


def told(answer: Answer) -> list[tuple[str, int, str | None, bool]]:
    assert answer.asks is not None
    return [(one.label, one.num_frames, one.answer, one.thinking) for one in answer.asks]


# look_again


def test_a_sure_sparse_look_is_all() -> None:
    row, asked = answer(LOOK, {"sparse": ("yes", SURE)})
    assert [ask.frames for ask in asked] == [(0, 1, 8, 9)]
    assert told(row) == [("sparse", 4, "yes", False)]
    assert (row.answer, row.verdict.reason, row.threshold, row.thinking) == ("yes", "confident", 0.95, False)
    assert (row.num_video_tokens, row.num_answer_tokens, row.num_thinking_tokens) == (4, 3, 0)


def test_an_unsure_sparse_look_is_followed_by_a_dense_one() -> None:
    row, asked = answer(LOOK, {"sparse": ("no", UNSURE), "dense": ("yes", SURE)})
    assert [ask.frames for ask in asked] == [(0, 1, 8, 9), None]
    assert told(row) == [("sparse", 4, "no", False), ("dense", 16, "yes", False)]
    assert (row.answer, row.answer_first, row.verdict.reason, row.threshold) == ("yes", "yes", "confident", 0.9)
    assert (row.num_video_tokens, row.num_answer_tokens, row.confidence_first) == (20, 6, pytest.approx(0.99))
    assert row.asks is not None
    assert [one.confidence for one in row.asks] == [pytest.approx(0.5), pytest.approx(0.99)]


def test_who_is_still_unsure_thinks_in_the_dense_sequence() -> None:
    row, asked = answer(LOOK, {"sparse": ("no", UNSURE), "dense": ("no", UNSURE, "yes")})
    assert len(asked) == 2
    assert told(row) == [("sparse", 4, "no", False), ("dense", 16, "yes", True)]
    assert (row.answer, row.answer_first, row.answer_second, row.thinking_text) == ("yes", "no", "yes", "hm")
    assert (row.verdict.route, row.verdict.reason, row.num_answer_tokens) == ("think", "unsure", 6)
    assert row.num_thinking_tokens == 4
    assert row.first_token_ids is None


@pytest.mark.parametrize("first", ["", "perhaps"])
def test_a_sparse_look_that_cannot_be_read_is_no_answer(first: str) -> None:
    row, _ = answer(LOOK, {"sparse": (first, SURE), "dense": ("yes", SURE)})
    assert [label for label, *_ in told(row)] == ["sparse", "dense"]


def test_a_short_clip_is_looked_at_once() -> None:
    for num_frames in (1, 2):
        row, asked = answer(LOOK, {"dense": ("yes", SURE)}, num_frames=num_frames)
        assert [ask.frames for ask in asked] == [None]
        assert told(row) == [("dense", num_frames, "yes", False)]


def test_a_question_of_its_own_mind_is_looked_at_again_and_thought_about_as_it_says() -> None:
    says: Says = {"sparse": ("no", UNSURE), "dense": ("no", UNSURE, "yes")}
    row, _ = answer(LOOK, says, replace(YES_NO, think="never"))
    assert told(row) == [("sparse", 4, "no", False), ("dense", 16, "no", False)]
    row, _ = answer(LOOK, says, replace(YES_NO, think="always"))
    assert told(row) == [("dense", 16, "yes", True)]
    row, _ = answer(LOOK, says, replace(YES_NO, threshold=0.4))
    assert told(row) == [("sparse", 4, "no", False), ("dense", 16, "no", False)], "its threshold is of thinking"
    assert row.threshold == 0.4


# self_consistency


def test_who_is_sure_of_the_first_answer_is_not_sampled() -> None:
    row, asked = answer(CONFIDENCE, {"first": ("yes", SURE)})
    assert [ask.sampling.temperature for ask in asked] == [0.0]
    assert (row.answer, row.verdict.reason, row.agreement, row.threshold) == ("yes", "confident", None, 0.9)


def test_the_samples_of_an_unsure_row_think_and_vote() -> None:
    says: Says = {
        "first": ("no", UNSURE),
        "sample 0": ("no", SURE, "no"),
        "sample 1": ("no", SURE, "yes"),
        "sample 2": ("no", SURE, "Yes."),
    }
    row, asked = answer(CONFIDENCE, says)
    samples = asked[1:]
    assert [(ask.sampling.temperature, ask.sampling.top_p) for ask in samples] == [(0.7, 0.95)] * 3
    assert len({ask.sampling.seed for ask in samples}) == 3
    assert (row.answer, row.answer_bool, row.answer_first, row.answer_second) == ("yes", True, "no", "yes")
    assert (row.agreement, row.confidence_first) == (pytest.approx(2 / 3), pytest.approx(0.5))
    assert (row.verdict.route, row.verdict.reason, row.thinking_text) == ("think", "unsure", "hm")
    assert [one[0] for one in told(row)] == ["first", "sample 0", "sample 1", "sample 2"]
    assert (row.num_answer_tokens, row.num_thinking_tokens, row.num_video_tokens) == (12, 12, 64)


def test_agreement_is_a_measure_to_exit_by() -> None:
    row, asked = answer(AGREEMENT, {"guess": ("yes", UNSURE)})
    assert [ask.sampling.temperature for ask in asked] == [0.7] * 3
    assert (row.answer, row.verdict.reason, row.agreement, row.confidence_first) == ("yes", "confident", 1.0, 1.0)
    says: Says = {"guess 0": ("yes", SURE), "guess 1": ("yes", SURE), "guess 2": ("no", SURE), "sample": ("no", SURE)}
    row, asked = answer(AGREEMENT, says)
    assert len(asked) == 6
    assert (row.answer, row.verdict.reason, row.agreement) == ("no", "unsure", 1.0)
    assert (row.answer_first, row.confidence_first) == ("yes", pytest.approx(2 / 3))
    row, asked = answer(AGREEMENT, says, replace(YES_NO, threshold=0.6))
    assert (len(asked), row.answer, row.threshold) == (3, "yes", 0.6)


def test_without_a_measure_all_rows_are_sampled() -> None:
    row, asked = answer(NONE, {"sample": ("no", SURE, "yes")})
    assert (len(asked), row.answer, row.verdict.reason, row.agreement, row.threshold) == (3, "yes", "always", 1.0, None)


def test_questions_of_their_own_mind_are_sampled_as_they_say() -> None:
    says: Says = {"first": ("no", UNSURE), "guess": ("no", SURE), "sample": ("no", SURE, "yes")}
    for strategy, labels in ((CONFIDENCE, 1), (AGREEMENT, 3), (NONE, 3)):
        row, asked = answer(strategy, says, replace(YES_NO, think="never"))
        assert (len(asked), row.answer, row.thinking, row.verdict.reason) == (labels, "no", False, "never")
        row, asked = answer(strategy, says, replace(YES_NO, think="always"))
        assert (len(asked), row.answer, row.thinking, row.verdict.reason) == (3, "yes", True, "always")


def test_samples_that_cannot_be_read_leave_the_first_answer() -> None:
    row, _ = answer(CONFIDENCE, {"first": ("no", UNSURE), "sample": ("perhaps", SURE)})
    assert (row.answer, row.status, row.agreement) == ("no", "answered", 0.0)
    row, _ = answer(NONE, {"sample": ("perhaps", SURE)})
    assert (row.answer, row.status, row.agreement) == (None, "unparsed", 0.0)


# sparse_to_dense


def test_votes_that_agree_on_few_frames_are_enough() -> None:
    row, asked = answer(DENSE, {"round 0 sample": ("no", SURE, "yes")})
    assert [ask.frames for ask in asked] == [(0, 1, 8, 9)] * 3
    assert (row.answer, row.agreement, row.num_video_tokens) == ("yes", 1.0, 12)


def test_frames_are_doubled_until_votes_agree_or_all_are_seen() -> None:
    split: Says = {
        f"round {number} sample {sample}": ("yes", SURE, ("1", "2", "3")[sample])
        for number in range(3)
        for sample in range(3)
    }
    row, asked = answer(DENSE, split, NUMBER)
    assert [None if ask.frames is None else len(ask.frames) for ask in asked] == [4] * 3 + [8] * 3 + [None] * 3
    assert (row.answer, row.agreement, row.num_video_tokens) == ("1", pytest.approx(1 / 3), 3 * (4 + 8 + 16))
    row, asked = answer(DENSE, split | {f"round 1 sample {n}": ("1", SURE, "7") for n in range(3)}, NUMBER)
    assert (len(asked), row.answer, row.agreement) == (6, "7", 1.0)
    assert row.asks is not None
    assert [one.label for one in row.asks] == [f"round {n} sample {k}" for n in range(2) for k in range(3)]
    row, asked = answer(DENSE, {"round 0 sample": ("yes", SURE, "no")}, replace(YES_NO, think="never"))
    assert (len(asked), row.answer, row.thinking, row.verdict.reason) == (3, "yes", False, "never")


# frame_ensemble


def test_first_answers_on_the_phases_of_a_clip_are_averaged() -> None:
    row, asked = answer(ENSEMBLE, {"phase": ("yes", SURE)}, num_frames=12)
    assert [ask.frames for ask in asked] == [(0, 1, 6, 7), (2, 3, 8, 9), (4, 5, 10, 11)]
    assert (row.answer, row.verdict.reason) == ("yes", "confident")
    assert (row.agreement, row.confidence_first) == (pytest.approx(0.99), pytest.approx(0.99))
    assert row.num_video_tokens == 12


def test_a_mean_that_is_unsure_thinks_on_all_frames() -> None:
    says: Says = {
        "phase 0": ("no", SURE),
        "phase 1": ("yes", math.log(0.9)),
        "phase 2": ("yes", math.log(0.6)),
        "all": ("no", SURE, "no"),
    }
    row, asked = answer(ENSEMBLE, says)
    assert asked[-1].frames is None
    assert (row.answer, row.answer_first, row.verdict.reason) == ("no", "yes", "unsure")
    assert row.agreement == pytest.approx((0.9 + 0.6) / 3)
    assert [one[0] for one in told(row)] == ["phase 0", "phase 1", "phase 2", "all"]
    row, asked = answer(ENSEMBLE, says, replace(YES_NO, threshold=0.5))
    assert (len(asked), row.answer, row.threshold) == (3, "yes", 0.5)
    row, asked = answer(ENSEMBLE, says, replace(YES_NO, think="never"))
    assert (len(asked), row.answer, row.verdict.reason) == (3, "yes", "never")
    row, asked = answer(ENSEMBLE, says, replace(YES_NO, think="always"))
    assert ([ask.label for ask in asked], row.answer, row.agreement) == (["all"], "no", None)


def test_a_clip_has_no_more_phases_than_steps_and_ten_are_in_order() -> None:
    row, asked = answer(ENSEMBLE, {"phase": ("yes", SURE)}, num_frames=3)
    assert [ask.frames for ask in asked] == [(0, 1), (2,)]
    row, asked = answer(ENSEMBLE, {"phase": ("yes", SURE)}, num_frames=1)
    assert ([ask.frames for ask in asked], row.answer) == ([None], "yes")
    many = make_strategy(FrameEnsembleConfig(num_phases=12, **LIMITS))
    row, _ = answer(many, {"phase": ("yes", SURE)}, num_frames=24)
    assert [one[0] for one in told(row)] == [f"phase {k}" for k in range(12)]


def test_phases_that_cannot_be_read_think() -> None:
    row, _ = answer(ENSEMBLE, {"phase": ("perhaps", SURE), "all": ("yes", SURE)})
    assert (row.answer, row.agreement, row.verdict.reason) == ("yes", 0.0, "unsure")


# all of them


@pytest.mark.parametrize("strategy", EVERY, ids=lambda strategy: strategy.name)
def test_each_has_a_budget_for_every_ask(strategy: Strategy) -> None:
    """The longest way through: nothing agrees, and nobody is sure."""
    values = itertools.cycle("1234567")
    for think in ("auto", "never", "always"):
        question = replace(NUMBER, think=think)
        asked: list[Ask] = []

        def write(ask: Ask, asked: list[Ask] = asked) -> Sequence[Written]:
            asked.append(ask)
            return [*boxed(next(values), UNSURE), ("hm", 0.0), *boxed(next(values), UNSURE)]

        finished, _ = answer_all(strategy, ask_about("a", question, num_frames=16), script=write)
        assert finished["a", "n"].answer is not None
        budgets = sorted((ask.budget.num_tokens, ask.budget.forced_texts) for ask in asked)
        foreseen = sorted((budget.num_tokens, budget.forced_texts) for budget in strategy.budgets(question))
        assert budgets == foreseen


@pytest.mark.parametrize("strategy", EVERY, ids=lambda strategy: strategy.name)
def test_one_ask_that_fails_fails_its_question_alone(strategy: Strategy) -> None:
    def write(ask: Ask) -> Sequence[Written]:
        if ask.clip.id == "a" and ask.label.endswith(("0", "sparse", "first")):
            raise ValueError("no frames today")
        return boxed("yes", SURE)

    finished, _ = answer_all(strategy, ask_about("a", YES_NO), ask_about("b", YES_NO), script=write)
    assert finished["a", "q"].answer is None
    assert finished["a", "q"].failure_reason == "engine_error"
    assert "no frames today" in (finished["a", "q"].failure_message or "")
    assert finished["b", "q"].answer is not None


@pytest.mark.parametrize("strategy", EVERY, ids=lambda strategy: strategy.name)
def test_it_is_a_value_that_names_what_changes_answers(strategy: Strategy) -> None:
    assert isinstance(strategy, ManyAsks)
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    document = strategy.document()
    assert (document["strategy"], "threshold" in document) == (strategy.name, False)
    fields = {name for name in vars(strategy) if name != "threshold"}
    assert fields == document.keys() - {"strategy"}
    assert strategy.needs == ({"sampling"} if "temperature" in document else set())


def test_seeds_are_those_of_the_row_whatever_its_company() -> None:
    def seeds(name: str, *questions: Question) -> dict[str, list[int]]:
        asked: list[Ask] = []
        answer_all(NONE, ask_about(name, *questions), script=script({"sample": ("1", SURE)}, asked))
        return {q.id: [ask.sampling.seed for ask in asked if ask.question.id == q.id] for q in questions}

    together = seeds("a", YES_NO, NUMBER)
    assert together["q"] == seeds("b", YES_NO)["q"], "a request's id is another one in each run"
    assert len({*together["q"], *together["n"]}) == 6
    assert make_strategy(GatedConfig()).needs == set()
