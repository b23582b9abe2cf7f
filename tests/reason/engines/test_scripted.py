"""The scripted engine keeps the protocol of engines, and runs real courses."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest

from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.two_answers import TwoAnswerCourse
from framegate.schemas.qa import Answer, Question
from tests.asking import GATED, NUMBER, YES_NO, answer_all, ask_about, boxed, drain, make_clip


def test_every_question_of_every_request_comes_back_once():
    engine = ScriptedEngine()
    runner = QuestionRunner(engine, GATED)
    for number in range(3):
        runner.add(ask_about(f"clip-{number}", YES_NO, NUMBER))
    assert runner.num_unfinished == engine.num_unfinished == 6
    keys = sorted((finished.request_id, finished.question.id) for finished in drain(runner))
    assert keys == [(f"clip-{number}", name) for number in range(3) for name in "nq"]
    assert engine.num_asks == 6
    assert engine.step() == []


def test_the_gate_is_the_real_one():
    def script(ask):
        unsure = math.log(0.5) if ask.clip.id == "clip-1" else -0.001
        return [*boxed("no", unsure), ("<think>x</think>\\boxed{", 0.0), ("yes", 0.0), ("}", 0.0)]

    strategy = Gated(threshold=0.9, max_answer_tokens=64, max_thinking_tokens=1024)
    requests = [ask_about(f"clip-{number}", YES_NO, num_frames=5) for number in range(2)]
    finished, engine = answer_all(strategy, *requests, script=script)
    sure, unsure = (finished[name, "q"].answer for name in ("clip-0", "clip-1"))
    assert isinstance(sure, Answer)
    assert isinstance(unsure, Answer)
    assert (sure.answer, sure.thinking) == ("no", False)
    assert (unsure.answer, unsure.thinking) == ("yes", True)
    assert (sure.num_prompt_tokens, sure.num_video_tokens) == (5 + 2, 5)
    assert engine.num_tokens == 3 + 6


def test_a_script_that_raises_fails_its_question_alone():
    def script(ask):
        if ask.question is NUMBER:
            raise RuntimeError("out of ideas")
        return [("\\boxed{yes}", 0.0)]

    finished, _ = answer_all(GATED, ask_about("clip", YES_NO, NUMBER), script=script)
    answered, failed = finished["clip", "q"], finished["clip", "n"]
    assert answered.answer is not None
    assert answered.answer.answer == "yes"
    assert (failed.failure_reason, failed.failure_message) == ("engine_error", "RuntimeError: out of ideas")


def test_a_course_that_is_over_before_its_first_token_fails_its_ask():
    class Over(TwoAnswerCourse):
        is_over = True

    (ask,) = GATED.begin(make_clip(), YES_NO)
    over = replace(ask, make_course=partial(Over, *ask.make_course.args, **ask.make_course.keywords))
    engine = ScriptedEngine()
    engine.add(over)
    (finished,) = engine.step()
    assert finished.failure_message == "the course of the ask is over before its first token"


@pytest.mark.parametrize(
    ("question_type", "expected"),
    [("choice", "a"), ("yes_no", "yes"), ("number", "1"), ("text", "yes"), ("span", "[30, 31]")],
)
def test_without_a_script_it_gives_a_readable_answer_of_each_type(question_type, expected):
    question = Question(id="q", text="?", type=question_type, options=("a",) if question_type == "choice" else ())
    finished, _ = answer_all(GATED, ask_about("clip", question, start_seconds=30.0))
    answer = finished["clip", "q"].answer
    assert answer is not None
    assert answer.answer == expected
