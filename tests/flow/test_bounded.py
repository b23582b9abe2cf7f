"""Jobs that think in chunks, from plan to rows: gated in all else, and deepened. Without Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from framegate.pipelines import flow
from framegate.pipelines.certify.of_output import Request, calibrate_output
from framegate.pipelines.driver.budget import CLOSING_TOKENS, Budget
from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job
from tests.flow.deepening import box, findings, go_on, rows, run

CHUNK, NUM_ROWS = 4, 12
THOUGHT: list[Written] = [("<think>", -0.1), *[(letter, -0.1) for letter in "abcdefgh"], ("</think>", -0.1)]
TOKENS = len(THOUGHT) + 3
CHUNKS = -(-TOKENS // CHUNK)


def write(ask: Ask) -> Sequence[Written]:
    """Sure of "red" alone. The text of a chunk is what stands behind the one before."""
    contents = ("yes", "no") if ask.question.type == "yes_no" else ("3", "4")
    first = box(contents[0], 0.99 if ask.question.id == "red" else 0.6)
    number = int(ask.label.removeprefix("chunk ")) if ask.label else 1
    written = [*first, *THOUGHT, *box(contents[1], 0.9)]
    return written[len(first) + (number - 1) * CHUNK :] if number > 1 else written


def engine() -> ScriptedEngine:
    return ScriptedEngine(write)


def gate(**more: Any) -> dict[str, Any]:
    return {
        "strategy": "bounded_thinking",
        "threshold": 0.9,
        "max_answer_tokens": 8,
        "max_thinking_tokens": 40,
        "chunk_tokens": CHUNK,
        "carry_tokens": 2,
        **more,
    }


@pytest.fixture
def bounded(at: Callable[..., Job]) -> Callable[..., Job]:
    return lambda name="index", **more: at(0.9, name, gate=gate(**more))


def told(job: Job) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "config_id"} for row in rows(job)]


def test_rows_are_those_of_one_long_chunk_and_say_how_many_there_were(bounded: Callable[..., Job]) -> None:
    job, long = bounded(), bounded("long", chunk_tokens=40)
    assert flow.plan(job).config_id != flow.plan(long).config_id
    for one in (job, long):
        assert run(one, engine_factory=engine).is_complete
        assert findings(one) == {}
    told_of = {row["question_id"]: (row["answer"], row["thinking"], row["num_chunks"]) for row in rows(job)}
    assert told_of == {"red": ("yes", False, None), "count": ("4", True, CHUNKS)}
    thought = [row for row in rows(job) if row["thinking"]]
    assert {(row["thinking_text"], row["num_thinking_tokens"]) for row in thought} == {("abcdefgh", TOKENS)}
    assert {row["strategy"] for row in rows(job)} == {"bounded_thinking"}
    assert len(rows(job)) == NUM_ROWS
    assert [{**row, "num_chunks": None} for row in told(job)] == [{**row, "num_chunks": None} for row in told(long)]
    assert run(job, engine_factory=engine).counts.num_answers == 0


def test_a_certificate_is_of_its_rows_too(bounded: Callable[..., Job]) -> None:
    job = bounded(audit={"rate": 1.0})
    config_id = run(job, engine_factory=engine).config_id
    assert sum(row["gate_reason"] == "audit" for row in rows(job)) == NUM_ROWS // 2
    request = Request(job=None, config_id=config_id, audit=job.config.gate.audit, epsilon=0.5)
    found = calibrate_output(job.config.output, request)
    assert found.calibration.whole.num_rows == NUM_ROWS
    assert found.calibration.num_uncovered == 0


def test_deferred_rows_are_deepened_in_chunks(bounded: Callable[..., Job]) -> None:
    job, other = bounded(defer="always"), bounded("other")
    first, _ = run(job, engine_factory=engine), run(other, engine_factory=engine)
    assert first.counts.num_deferred > 0
    assert {row["num_chunks"] for row in rows(job)} == {None}
    summary = go_on(job, "job", engine_factory=engine)
    assert summary.counts.num_deepened == first.counts.num_deferred
    assert told(job) == told(other)
    assert findings(job) == {}


def test_what_a_row_may_take_is_bounded_by_all_chunks_together(bounded: Callable[..., Job]) -> None:
    job = bounded(budget={"thinking_tokens": 1000})
    budget = Budget.of(job, None)
    assert budget is not None
    assert budget.limit is not None
    assert budget.limit.row_tokens == 40 + 8 + CLOSING_TOKENS
    planned = flow.plan(job)
    foreseen, strategy = forecast(job, planned), make_strategy(job.config.gate)
    plain = replace(strategy, chunk_tokens=40)
    assert foreseen.max_generated_tokens == forecast(job, planned, plain).max_generated_tokens


def test_a_carry_as_long_as_a_chunk_is_refused(bounded: Callable[..., Job]) -> None:
    with pytest.raises(ConfigError, match=r"carry_tokens must be below chunk_tokens.*got carry_tokens: 4"):
        bounded(carry_tokens=CHUNK)
    with pytest.raises(ConfigError, match=r"gate.chunk_tokns is not a known key; did you mean gate.chunk_tokens\?"):
        bounded(chunk_tokns=8)
