"""Going on from a first answer that is there gives what an undisturbed gate with that threshold gives."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import pytest

from framegate.pipelines.reason.engines.scripted import Script, Written
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.qa import Answer, Question
from tests.asking import NUMBER, YES_NO, answer_all, ask_about, boxed, make_clip

BUDGETS = {"max_answer_tokens": 8, "max_thinking_tokens": 16}
THOUGHT: list[Written] = [("<think>", 0.0), ("hm", -0.2), ("</think>", 0.0)]
SCRIPTS: dict[str, list[Written]] = {
    "another answer": [*boxed("yes", math.log(0.98)), *THOUGHT, *boxed("no", -0.1)],
    "the same answer": [*boxed("yes", math.log(0.98)), *THOUGHT, *boxed("yes", -0.1)],
    "never a second box": [*boxed("yes", math.log(0.98)), *[("hm", -0.1)] * 40],
    "the turn ends": [*boxed("yes", math.log(0.98)), *THOUGHT],
    "a box that cannot be read": [*boxed("perhaps", math.log(0.98)), *THOUGHT, *boxed("yes", -0.1)],
}


def first_of(script: Script, question: Question = YES_NO, *, threshold: float = 0.97) -> Answer:
    found, _ = answer_all(Gated(threshold=threshold, **BUDGETS), ask_about("clip", question), script=script)
    answer = found["clip", question.id].answer
    assert answer is not None
    return answer


def given_of(answer: Answer) -> GivenAnswer:
    return GivenAnswer(
        token_ids=answer.first_token_ids, answer_first=answer.answer_first, confidence=answer.confidence_first
    )


def deepen(script: Script, given: GivenAnswer, question: Question = YES_NO, *, threshold: float | None = 0.99):
    request = replace(ask_about("clip", question), given={question.hash: given})
    found, engine = answer_all(Deepened(threshold=threshold, **BUDGETS), request, script=script)
    return found["clip", question.id], engine


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_whole_answer_is_that_of_an_undisturbed_gate(name: str) -> None:
    def script(ask):
        return SCRIPTS[name]

    first, undisturbed = first_of(script), first_of(script, threshold=0.99)
    assert (first.thinking, undisturbed.thinking) == (False, True)
    finished, _ = deepen(script, given_of(first))
    assert finished.answer == undisturbed
    assert finished.answer.first_token_ids is None


def test_a_row_without_tokens_is_asked_from_the_start() -> None:
    def script(ask):
        return SCRIPTS["another answer"]

    finished, engine = deepen(script, replace(given_of(first_of(script)), token_ids=None))
    assert finished.answer == first_of(script, threshold=0.99)
    assert engine.num_tokens == finished.answer.num_answer_tokens + finished.answer.num_thinking_tokens


def test_the_confidence_is_the_one_that_the_row_has() -> None:
    """Bit for bit, whatever is measured as the tokens are written again."""
    given = replace(given_of(first_of(lambda ask: SCRIPTS["another answer"])), confidence=0.9712345)
    finished, _ = deepen(lambda ask: SCRIPTS["another answer"], given)
    assert (finished.answer.confidence_first, finished.answer.verdict.reason) == (0.9712345, "unsure")


@pytest.mark.parametrize(("threshold", "reason"), [(None, "asked"), (0.5, "asked"), (0.99, "unsure")])
def test_the_reason_is_the_gates_where_it_has_one(threshold: float | None, reason: str) -> None:
    given = given_of(first_of(lambda ask: SCRIPTS["another answer"]))
    finished, _ = deepen(lambda ask: SCRIPTS["another answer"], given, threshold=threshold)
    assert (finished.answer.verdict.reason, finished.answer.answer) == (reason, "no")


def test_a_question_that_is_always_thought_about_now_says_so() -> None:
    given = given_of(first_of(lambda ask: SCRIPTS["another answer"]))
    finished, _ = deepen(lambda ask: SCRIPTS["another answer"], given, replace(YES_NO, think="always"))
    assert (finished.answer.verdict.reason, finished.answer.answer) == ("always", "no")


@pytest.mark.parametrize("threshold", [None, 0.99])
def test_a_row_without_a_box_is_thought_about_for_that_reason(threshold: float | None) -> None:
    script: list[Written] = [("I do not know.", -0.1)] * 8 + boxed("yes")
    found, _ = answer_all(Direct(**BUDGETS), ask_about("clip", YES_NO), script=lambda ask: script)
    first = found["clip", "q"].answer
    assert (first.answer_first, first.verdict.route) == (None, "exit")
    finished, _ = deepen(lambda ask: script, given_of(first), threshold=threshold)
    assert (finished.answer.verdict.reason, finished.answer.answer) == ("no_box", "yes")


def test_another_first_answer_fails_and_nothing_is_completed() -> None:
    given = replace(given_of(first_of(lambda ask: SCRIPTS["another answer"])), token_ids=None, answer_first="no")
    finished, _ = deepen(lambda ask: SCRIPTS["another answer"], given)
    assert (finished.answer, finished.failure_reason) == (None, "first_answer_differs")
    assert "'no'" in finished.failure_message
    assert "'yes'" in finished.failure_message


def test_each_question_of_a_clip_goes_on_from_its_own_answer() -> None:
    scripts = {"q": SCRIPTS["another answer"], "n": [*boxed("3", math.log(0.98)), *THOUGHT, *boxed("4", -0.1)]}

    def script(ask):
        return scripts[ask.question.id]

    given = {question.hash: given_of(first_of(script, question)) for question in (YES_NO, NUMBER)}
    request = replace(ask_about("clip", YES_NO, NUMBER), given=given)
    found, _ = answer_all(Deepened(threshold=0.99, **BUDGETS), request, script=script)
    assert [found["clip", id].answer.answer for id in ("q", "n")] == ["no", "4"]


def test_it_travels_to_a_worker() -> None:
    given = given_of(first_of(lambda ask: SCRIPTS["another answer"]))
    clip = replace(make_clip(), given={YES_NO.hash: given})
    (ask,) = Deepened(threshold=0.99, **BUDGETS).begin(clip, YES_NO)
    course = pickle.loads(pickle.dumps(ask.make_course))()
    assert len(course.forced) == 3
