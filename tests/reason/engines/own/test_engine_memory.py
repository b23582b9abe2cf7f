"""Memory that is short: a budget decides how many questions run; running out halves the work, not the answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.engines.own.kv_cache import round_up
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.schemas.qa import Question
from tests.reason.engines.own.faulty_checkpoint import OUT_OF_MEMORY, FaultyCheckpoint, raise_at

GATE = AlwaysThink(max_answer_tokens=3, max_thinking_tokens=9)
LARGE = {"num_frames": 8, "size": (96, 96)}
SMALL = {"num_frames": 2, "size": (32, 32)}
SHORT = Question(id="short", text="look", type="text")
LONG = Question(id="long", text="look again " * 30, type="text")


@pytest.fixture
def faulty(random_checkpoints) -> FaultyCheckpoint:
    return FaultyCheckpoint(random_checkpoints["qwen3_vl"])


@pytest.fixture
def requests(bench):
    return [bench.make_request(number, (bench.sure, bench.unsure), num_frames=2 + number % 3) for number in range(6)]


@pytest.fixture
def undisturbed(bench, random_checkpoints):
    """What is written for requests where nothing is short."""
    return lambda requests: bench.run(bench.runner(random_checkpoints["qwen3_vl"], GATE), requests).token_ids


def is_large(prefix_or_video) -> bool:
    video = getattr(prefix_or_video, "video", prefix_or_video)
    return video.grid_thw == (4, 6, 6)


def needed_bytes(bench, checkpoint, request, question: Question, *, num_clips: int = 1, num_rows: int = 1) -> int:
    """Of the two stores, for so many clips and rows like these."""
    prefix = bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
    num_own = sum(len(checkpoint.encode(text)) for text in (suffix_after_video(question), FORCED_CLOSING))
    num_own += 2 * GATE.max_answer_tokens + GATE.max_thinking_tokens
    num_tokens = round_up(num_clips, 4) * round_up(len(prefix.token_ids)) + round_up(num_rows, 4) * round_up(num_own)
    return num_tokens * checkpoint.kv_shape.token_bytes


def test_a_budget_bounds_what_runs_at_once_and_changes_no_token(bench, faulty, requests, undisturbed):
    memory_bytes = needed_bytes(bench, faulty, requests[2], bench.unsure, num_clips=4, num_rows=4)
    num_rows: list[int] = []
    faulty.after_rows = num_rows.append
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=16, memory_bytes=memory_bytes), requests)
    assert max(num_rows) == 4
    assert outcome.token_ids == undisturbed(requests)
    assert len(outcome.answers) == 12
    bench.run(bench.runner(faulty, GATE, num_slots=16), requests)
    assert max(num_rows) == 12


def test_what_is_above_the_budget_alone_is_told_so_and_the_others_are_answered(bench, faulty, undisturbed):
    small = [bench.make_request(number, (bench.sure,), **SMALL) for number in (1, 2)]
    large = bench.make_request(0, (bench.sure, bench.unsure), **LARGE)
    memory_bytes = needed_bytes(bench, faulty, small[0], bench.sure)
    assert memory_bytes < needed_bytes(bench, faulty, large, bench.sure)
    outcome = bench.run(bench.runner(faulty, GATE, memory_bytes=memory_bytes), [small[0], large, small[1]])
    assert set(outcome.failures) == {("clip-0", "sure"), ("clip-0", "unsure")}
    for reason, message in outcome.failures.values():
        assert reason == "memory_limit"
        assert "one question are above the engine's memory budget" in message
    assert outcome.token_ids == undisturbed(small)


def test_a_large_clip_gets_its_turn_where_small_ones_have_filled_the_budget(bench, faulty, undisturbed):
    """Slots are as large as the largest in them: room for one large clip comes when all small ones have gone."""
    small = [bench.make_request(number, (bench.sure,), **SMALL) for number in range(1, 9)]
    large = bench.make_request(0, (bench.sure,), **LARGE)
    memory_bytes = needed_bytes(bench, faulty, large, bench.sure)
    assert memory_bytes < needed_bytes(bench, faulty, large, bench.sure, num_clips=5, num_rows=5)
    order = [*small[:7], large, small[7]]
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=8, memory_bytes=memory_bytes), order)
    assert outcome.failures == {}
    assert outcome.token_ids == undisturbed(order)


def test_a_longer_question_fits_where_its_clip_is_in_slots_that_grew_for_a_larger_one(bench, faulty):
    large = bench.make_request(0, (SHORT,), **LARGE)
    small = bench.make_request(1, (SHORT, LONG), **SMALL)
    memory_bytes = max(needed_bytes(bench, faulty, large, SHORT), needed_bytes(bench, faulty, small, LONG))
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=1, memory_bytes=memory_bytes), [large, small])
    assert outcome.failures == {}


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_out_of_memory_halves_the_rows_until_they_fit(bench, faulty, requests, undisturbed, most):
    attempts: list[int] = []

    def run_out(num_rows: int) -> None:
        attempts.append(num_rows)
        if num_rows > most:
            raise OUT_OF_MEMORY

    faulty.after_rows = run_out
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=8), requests)
    assert outcome.failures == {}
    assert len(outcome.answers) == 12
    assert outcome.token_ids == undisturbed(requests)
    too_many = [num_rows for num_rows in attempts if num_rows > most]
    assert too_many == [8, 4, 2][: len(too_many)], "each time half of what ran is tried next, and then no more"
    assert max(attempts[len(too_many) :]) == 8 >> len(too_many)


def test_out_of_memory_over_several_prefixes_halves_them_too(bench, faulty, undisturbed):
    requests = [bench.make_request(number, (bench.sure,)) for number in range(5)]

    def run_out(prefixes, _) -> None:
        if len(prefixes) > 1:
            raise OUT_OF_MEMORY

    faulty.after_prefixes = run_out
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=8), requests)
    assert outcome.failures == {}
    assert outcome.token_ids == undisturbed(requests)


@pytest.mark.parametrize("seam", ["after_see", "after_prefixes"])
def test_a_clip_that_is_alone_and_too_large_fails_and_no_other(bench, faulty, requests, undisturbed, seam):
    large = bench.make_request(9, (bench.sure, bench.unsure, bench.silent), **LARGE)

    def run_out(clips, *_) -> None:
        if any(map(is_large, clips)):
            raise OUT_OF_MEMORY

    setattr(faulty, seam, run_out)
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=8), [*requests[:3], large, *requests[3:]])
    assert set(outcome.failures) == {("clip-9", "sure"), ("clip-9", "unsure"), ("clip-9", "silent")}
    assert {reason for reason, _ in outcome.failures.values()} == {"memory_limit"}
    assert outcome.token_ids == undisturbed(requests)


def test_what_is_far_into_its_thinking_begins_again_and_says_the_same(bench, faulty, requests, undisturbed):
    num_calls = 0

    def run_out(num_rows: int) -> None:
        nonlocal num_calls
        num_calls += 1
        if num_calls in (9, 14):
            raise OUT_OF_MEMORY

    faulty.after_rows = run_out
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=8), requests)
    assert outcome.failures == {}
    assert len(outcome.answers) == 12
    assert outcome.token_ids == undisturbed(requests)


def test_after_calm_steps_the_engine_is_as_wide_as_before(bench, faulty):
    is_short, widths = True, []

    def run_out(num_rows: int) -> None:
        if is_short and num_rows > 2:
            raise OUT_OF_MEMORY

    faulty.after_rows = run_out
    runner = bench.runner(faulty, GATE, num_slots=8)
    runner.engine.scheduler.num_calm_steps = 20
    for number in range(80):
        runner.add(replace(bench.make_request(0, (bench.sure,)), id=str(number)))
    for _ in range(6):
        runner.step()
        widths.append(len(runner.running))
    assert max(widths) == 2
    is_short, widths = False, []
    while runner.num_unfinished:
        assert all(finished.answer is not None for finished in runner.step())
        widths.append(len(runner.running))
    assert [width for place, width in enumerate(widths) if width not in widths[:place] and width in (2, 4, 8)] == [
        2,
        4,
        8,
    ]
    assert max(widths) == 8 == runner.num_slots


def test_a_question_that_is_alone_is_tried_without_the_slots_that_others_left(bench, faulty):
    def run_out(prefixes, prefix_pass) -> None:
        if any(map(is_large, prefixes)) and prefix_pass._store.num_slots > 4:
            raise OUT_OF_MEMORY

    faulty.after_prefixes = run_out
    runner = bench.runner(faulty, GATE, num_slots=16)
    bench.run(runner, [bench.make_request(number, (bench.sure,), **SMALL) for number in range(12)])
    outcome = bench.run(runner, [bench.make_request(20, (bench.sure,), **LARGE)])
    assert outcome.failures == {}


def test_out_of_memory_while_frames_are_cut_makes_the_next_clips_wait(bench, faulty, requests, undisturbed):
    """Patches of all clips that are run together lie on the device at once."""
    num_rows: list[int] = []
    faulty.before_layout = raise_at(3, OUT_OF_MEMORY)
    faulty.after_rows = num_rows.append
    outcome = bench.run(bench.runner(faulty, GATE, num_slots=8), requests)
    assert outcome.failures == {}
    assert outcome.token_ids == undisturbed(requests)
    assert num_rows[0] == 4, "the two clips before it go on"


def test_out_of_memory_while_frames_are_cut_ends_the_filling_of_slots(bench, faulty, requests, undisturbed):
    """Clips of later batches would need memory as well, and no clip may overtake another one."""
    num_layouts = 0

    def cut(frames) -> None:
        nonlocal num_layouts
        num_layouts += 1
        if num_layouts == 3:
            raise OUT_OF_MEMORY

    faulty.before_layout = cut
    runner = bench.runner(faulty, GATE, num_slots=16)
    runner.engine._prefill_tokens = 1  # a batch for each clip
    for request in requests:
        runner.add(request)
    runner.step()
    assert num_layouts == 3
    assert {request.clip.source.id for request in runner.engine.running} == {requests[0].id, requests[1].id}
    outcome = bench.run(runner)
    assert outcome.failures == {}
    assert outcome.token_ids == undisturbed(requests)
