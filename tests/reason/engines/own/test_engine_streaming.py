"""Chunk after chunk on our own engine, in float32: each ask writes what transformers alone writes with full attention
over the same prompt, frames are run once, and what is kept is a window's, however long the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.reason.models.clip_prefix import select_frames
from framegate.pipelines.reason.questions import ClipRequest
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import FinishedAsk
from framegate.pipelines.reason.strategies.streaming import Streaming
from framegate.schemas.qa import Answer
from tests.reason.engines.own.model_oracle import logprobs_along
from tests.reason.engines.own.test_engine_equality import QUESTIONS

TIMES = ("engine_seconds", "prompt_seconds", "thinking_seconds")
LIMITS: dict[str, Any] = {"max_answer_tokens": 6, "max_thinking_tokens": 8}
TAUGHT_LIMITS: dict[str, Any] = {"max_answer_tokens": 16, "max_thinking_tokens": 48}


class Kept(Streaming):
    """Keeps the asks of each question when all are there."""

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        outcome = super().after(finished, num_open)
        if isinstance(outcome, Answer):
            FOUND[finished[0].ask.clip.id, finished[0].ask.question.id] = [*finished]
        return outcome


FOUND: dict[tuple[str, str], list[FinishedAsk]] = {}


def streaming(**how: Any) -> Kept:
    """Chunks of a second: two frames, one temporal step."""
    FOUND.clear()
    plain = {"threshold": 0.97, "chunk_seconds": 1.0, "window_chunks": 2, "carry_bytes": 200, "max_chunks": 64}
    return Kept(**{**plain, **LIMITS, **how})


def check_each_ask_against_full_attention(bench: Any, folder: Path, request: ClipRequest) -> int:
    """How many tokens were compared."""
    checkpoint = bench.load(folder)
    num_tokens = 0
    for asks in FOUND.values():
        for one in asks:
            prefix = bench.make_prefix(
                checkpoint,
                frames=select_frames(request.frames, one.ask.frames),
                clip_start_seconds=request.clip_start_seconds,
            )
            course: Any = one.course
            suffix = checkpoint.encode(one.ask.suffix)
            closing = checkpoint.encode("</think>\\boxed{")
            along = logprobs_along(folder, prefix, suffix, course.token_ids)
            greedily = along.argmax(-1).tolist()
            for place in range(len(greedily)):  # what was forced is what it is
                if course.token_ids[place : place + len(closing)] == closing:
                    greedily[place : place + len(closing)] = closing
            assert course.token_ids == greedily
            assert one.num_prompt_tokens == len(prefix.token_ids) + len(suffix)
            logprobs = [float(along[place, token.id]) for place, token in enumerate(course._tokens)]
            assert [token.logprob for token in course._tokens] == pytest.approx(logprobs, abs=1e-3)
            num_tokens += len(greedily)
    return num_tokens


@pytest.mark.parametrize("num_slots", [1, 4])
def test_it_is_full_attention_over_the_whole_clip_while_nothing_was_left_out(
    bench: Any, random_checkpoint: Path, num_slots: int
) -> None:
    request = bench.make_request(1, QUESTIONS[:3], num_frames=9)
    outcome = bench.run(bench.runner(random_checkpoint, streaming(window_chunks=5), num_slots=num_slots), [request])
    assert not outcome.failures
    for asks in FOUND.values():
        assert [one.ask.frames for one in asks] == [(0, 1), (0, 1, 2, 3), tuple(range(6)), tuple(range(8)), None]
    assert check_each_ask_against_full_attention(bench, random_checkpoint, request) > 60


def test_a_window_is_full_attention_over_what_it_shows(bench: Any, random_checkpoint: Path) -> None:
    request = bench.make_request(2, QUESTIONS[:3], num_frames=10, size=(32, 32))
    outcome = bench.run(bench.runner(random_checkpoint, streaming()), [request])
    assert not outcome.failures
    assert {one.ask.frames for asks in FOUND.values() for one in asks} == {
        (0, 1), (0, 1, 2, 3), (2, 3, 4, 5), (4, 5, 6, 7), (6, 7, 8, 9),
    }  # fmt: skip
    assert check_each_ask_against_full_attention(bench, random_checkpoint, request) > 60


def test_answers_of_a_model_that_boxes_are_carried_and_read(bench: Any, taught_checkpoint: Path) -> None:
    """Weights that were taught the bare question, on four frames: they need not answer behind other words."""
    request = bench.make_request(1, (bench.sure, bench.unsure), num_frames=12)
    outcome = bench.run(bench.runner(taught_checkpoint, streaming(window_chunks=6, **TAUGHT_LIMITS)), [request])
    assert not outcome.failures
    assert check_each_ask_against_full_attention(bench, taught_checkpoint, request) > 20
    carried = [str(one.ask.suffix).count("\nby second ") for asks in FOUND.values() for one in asks]
    read = [row.asks for row in outcome.answers.values()]
    expected = [sum(one.answer is not None for one in asks[:place]) for asks in read for place in range(len(asks))]
    assert sorted(carried) == sorted(expected)
    assert max(carried) > 0, "else nothing was tested"


@pytest.mark.parametrize("chunk_seconds", [2.5, 30.0])
def test_a_clip_of_one_chunk_is_the_gates_token_for_token(
    bench: Any, random_checkpoint: Path, chunk_seconds: float
) -> None:
    requests = [bench.make_request(number, QUESTIONS, num_frames=5, size=(64, 64)) for number in range(2)]
    streamed = bench.run(bench.runner(random_checkpoint, streaming(chunk_seconds=chunk_seconds)), requests)
    gated = bench.run(bench.runner(random_checkpoint, Gated(threshold=0.97, **LIMITS)), requests)
    assert streamed.token_ids == gated.token_ids
    apart = {"asks": None, "first_token_ids": None, **dict.fromkeys(TIMES, 0.0)}
    for key, row in streamed.answers.items():
        assert replace(row, **apart) == replace(gated.answers[key], **apart)


def test_the_same_rows_come_in_whatever_company(bench: Any, random_checkpoint: Path) -> None:
    requests = [bench.make_request(number, QUESTIONS[:2], num_frames=8) for number in range(3)]
    alone: dict[tuple[str, str], Answer] = {}
    for request in requests:
        alone |= bench.run(bench.runner(random_checkpoint, streaming(), num_slots=1), [request]).answers
    together = bench.run(bench.runner(random_checkpoint, streaming(), num_slots=8), requests).answers
    assert together.keys() == alone.keys()
    for key, row in together.items():
        for field in fields(Answer):
            mine, theirs = getattr(row, field.name), getattr(alone[key], field.name)
            if field.name == "asks":
                mine, theirs = ([replace(one, confidence=None) for one in each] for each in (mine, theirs))
            elif isinstance(mine, float):
                theirs = theirs if field.name not in TIMES else mine
                theirs = pytest.approx(theirs, rel=1e-4)
            assert mine == theirs, field.name


def run_long(bench: Any, folder: Path, num_frames: int) -> Any:
    """The engine when a clip of so many frames is over, whose longest answers were as long as they may be."""
    runner = bench.runner(folder, streaming(carry_bytes=40), num_slots=4)
    request = bench.make_request(0, QUESTIONS[:4], num_frames=num_frames, size=(32, 32))
    assert not bench.run(runner, [request]).failures
    return runner.engine


def test_keys_and_values_are_a_windows_and_frames_are_run_once_however_long_the_clip(
    bench: Any, random_checkpoint: Path
) -> None:
    short = run_long(bench, random_checkpoint, 12)
    num_asked = {key: len(asks) for key, asks in FOUND.items()}
    assert {*num_asked.values()} == {6}
    long = run_long(bench, random_checkpoint, 80)
    assert {len(asks) for asks in FOUND.values()} == {40}
    for store in ("clip_store", "row_store"):
        mine, theirs = (getattr(engine.runner.cache, store) for engine in (long, short))
        assert mine.num_slots == theirs.num_slots
        assert mine.capacity == theirs.capacity
    longest = max(one.num_prompt_tokens for asks in FOUND.values() for one in asks)
    assert longest < 600
    checkpoint = bench.load(random_checkpoint)
    expected = 0
    prefixes: set[Any] = set()
    for asks in FOUND.values():
        for one in asks:
            suffix = len(checkpoint.encode(one.ask.suffix))
            expected += suffix
            if one.ask.frames not in prefixes:
                prefixes.add(one.ask.frames)
                expected += one.num_prompt_tokens - suffix
    assert long.times.num_prefill_tokens == expected, "four questions share each window's prefix"
    assert len(prefixes) == 40
    patches = bench.make_prefix(
        checkpoint, frames=bench.make_request(0, (), num_frames=80, size=(32, 32)).frames
    ).patches
    assert long.times.num_patches == len(patches.pixels_ND), "each step went through the vision tower once"
