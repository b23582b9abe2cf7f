"""The scripted engine keeps the engine's protocol and runs the real gate."""

from __future__ import annotations

import math

import pytest

from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.config import GateConfig
from framegate.schemas.qa import Question

QUESTION = Question(id="q", text="Did it?", type="yes_no")
OTHER = Question(id="r", text="How many?", type="number")


def drain(engine: ScriptedEngine) -> list:
    finished = []
    while engine.num_unfinished:
        finished += engine.step()
    return finished


def test_every_question_of_every_request_comes_back_once(bench):
    engine = ScriptedEngine()
    for number in range(3):
        engine.add(bench.make_request(number, (QUESTION, OTHER)))
    assert engine.num_unfinished == 6
    keys = sorted((finished.request_id, finished.question.id) for finished in drain(engine))
    assert keys == [(f"clip-{number}", name) for number in range(3) for name in "qr"]
    assert engine.num_requests == 3
    assert engine.step() == []


def test_the_gate_is_the_real_one(bench):
    def script(request, question):
        unsure = math.log(0.5) if request.id == "clip-1" else -0.001
        return [
            ("\\boxed{", 0.0),
            ("no", unsure),
            ("}", 0.0),
            ("<think>x</think>\\boxed{", 0.0),
            ("yes", 0.0),
            ("}", 0.0),
        ]

    engine = ScriptedEngine(script, gate=GateConfig(threshold=0.9))
    for number in range(2):
        engine.add(bench.make_request(number, (QUESTION,)))
    answers = {finished.request_id: finished.answer for finished in drain(engine)}
    assert (answers["clip-0"].answer, answers["clip-0"].thinking) == ("no", False)
    assert (answers["clip-1"].answer, answers["clip-1"].thinking) == ("yes", True)
    assert engine.num_tokens == 3 + 6


def test_a_script_that_raises_fails_its_question_alone(bench):
    def script(request, question):
        if question is OTHER:
            raise RuntimeError("out of ideas")
        return [("\\boxed{yes}", 0.0)]

    engine = ScriptedEngine(script)
    engine.add(bench.make_request(0, (QUESTION, OTHER)))
    by_id = {finished.question.id: finished for finished in drain(engine)}
    assert by_id["q"].answer.answer == "yes"
    assert (by_id["r"].failure_reason, by_id["r"].failure_message) == ("engine_error", "RuntimeError: out of ideas")


@pytest.mark.parametrize(
    ("question_type", "expected"),
    [("choice", "A"), ("yes_no", "yes"), ("number", "1"), ("text", "yes"), ("span", "[30, 31]")],
)
def test_without_a_script_it_gives_a_readable_answer_of_each_type(bench, question_type, expected):
    engine = ScriptedEngine()
    question = Question(id="q", text="?", type=question_type, options=("a",) if question_type == "choice" else ())
    engine.add(bench.make_request(1, (question,)))
    [finished] = drain(engine)
    assert finished.answer.answer == expected
