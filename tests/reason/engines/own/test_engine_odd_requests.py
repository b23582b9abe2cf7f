"""Requests that are unusual and right: many questions, equal ids, the same clip twice, nothing to think about."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from framegate.pipelines.reason.questions import Finished, QuestionRunner
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.schemas.qa import Question

ALWAYS = AlwaysThink(max_answer_tokens=3, max_thinking_tokens=6)


@pytest.fixture
def folder(random_checkpoints):
    return random_checkpoints["qwen2_5_vl"]


def finish(runner: QuestionRunner, requests) -> list[Finished]:
    for request in requests:
        runner.add(request)
    finished: list[Finished] = []
    for _ in range(1000):
        finished += runner.step()
        if not runner.num_unfinished:
            assert runner.running == []
            return finished
    raise AssertionError(f"{runner.num_unfinished} questions never come back")


def test_a_clip_with_ten_times_more_questions_than_slots_keeps_all_slots_busy(bench, folder):
    questions = tuple(
        Question(id=f"q{number}", text="look again " * (1 + number % 7), think="never" if number % 3 else "auto")
        for number in range(40)
    )
    runner = bench.runner(folder, ALWAYS, num_slots=4)
    runner.add(bench.make_request(0, questions))
    runner.add(bench.make_request(1, questions))
    num_busy: list[int] = []
    finished = []
    while runner.num_unfinished:
        finished += runner.step()
        num_busy.append(len(runner.running))
    assert Counter(one.request_id for one in finished) == {"clip-0": 40, "clip-1": 40}
    assert all(one.answer is not None for one in finished)
    assert max(num_busy) == 4
    # A direct answer takes 3 tokens, a thought one 3 + 6 + the closing and 3 more; slots are refilled in the next step.
    num_tokens = sum(one.answer.num_answer_tokens + one.answer.num_thinking_tokens for one in finished)
    assert len(num_busy) <= 1.15 * num_tokens / 4
    clips = [one.request_id for one in finished]
    assert clips.index("clip-1") >= 36, "who came first is served first"


def test_requests_with_one_id_and_one_clip_are_kept_apart(bench, folder):
    request = bench.make_request(0, (bench.sure, bench.sure, bench.unsure))
    finished = finish(bench.runner(folder, ALWAYS, num_slots=5), [request] * 3)
    assert Counter(one.question.id for one in finished) == {"sure": 6, "unsure": 3}
    assert len({one.answer.thinking_text for one in finished if one.question is bench.sure}) == 1


def test_questions_that_must_not_think_leave_after_their_first_answer_whatever_the_job_says(bench, folder):
    never = replace(bench.sure, think="never")
    runner = bench.runner(folder, ALWAYS, num_slots=4)
    finished = finish(runner, [bench.make_request(number, (never, never)) for number in range(5)])
    assert len(finished) == 10
    assert all(not one.answer.thinking and one.answer.num_answer_tokens == 3 for one in finished)
    assert runner.engine.times.think_seconds == 0
    assert runner.engine.times.num_step_rows == 10 * 2  # the first token comes with the prompt


def test_answers_of_one_token_come_in_the_step_in_which_their_questions_enter(bench, folder):
    gate = Direct(max_answer_tokens=1, max_thinking_tokens=1024)
    runner = bench.runner(folder, gate, num_slots=4)
    for number in range(3):
        runner.add(bench.make_request(number, (bench.sure, bench.unsure)))
    assert [len(runner.step()) for _ in range(3)] == [4, 2, 0]
    assert runner.engine.times.num_steps == 0


def test_thinking_of_one_token_is_closed_and_answered(bench, folder):
    gate = AlwaysThink(max_answer_tokens=1, max_thinking_tokens=1)
    [finished] = finish(bench.runner(folder, gate), [bench.make_request(0, (bench.sure,))])
    assert finished.answer.finish_reason == "thinking_budget"


def test_a_request_without_questions_is_no_work(bench, folder):
    runner = bench.runner(folder, ALWAYS)
    runner.add(bench.make_request(0, ()))
    assert runner.num_unfinished == 0
    assert runner.step() == []


def test_a_prompt_beyond_the_trained_positions_is_never_asked(bench, folder):
    """What the model would make of it is no answer."""
    runner = bench.runner(folder, ALWAYS, system_prompt="again " * 2500, num_slots=2)
    finished = finish(runner, [bench.make_request(0, (bench.sure, bench.unsure))])
    assert [(one.answer, one.failure_reason) for one in finished] == [(None, "too_long")] * 2
