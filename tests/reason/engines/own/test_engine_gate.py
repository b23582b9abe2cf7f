"""The gate in the engine, with weights that were taught to box answers: exit, think, end, forced closing, failure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from framegate.pipelines.reason.asking.answers import answer_region
from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.asking.wording import STEP_BY_STEP
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.video_cot import VideoCot
from framegate.schemas.clip import FrameBatch
from tests.reason.engines.own.model_oracle import logprobs_along

ALWAYS = AlwaysThink(max_answer_tokens=16, max_thinking_tokens=48)
GATED = Gated(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=48)
DIRECT = Direct(max_answer_tokens=16, max_thinking_tokens=48)
SURE, UNSURE, SILENT = ("clip-0", "sure"), ("clip-1", "unsure"), ("clip-2", "silent")


@pytest.fixture
def requests(bench):
    return [
        bench.make_request(number, (question,))
        for number, question in enumerate((bench.sure, bench.unsure, bench.silent))
    ]


def test_a_sure_first_answer_exits_and_not_one_more_token_is_written(bench, taught_checkpoint, requests):
    outcome = bench.run(bench.runner(taught_checkpoint, GATED), requests)
    answer = outcome.answers[SURE]
    assert (answer.answer, answer.finish_reason, answer.thinking) == ("yes", "exit", False)
    assert (answer.verdict.route, answer.verdict.reason) == ("exit", "confident")
    assert answer.confidence_first > 0.9
    assert (answer.answer_second, answer.confidence_second, answer.thinking_text) == (None, None, None)
    assert len(outcome.token_ids[SURE]) == answer.num_answer_tokens
    assert answer.num_thinking_tokens == 0
    pieces = bench.load(taught_checkpoint).pieces
    assert b"".join(pieces[token_id] for token_id in outcome.token_ids[SURE]).startswith(b"\\boxed{yes}")


def test_an_unsure_first_answer_is_thought_about_in_the_same_sequence(bench, taught_checkpoint, requests):
    answer = bench.run(bench.runner(taught_checkpoint, GATED), requests).answers[UNSURE]
    assert (answer.verdict.route, answer.verdict.reason) == ("think", "unsure")
    assert 0.3 < answer.confidence_first < 0.7
    assert (answer.answer_letter, answer.answer_second, answer.finish_reason) == ("B", "B", "answered")
    assert answer.thinking_text == "look again"
    assert answer.confidence_second > 0.9


def test_a_turn_that_ends_without_a_box_is_unparsed_and_never_no(bench, taught_checkpoint, requests):
    answer = bench.run(bench.runner(taught_checkpoint, GATED), requests).answers[SILENT]
    assert (answer.answer, answer.status, answer.finish_reason) == (None, "unparsed", "ended")
    assert (answer.verdict.reason, answer.confidence_first) == ("no_box", None)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_the_width_gives_the_same_verdicts_and_answers(bench, taught_checkpoint, requests, dtype):
    narrow = Checkpoint(str(taught_checkpoint), revision=None, dtype=dtype, device="cpu")
    told = [
        {key: (answer.answer, answer.verdict.route, answer.finish_reason) for key, answer in outcome.answers.items()}
        for outcome in (bench.run(bench.runner(model, GATED), requests) for model in (narrow, taught_checkpoint))
    ]
    assert told[0] == told[1]


def test_gated_writes_a_prefix_of_what_always_think_writes(bench, taught_checkpoint, requests):
    always = bench.run(bench.runner(taught_checkpoint, ALWAYS), requests)
    gated = bench.run(bench.runner(taught_checkpoint, GATED), requests)
    direct = bench.run(bench.runner(taught_checkpoint, DIRECT), requests)
    for key, token_ids in always.token_ids.items():
        assert token_ids[: len(gated.token_ids[key])] == gated.token_ids[key]
        assert gated.token_ids[key][: len(direct.token_ids[key])] == direct.token_ids[key]
    assert len(gated.token_ids[SURE]) < len(always.token_ids[SURE])
    assert gated.token_ids[UNSURE] == always.token_ids[UNSURE]
    assert all(not answer.thinking for answer in direct.answers.values())


def test_a_slot_is_free_for_the_next_question_as_soon_as_one_exits(bench, taught_checkpoint):
    runner = bench.runner(taught_checkpoint, GATED, num_slots=1)
    request = bench.make_request(0, (bench.sure,))
    for number in range(3):
        runner.add(replace(request, id=f"copy-{number}"))
    num_steps = 0
    while runner.num_unfinished:
        runner.step()
        num_steps += 1
        assert len(runner.running) <= 1
    alone = bench.run(bench.runner(taught_checkpoint, GATED), [request])
    num_tokens = alone.answers[SURE].num_answer_tokens
    # A question's first step reads its prompt and writes two tokens.
    assert num_steps == 3 * (num_tokens - 1)


def test_those_that_think_together_write_what_they_would_alone_in_fewer_steps(bench, taught_checkpoint):
    sure, unsure = (bench.make_request(number, (one,)) for number, one in enumerate((bench.sure, bench.unsure)))
    requests = [replace(sure if number % 3 else unsure, id=f"copy-{number}") for number in range(15)]
    outcomes, num_steps = [], []
    for num_paused_steps in (0, 512):
        runner = bench.runner(taught_checkpoint, GATED, num_slots=5)
        runner.engine.scheduler.num_paused_steps = num_paused_steps
        outcomes.append(bench.run(runner, requests).token_ids)
        num_steps.append(runner.engine.times.num_steps)
    assert outcomes[0] == outcomes[1]
    assert num_steps[1] < num_steps[0]


def test_thinking_over_its_budget_is_closed_by_force_and_an_answer_still_comes(bench, random_checkpoint):
    gate = AlwaysThink(max_answer_tokens=5, max_thinking_tokens=7)
    outcome = bench.run(bench.runner(random_checkpoint, gate), [bench.make_request(0, (bench.sure,))])
    closing = bench.load(random_checkpoint).encode(FORCED_CLOSING)
    token_ids, answer = outcome.token_ids[SURE], outcome.answers[SURE]
    assert token_ids[5 + 7 : 5 + 7 + len(closing)] == closing
    assert answer.finish_reason == "thinking_budget"
    assert answer.num_answer_tokens == 5
    assert answer.num_thinking_tokens == len(token_ids) - 5 <= 7 + len(closing) + 5


def test_a_taught_answer_comes_in_the_forced_box(bench, taught_checkpoint):
    gate = AlwaysThink(max_answer_tokens=16, max_thinking_tokens=3)
    answer = bench.run(bench.runner(taught_checkpoint, gate), [bench.make_request(1, (bench.unsure,))]).answers[UNSURE]
    assert (answer.answer_letter, answer.answer_second, answer.finish_reason) == ("B", "B", "thinking_budget")


def test_token_counts_add_up(bench, taught_checkpoint, requests):
    outcome = bench.run(bench.runner(taught_checkpoint, ALWAYS), requests)
    for key, answer in outcome.answers.items():
        assert answer.num_answer_tokens + answer.num_thinking_tokens == len(outcome.token_ids[key])
        assert answer.num_video_tokens == 2 * 4
        assert answer.num_prompt_tokens > answer.num_video_tokens
        assert 0 < answer.prompt_seconds < answer.engine_seconds
        assert (answer.thinking_seconds > 0) == (answer.num_thinking_tokens > 0)  # it may end its turn before that
        assert answer.thinking_seconds < answer.engine_seconds - answer.prompt_seconds


def test_who_does_not_think_spends_no_time_on_it(bench, taught_checkpoint, requests):
    outcome = bench.run(bench.runner(taught_checkpoint, GATED), requests)
    assert any(answer.thinking for answer in outcome.answers.values())
    for answer in outcome.answers.values():
        assert (answer.thinking_seconds > 0) == answer.thinking


class CountingCheckpoint(Checkpoint):
    """Counts how often a clip's prefix is run."""

    num_prefixes = 0

    def prefill_prefixes(self, prefixes, *args, **kwargs):
        self.num_prefixes += len(prefixes)
        return super().prefill_prefixes(prefixes, *args, **kwargs)


