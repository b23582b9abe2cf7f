"""Strategies with several asks on our own engine: shared prefixes, seeds, and one sequence at a time as the oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.engines.drawing import Draw, draw_token
from framegate.pipelines.reason.models.clip_prefix import select_frames
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import FinishedAsk, Strategy
from framegate.pipelines.reason.strategies.self_consistency import SelfConsistency
from framegate.schemas.config.many_asks import (
    FrameEnsembleConfig,
    LookAgainConfig,
    SelfConsistencyConfig,
    SparseToDenseConfig,
)
from framegate.schemas.qa import Answer
from tests.asking import drain
from tests.reason.engines.own.model_oracle import logprobs_along

LIMITS: dict[str, Any] = {"max_answer_tokens": 6, "max_thinking_tokens": 8}
DRAWN: dict[str, Any] = {"num_samples": 3, "temperature": 1.5, "top_p": 0.9, **LIMITS}
LOOK = make_strategy(LookAgainConfig(sparse_share=0.5, **LIMITS))
EVERY = (
    LOOK,
    make_strategy(SelfConsistencyConfig(decide_by="agreement", **DRAWN)),
    make_strategy(SparseToDenseConfig(sparse_share=0.5, **DRAWN)),
    make_strategy(FrameEnsembleConfig(num_phases=2, **LIMITS)),
)
TIMES = ("engine_seconds", "prompt_seconds", "thinking_seconds")


def rows(engine: Any, strategy: Strategy, requests: Sequence[Any]) -> dict[tuple[str, str], Answer]:
    runner = QuestionRunner(engine, strategy)
    for request in requests:
        runner.add(request)
    finished = drain(runner)
    assert [one.failure_message for one in finished] == [None] * len(finished)
    found = {(one.request_id, one.question.id): one.answer for one in finished if one.answer is not None}
    return {key: replace(row, **dict.fromkeys(TIMES, 0.0)) for key, row in found.items()}


@pytest.mark.parametrize("strategy", EVERY, ids=lambda strategy: strategy.name)
def test_the_same_rows_come_in_whatever_company(bench: Any, random_checkpoint: Path, strategy: Strategy) -> None:
    requests = [
        replace(bench.make_request(number, (bench.sure, bench.unsure), num_frames=8), key=f"{number:016x}/0")
        for number in range(2)
    ]
    alone: dict[tuple[str, str], Answer] = {}
    for request in requests:
        alone |= rows(bench.engine(random_checkpoint, num_slots=1), strategy, [request])
    together = rows(bench.engine(random_checkpoint, num_slots=8), strategy, requests)
    assert together.keys() == alone.keys()
    for key, row in together.items():
        for field in fields(Answer):
            mine, theirs = getattr(row, field.name), getattr(alone[key], field.name)
            if field.name == "asks":
                mine, theirs = ([replace(one, confidence=None) for one in each] for each in (mine, theirs))
            elif isinstance(mine, float):
                theirs = pytest.approx(theirs, rel=1e-4)
            assert mine == theirs, field.name


class Kept(SelfConsistency):
    """Keeps the asks of each question when all are there."""

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        outcome = super().after(finished, num_open)
        if isinstance(outcome, Answer):
            KEPT.extend(finished)
        return outcome


KEPT: list[FinishedAsk] = []


def test_samples_are_what_one_sequence_alone_draws_and_share_one_prefix(bench: Any, random_checkpoint: Path) -> None:
    strategy = Kept(threshold=0.9, decide_by="none", **DRAWN)
    request = replace(bench.make_request(0, (bench.sure,)), key="00000000000000aa/0")
    KEPT.clear()
    engine = bench.engine(random_checkpoint, num_slots=8)
    rows(engine, strategy, [request])
    checkpoint = bench.load(random_checkpoint)
    prefix = bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
    suffix = checkpoint.encode(suffix_after_video(bench.sure))
    assert engine.times.num_prefill_tokens == len(prefix.token_ids) + 3 * len(suffix), "the prefix was run once"
    closing = checkpoint.encode(FORCED_CLOSING)
    written: list[tuple[int, ...]] = []
    for one in KEPT:
        token_ids: list[int] = one.course.token_ids  # type: ignore[union-attr]
        written.append(tuple(token_ids))
        logprobs = logprobs_along(random_checkpoint, prefix, suffix, token_ids)
        chance = random.Random(one.ask.sampling.seed)
        forced = range(14, 14 + len(closing)) if token_ids[14 : 14 + len(closing)] == closing else range(0)
        for place, token_id in enumerate(token_ids):
            if place not in forced:
                draw = Draw(0, 1.5, 0.9, chance.random())
                assert int(draw_token(logprobs[place], draw)) == token_id, place
    assert len(set(written)) == 3, "another seed draws other tokens"


def test_a_second_look_is_what_gated_would_have_seen(bench: Any, random_checkpoint: Path) -> None:
    """A random checkpoint boxes nothing: each row is looked at twice and thought about."""
    request = bench.make_request(0, (bench.sure, bench.unsure), num_frames=8)
    engine = bench.engine(random_checkpoint)
    looked = rows(engine, LOOK, [request])
    gated = rows(bench.engine(random_checkpoint), Gated(threshold=0.97, **LIMITS), [request])
    checkpoint = bench.load(random_checkpoint)
    sparse, dense = (
        bench.make_prefix(
            checkpoint, frames=select_frames(request.frames, frames), clip_start_seconds=request.clip_start_seconds
        )
        for frames in ((0, 1, 4, 5), None)
    )
    for key, row in looked.items():
        assert row.asks is not None
        assert [(one.label, one.num_frames, one.num_video_tokens) for one in row.asks] == [
            ("sparse", 4, sparse.num_video_tokens),
            ("dense", 8, dense.num_video_tokens),
        ]
        assert row.num_video_tokens == sparse.num_video_tokens + dense.num_video_tokens
        same = replace(
            row,
            num_prompt_tokens=gated[key].num_prompt_tokens,
            num_video_tokens=gated[key].num_video_tokens,
            num_answer_tokens=gated[key].num_answer_tokens,
            asks=None,
        )
        assert same == gated[key]
    suffixes = [len(checkpoint.encode(suffix_after_video(question))) for question in request.questions]
    most = len(sparse.token_ids) + len(dense.token_ids) + 2 * sum(suffixes)
    assert engine.times.num_prefill_tokens == most, "each prefix was run once"
