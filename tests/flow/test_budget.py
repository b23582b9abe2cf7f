"""First answers to all, then thoughts within a budget or until a deadline; the rest is deferred. Without Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from framegate.pipelines import deepen
from framegate.pipelines.certify.thinking_worth import read_worth
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.driver.spending import Spending
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.results.deepenable import DEFERRED_ROWS, Chosen, count_deferred, read_audited, read_deepenable
from framegate.pipelines.results.status import read_status
from framegate.pipelines.results.views import query
from framegate.schemas.clock import now
from framegate.schemas.job import Job
from framegate.schemas.run import Deadline, RunSummary, Shard
from tests.flow.deepening import THOUGHT, box, engine, findings, go_on, plan, rows, run, write

TOKENS = len(THOUGHT) + 3
"""Of a thought and the second box."""

ROWS = 12
UNSURE = 8
"""Rows of the archive, and those below 0.99."""

MOST = 4
"""Rows below 0.99 of one unit: a video of three clips."""


def budget(tokens: int, **gate: Any) -> dict[str, Any]:
    return {"threshold": 0.99, "budget": {"thinking_tokens": tokens}, "defer": "always", **gate}


def think(job: Job, first: RunSummary | None = None, *, shard: Shard | None = None, **how: Any) -> RunSummary:
    """As `framegate run` goes on after its first answers."""
    spending = Spending(
        read_worth=partial(read_worth, job.config.output, job.config.gate.audit),
        shard=shard,
        num_tokens=0 if first is None else first.counts.num_thinking_tokens,
        engine_seconds=0.0 if first is None else first.counts.engine_seconds,
    )
    options = {"engine_factory": engine, "in_process": True, "threshold": "job", "spending": spending, **how}
    return deepen.deepen(job, partial(read_deepenable, job.config.output, chosen=DEFERRED_ROWS), **options)


def told(job: Job) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "config_id"} for row in rows(job)]


def num_deferred(job: Job) -> int:
    return sum(row["gate_reason"] == "deferred" for row in rows(job))


def test_first_answers_come_first_and_with_enough_to_spend_all_is_as_if_it_had_thought_at_once(
    at: Callable[..., Job],
) -> None:
    job, other = at(0.99, gate=budget(10_000)), at(0.99, "other")
    first = run(job)
    run(other)
    assert (first.defers, first.is_complete, first.counts.num_deferred) == (True, True, UNSURE)
    assert (first.counts.num_thinking, first.counts.num_thinking_tokens) == (0, 0)
    assert len(rows(job)) == ROWS
    assert num_deferred(job) == UNSURE
    assert all(row["status"] == "answered" and row["answer"] is not None for row in rows(job))
    summary = think(job, first)
    assert (summary.stop, summary.is_complete) == (None, True)
    assert (summary.counts.num_deepened, summary.counts.num_deepened_tokens) == (UNSURE, UNSURE * TOKENS)
    assert told(job) == told(other)
    assert num_deferred(job) == 0
    assert findings(job) == {}


@pytest.mark.parametrize("tokens", [1, TOKENS, TOKENS + 1, 3 * TOKENS])
def test_no_more_is_spent_than_the_budget_and_a_unit_and_later_nights_do_the_rest(
    at: Callable[..., Job], tokens: int
) -> None:
    job, other = at(0.99, gate=budget(tokens)), at(0.99, "other")
    run(other)
    nights = 0
    while True:
        first = run(job)
        before = num_deferred(job)
        assert count_deferred(job.config.output, first.config_id) == before
        if not before:
            break
        summary = think(job, first)
        spent = summary.counts.num_deepened_tokens
        assert min(tokens, before * TOKENS) <= spent < tokens + MOST * TOKENS
        assert num_deferred(job) == before - summary.counts.num_deepened
        nights += 1
    assert nights >= UNSURE * TOKENS // (tokens + MOST * TOKENS)
    assert told(job) == told(other)
    assert findings(job) == {}


def test_without_audited_rows_the_least_sure_come_first(at: Callable[..., Job]) -> None:
    job = at(0.99, gate=budget(1))
    run(job)
    least = min(rows(job), key=lambda row: row["confidence_first"])
    think(job)
    assert {row["video_uri"] for row in rows(job) if row["thinking"]} == {least["video_uri"]}


def test_what_cannot_be_reached_is_not_planned(at: Callable[..., Job]) -> None:
    job = at(0.99, gate=budget(2 * TOKENS))
    run(job)
    think(job)
    before = num_deferred(job)
    summary = think(job)  # by now it is known what a thought takes
    assert summary.counts.num_deepened_tokens <= 4 * TOKENS
    assert any("rows wait for another time" in notice for notice in summary.notices)
    assert num_deferred(job) == before - summary.counts.num_deepened > 0


def no_box_for_red(ask: Ask) -> Sequence[Written]:
    """One question is answered after a thought alone."""
    if ask.question.id != "red":
        return box("3", 0.999)
    return [("hm", -0.1)] * 8 + [*THOUGHT, *box("yes", 0.9)]


def test_rows_without_a_first_answer_have_none_until_they_have_thought(at: Callable[..., Job]) -> None:
    engine = partial(ScriptedEngine, no_box_for_red)
    gate = {"max_answer_tokens": 8, "threshold": 0.99}
    job, other = at(0.99, gate={**gate, "defer": "always"}), at(0.99, "other", gate=gate)
    first = run(job, engine_factory=engine)
    run(other, engine_factory=engine)
    assert (first.counts.num_unparsed, first.counts.num_deferred, first.stop) == (0, 6, None)
    assert {(row["status"], row["answer"]) for row in rows(job) if row["question_id"] == "red"} == {("deferred", None)}
    think(job, first, engine_factory=engine)
    assert told(job) == told(other)
    assert {row["status"] for row in rows(job)} == {"answered"}
    assert findings(job) == {}


def test_the_audit_sample_comes_first_and_ends_as_in_a_run_that_thinks_at_once(at: Callable[..., Job]) -> None:
    audit = {"audit": {"rate": 0.9, "salt": "s"}}
    asked = [
        {"id": "red", "text": "Is it red?", "type": "yes_no"},
        {"id": "count", "text": "How many?", "type": "number", "think": "always"},
    ]
    job = at(0.5, gate={"threshold": 0.5, "defer": "always", **audit}, questions=asked)
    other = at(0.5, "other", gate={"threshold": 0.5, **audit}, questions=asked)
    first = run(job)
    run(other)
    assert first.counts.num_deferred == sum(row["thinking"] for row in rows(other))
    assert {"audit", "always"} <= {row["gate_reason"] for row in rows(other)}
    think(job, first)
    assert told(job) == told(other)
    assert findings(job) == {}
    # A row that thought for the sample still takes its second answer when the threshold rises.
    higher, other_higher = (
        at(0.99, name, gate={"threshold": 0.99, **audit}, questions=asked) for name in ("index", "other")
    )
    for one in (higher, other_higher):
        go_on(one, "job", audited=partial(read_audited, one.config.output, chosen=Chosen()))
    assert told(higher) == told(other_higher)
    assert findings(job) == {}


def test_the_books_tell_what_is_deferred(at: Callable[..., Job]) -> None:
    job = at(0.99, gate=budget(1))
    first = run(job)
    summary = think(job, first)
    records = read_runs(Output.at(job.config.output.uri))
    assert records[first.run_id]["defers"] is True
    assert records[first.run_id]["counts"]["num_deferred"] == UNSURE
    assert (records[summary.run_id]["state"], records[summary.run_id]["stop_code"]) == ("stopped", "budget")
    assert records[summary.run_id]["stop_reason"] == "its budget of 1 thinking tokens is spent"
    [status] = read_status(job.config.output, max_attempts=3, num_runs=5)
    assert status["num_deferred"] == num_deferred(job) == UNSURE - summary.counts.num_deepened
    assert (status["num_videos_left"], status["num_unparsed"]) == (0, 0)
    shown = query(job.config.output.uri, {}, "SELECT num_deferred FROM runs WHERE command = 'run'")
    assert shown.column("num_deferred").to_pylist() == [UNSURE]


def test_a_report_counts_them(at: Callable[..., Job]) -> None:
    job = at(0.99, gate=budget(1))
    first = run(job)
    summary = think(job, first)
    made = build_report(job.config.output, Request(job="job.yaml", run_id=first.run_id))
    assert made.coverage.num_deferred == UNSURE - summary.counts.num_deepened


def test_other_thresholds_are_told_of_deferred_rows(at: Callable[..., Job]) -> None:
    job = at(0.99, gate=budget(1))
    run(job)
    sql = "SELECT would_think, is_known, confidence_first FROM answers_at(0.97)"
    for row in query(job.config.output.uri, {}, sql).to_pylist():
        assert row["would_think"] is (row["confidence_first"] < 0.97)
        assert row["is_known"] is not row["would_think"]


def test_deepen_takes_up_what_is_deferred(at: Callable[..., Job]) -> None:
    job, other = at(0.99, gate=budget(1)), at(0.99, "other")
    run(job)
    run(other)
    without = at(0.99)
    assert plan(without, "job").num_rows == UNSURE
    go_on(without, "job")
    assert told(job) == told(other)


def test_always_defers_and_never_does_not(at: Callable[..., Job]) -> None:
    job = at(0.99, gate={"threshold": 0.99, "defer": "always"})
    assert run(job).counts.num_deferred == UNSURE
    soon = Deadline(at=now() + timedelta(hours=1), said="--for 1h")
    other = at(0.99, "other", gate={"threshold": 0.99, "defer": "never"})
    first = run(other, deadline=soon)
    assert (first.defers, first.counts.num_deferred) == (False, 0)


def test_at_a_pace_rows_think_at_once_where_there_is_enough(at: Callable[..., Job]) -> None:
    job, other = at(0.99, gate=budget(1_000_000, defer="auto")), at(0.99, "other")
    first = run(job)
    run(other)
    assert (first.defers, first.counts.num_deferred, first.counts.num_thinking) == (True, 0, UNSURE)
    assert told(job) == told(other)
    soon = Deadline(at=now() + timedelta(hours=1), said="--for 1h")
    third = at(0.99, "third")
    first = run(third, deadline=soon)
    assert (first.defers, first.counts.num_deferred) == (True, 0)
    assert told(third) == told(other)


def test_at_a_pace_a_budget_is_never_gone_beyond_and_what_is_left_is_spent_at_the_end(at: Callable[..., Job]) -> None:
    """The most that a row may write is far more than it does, so that the budget has no room for a unit of six rows."""
    job, other = at(0.99, gate=budget(1_500, defer="auto")), at(0.99, "other")
    first = run(job)
    run(other)
    assert first.is_complete
    assert first.counts.num_deferred > 0
    assert first.counts.num_deferred + first.counts.num_thinking == UNSURE
    assert first.counts.num_thinking_tokens <= 1_500
    think(job, first)
    assert told(job) == told(other)
    assert findings(job) == {}


class TimedEngine(ScriptedEngine):
    """An hour for each answer."""

    def step(self) -> list[FinishedAsk]:
        return [replace(finished, engine_seconds=3600.0) for finished in super().step()]


@pytest.mark.parametrize("defer", ["auto", "always"])
def test_engine_hours_bound_first_answers_too(at: Callable[..., Job], defer: str) -> None:
    engine = partial(TimedEngine, write)
    job = at(0.99, gate={"threshold": 0.99, "budget": {"engine_hours": 2}, "defer": defer})
    first = run(job, engine_factory=engine)
    assert (first.stop_code, first.counts.num_clips) == ("budget", 3)
    assert first.num_videos_left == 2
    assert first.stop_reason is not None
    assert first.stop_reason.startswith("its budget of 2 engine hours")
    nights = 1
    while run(job, engine_factory=engine).stop is not None:
        nights += 1
    assert nights == 2, "a video each night, and for the third one nothing is left over to be refused"
    if defer == "auto":
        return
    more = at(0.99, gate={"threshold": 0.99, "budget": {"engine_hours": 3}, "defer": defer})
    think(more, run(more, engine_factory=engine), engine_factory=engine)
    assert 0 < num_deferred(more) < UNSURE
    think(more, None, engine_factory=engine)
    think(more, None, engine_factory=engine)
    assert num_deferred(more) == 0
    assert findings(job) == {}


def test_runs_of_an_array_share_the_budget_and_the_rows(at: Callable[..., Job]) -> None:
    job = at(0.99, gate=budget(4 * TOKENS))
    shards = [Shard(number=number, of=2) for number in (1, 2)]
    for shard in shards:
        run(job, shard=shard)
    before = num_deferred(job)
    spent = [think(job, shard=shard).counts.num_deepened_tokens for shard in shards]
    assert all(tokens < 2 * TOKENS + MOST * TOKENS for tokens in spent)
    assert num_deferred(job) == before - sum(spent) // TOKENS
    assert findings(job) == {}


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"budget": {}}, "give thinking_tokens or engine_hours, got neither"),
        ({"budget": {"thinking_tokens": 5, "engine_hours": 1}}, "got both"),
        ({"budget": {"thinking_tokens": 0}}, "greater than or equal to 1"),
        ({"budget": {"engine_hours": 0}}, "greater than 0"),
        ({"budget": {"tokens": 5}}, "thinking_tokens"),
        ({"budget": {"thinking_tokens": 5}, "defer": "never"}, "keeps to no budget"),
        ({"strategy": "direct", "budget": {"thinking_tokens": 5}}, "budget"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(at: Callable[..., Job], gate: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        at(0.5, gate=gate)