def test_a_clips_prefix_is_run_once_for_all_of_its_questions(bench, taught_checkpoint):
    checkpoint = CountingCheckpoint(str(taught_checkpoint), revision=None, dtype="float32", device="cpu")
    runner = bench.runner(checkpoint, GATED, num_slots=2)
    questions = (bench.sure, bench.unsure, bench.silent)
    outcome = bench.run(runner, [bench.make_request(number, questions) for number in range(2)])
    assert len(outcome.answers) == 6
    assert checkpoint.num_prefixes == 2


def test_a_clip_that_cannot_be_prepared_fails_alone(bench, taught_checkpoint, requests):
    too_long = bench.make_request(7, (bench.sure, bench.unsure), num_frames=2 * 300)
    outcome = bench.run(bench.runner(taught_checkpoint, GATED), [too_long, *requests])
    assert set(outcome.failures) == {("clip-7", "sure"), ("clip-7", "unsure")}
    reason, message = outcome.failures["clip-7", "sure"]
    assert reason == "engine_error"
    assert "max_video_tokens" in message
    assert set(outcome.answers) == {SURE, UNSURE, SILENT}


def test_an_idle_engine_has_nothing_to_say(bench, random_checkpoint):
    runner = bench.runner(random_checkpoint, GATED)
    assert runner.num_unfinished == 0
    assert runner.step() == []


def test_times_are_shown_in_seconds_of_the_clip(bench, random_checkpoints):
    checkpoint = bench.load(random_checkpoints["qwen3_vl"])
    frames = FrameBatch(
        frames_THWC=np.zeros((4, 32, 32, 3), np.uint8), pts_seconds=600 + 0.5 * np.arange(4), duration_seconds=2.0
    )
    prefix = bench.make_prefix(checkpoint, frames=frames, clip_start_seconds=600.0)
    text = checkpoint.tokenizer.decode(prefix.token_ids)
    assert "<0.2 seconds><|vision_start|>" in text
    assert "<1.2 seconds><|vision_start|>" in text


def test_measures_of_first_answers_are_those_of_a_plain_loop(bench, taught_checkpoint, requests):
    measures = ("min_probability", "margin", "entropy")
    told = bench.run(bench.runner(taught_checkpoint, replace(GATED, measures=measures)), requests)
    plain = bench.run(bench.runner(taught_checkpoint, GATED), requests)
    checkpoint = bench.load(taught_checkpoint)
    for request in requests:
        [question] = request.questions
        key = (request.id, question.id)
        answer, other = told.answers[key], plain.answers[key]
        assert told.token_ids[key] == plain.token_ids[key]
        assert (other.confidence_min_probability, other.confidence_margin, other.confidence_entropy) == (None,) * 3
        if key == SILENT:
            assert (answer.confidence_min_probability, answer.confidence_margin, answer.confidence_entropy) == (
                None,
            ) * 3
            continue
        prefix = bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
        written = told.token_ids[key][: answer.num_answer_tokens]
        suffix = checkpoint.encode(suffix_after_video(question))
        probabilities = logprobs_along(taught_checkpoint, prefix, suffix, written).double().exp()
        # The bytes of the answer, and the tokens that wrote one of them.
        text = b"".join(checkpoint.pieces[token_id] for token_id in written)
        start = text.index(b"{") + 1
        content = text[start : text.index(b"}", start)]
        region = answer_region(content.decode(), question)
        first, end = start + region[0], start + region[1]
        places, at = [], 0
        for place, token_id in enumerate(written):
            if at < end and at + len(checkpoint.pieces[token_id]) > first:
                places.append(place)
            at += len(checkpoint.pieces[token_id])
        assert places
        lows, margins, entropies = [], [], []
        for place in places:
            of_token = float(probabilities[place, written[place]])
            lows.append(of_token)
            margins.append(of_token - max(float(p) for i, p in enumerate(probabilities[place]) if i != written[place]))
            entropies.append(-sum(float(p) * math.log(p) for p in probabilities[place] if p > 0))
        assert answer.confidence_min_probability == pytest.approx(min(lows), abs=1e-4)
        assert answer.confidence_margin == pytest.approx(sum(margins) / len(margins), abs=1e-4)
        assert answer.confidence_entropy == pytest.approx(sum(entropies) / len(entropies), abs=1e-3)
    assert told.answers[UNSURE].confidence_margin < 0.5 < told.answers[SURE].confidence_margin


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_row_that_is_asked_anew_writes_what_both_asks_write_alone(bench, taught_checkpoint, requests, threshold):
    """The inner ask sees the clip again, behind words of its own: token for token that of the strategy alone."""
    cot = VideoCot(max_answer_tokens=16, max_thinking_tokens=24)
    both = bench.run(
        bench.runner(taught_checkpoint, replace(GATED, threshold=threshold, wording=STEP_BY_STEP, inner=cot)), requests
    )
    first = bench.run(bench.runner(taught_checkpoint, replace(DIRECT, wording=STEP_BY_STEP)), requests)
    second = bench.run(bench.runner(taught_checkpoint, cot), requests)
    for key, answer in both.answers.items():
        assert answer.answer_first == first.answers[key].answer_first
        assert answer.confidence_first == pytest.approx(first.answers[key].confidence_first)
        if answer.verdict.route == "exit":
            assert answer.num_thinking_tokens == 0
            continue
        alone = second.answers[key]
        assert (answer.answer_second, answer.thinking_text) == (alone.answer_second, alone.thinking_text)
        assert answer.num_thinking_tokens == alone.num_thinking_tokens
        assert answer.finish_reason == alone.finish_reason
    if threshold == 1.0:
        assert all(answer.verdict.route == "think" for answer in both.answers.values())
