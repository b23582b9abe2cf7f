"""A threshold is raised after the fact: the output is then as one that had it from the start. Without Ray."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines import deepen, flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.plan.deepening import FAILED, GONE, NEVER
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.status import read_status
from framegate.pipelines.results.views import query
from framegate.pipelines.store import Store
from framegate.schemas.clock import now
from framegate.schemas.errors import ConfigError, StorageError
from framegate.schemas.job import Job
from framegate.schemas.retries import RETRY_AFTER
from framegate.schemas.run import Deadline
from tests.flow.deepening import (
    THOUGHT,
    box,
    dies,
    findings,
    go_on,
    ill,
    plan,
    rows,
    run,
)
from tests.old_outputs import take_newer_columns_out


def test_deepening_gives_the_output_of_a_run_with_that_threshold(at: Callable[..., Job]) -> None:
    job, higher = at(0.5), at(0.99, "higher")
    run(job)
    run(higher)
    summary = go_on(job)
    expected = [row["thinking"] for row in rows(higher)]
    assert 0 < sum(expected) < len(expected)
    assert summary.counts.num_deepened == sum(expected)
    assert (summary.num_videos_answered, summary.num_videos_failed, summary.num_videos_left) == (3, 0, 0)
    assert summary.is_complete
    # Rows that both thresholds let go have the one that let them go.
    told = [[{**row, "threshold": None} for row in rows(one)] for one in (job, higher)]
    assert told[0] == told[1]
    assert {row["threshold"] for row in rows(job) if row["thinking"]} == {0.99}
    assert findings(job) == {}


def test_a_second_one_finds_nothing_left(at: Callable[..., Job]) -> None:
    job = at(0.5)
    run(job)
    go_on(job)
    before = rows(job)
    again = go_on(job)
    assert (again.num_videos_planned, again.counts.num_deepened, again.is_complete) == (0, 0, True)
    assert rows(job) == before
    assert run(job).counts.num_answers == 0
    assert plan(job).num_rows == 0


def test_the_records_say_what_it_did(at: Callable[..., Job]) -> None:
    job = at(0.5)
    first = run(job)
    summary = go_on(job)
    records = read_runs(Output.at(job.config.output.uri))
    assert [record["command"] for record in records.values()] == ["run", "deepen"]
    record = records[summary.run_id]
    assert (record["state"], record["counts"]["num_deepened"]) == ("complete", summary.counts.num_deepened)
    assert record["counts"]["num_deepened_tokens"] == summary.counts.num_deepened_tokens > 0
    [status] = read_status(job.config.output, max_attempts=3, num_runs=5)
    shown = {one["run_id"]: one["num_deepened"] for one in status["runs"]}
    assert shown == {first.run_id: 0, summary.run_id: summary.counts.num_deepened}
    assert (status["num_answers"], status["num_videos_left"]) == (first.counts.num_answers, 0)
    assert status["think_rate"] == pytest.approx(summary.counts.num_deepened / first.counts.num_answers)
    shown_by_sql = query(job.config.output.uri, {}, "SELECT num_deepened FROM runs WHERE command = 'deepen'")
    assert shown_by_sql.column("num_deepened").to_pylist() == [summary.counts.num_deepened]


def test_questions_and_conditions_narrow(at: Callable[..., Job]) -> None:
    job = at(0.5)
    run(job)
    assert plan(job, questions=("red",)).num_rows + plan(job, questions=("count",)).num_rows == plan(job).num_rows
    assert plan(job, None, questions=("red",)).num_rows == 6
    assert plan(job, None, where="start_seconds = 0").num_rows == 6
    assert plan(job, 0.99, where="start_seconds = 0", questions=("red",)).num_rows == 3
    go_on(job, None, chosen={"where": "start_seconds = 4"})
    thought = [row for row in rows(job) if row["thinking"]]
    assert {(row["start_seconds"], row["threshold"]) for row in thought} == {(4.0, 0.5)}
    assert {row["gate_reason"] for row in thought} == {"asked"}


def test_a_limit_leaves_videos_for_the_next_one(at: Callable[..., Job]) -> None:
    job = at(0.5)
    run(job)
    first = go_on(job, limit=1)
    records = read_runs(Output.at(job.config.output.uri))
    assert (first.num_videos_planned, records[first.run_id]["stop_code"]) == (1, "limit")
    assert go_on(job).num_videos_planned == 2
    assert plan(job).num_rows == 0


def test_a_deadline_that_is_near_ends_it_and_the_next_one_goes_on(at: Callable[..., Job]) -> None:
    job = at(0.5)
    run(job)
    stopped = go_on(job, deadline=Deadline(at=now() + timedelta(seconds=15), said="--for 15s"))
    assert (stopped.stop_code, stopped.counts.num_deepened) == ("deadline", 0)
    assert go_on(job).counts.num_deepened > 0
    assert findings(job) == {}


def test_what_is_committed_and_not_sealed_is_completed_by_the_next_one(
    at: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = at(0.5), at(0.5, "other")
    run(job)
    run(other)
    with monkeypatch.context() as patch:
        patch.setattr(deepen, "seal_in_time", dies)
        with pytest.raises(RuntimeError, match="killed"):
            go_on(job)
    output = Output.at(job.config.output.uri)
    assert sum(1 for _ in output.list("deepened")) == 6
    assert not any(row["thinking"] for row in rows(job))
    [status] = read_status(job.config.output, max_attempts=3, num_runs=5)
    assert status["num_units_not_sealed"] == 6
    asked = go_on(job)
    assert (asked.num_videos_planned, asked.counts.num_deepened) == (0, 0), "it was asked and committed already"
    go_on(other)
    assert rows(job) == rows(other)
    assert findings(job) == {}


def test_what_waits_in_the_journal_is_sealed_first(at: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    job = at(0.5)
    with monkeypatch.context() as patch:
        patch.setattr(flow, "seal_in_time", dies)
        with pytest.raises(RuntimeError, match="killed"):
            run(job)
    assert go_on(job).counts.num_deepened > 0
    assert findings(job) == {}


def test_rows_of_before_tokens_were_kept_are_asked_from_the_start(at: Callable[..., Job]) -> None:
    job, higher = at(0.5), at(0.99, "higher")
    run(job)
    run(higher)
    take_newer_columns_out(Output.at(job.config.output.uri))
    planned = plan(job)
    assert planned.num_without_tokens == planned.num_rows > 0
    go_on(job)
    told = [
        [(row["answer"], row["num_thinking_tokens"], row["gate_reason"]) for row in rows(one)] for one in (job, higher)
    ]
    assert told[0] == told[1]


def test_another_first_answer_leaves_the_row_as_it_is(at: Callable[..., Job]) -> None:
    def says_no() -> ScriptedEngine:
        return ScriptedEngine(lambda ask: [*box("no", 0.98), *THOUGHT, *box("no", 0.98)])

    job = at(0.5)
    run(job)
    take_newer_columns_out(Output.at(job.config.output.uri))
    before = rows(job)
    summary = go_on(job, engine_factory=says_no, chosen={"questions": ("red",)})
    assert rows(job) == before
    assert (summary.counts.num_deepened, summary.is_complete) == (0, True)
    assert {row["reason"] for row in rows(job, of="failures") if row["stage"] == "reason"} == {"first_answer_differs"}
    left_out = plan(job, questions=("red",)).left_out
    assert left_out[FAILED] == summary.counts.num_failures > 0


def test_what_fails_is_a_failure_and_is_tried_again_when_it_is_due(
    at: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = at(0.5)
    run(job)
    summary = go_on(job, engine_factory=ill)
    assert summary.is_complete
    assert summary.num_videos_failed > 0
    assert summary.counts.num_failures == plan(job).left_out[FAILED]
    standing = query(job.config.output.uri, {}, "SELECT * FROM failures WHERE stage = 'reason'")
    assert standing.num_rows == 0, "the question has its answer all the same"
    monkeypatch.setitem(RETRY_AFTER, "engine_error", timedelta(0))
    again = go_on(job)
    assert again.counts.num_deepened == summary.counts.num_failures
    assert {row["attempts"] for row in rows(job, of="failures") if row["stage"] == "reason"} == {1}
    assert findings(job) == {}


def test_a_video_that_went_away_is_counted_and_its_rows_stay(at: Callable[..., Job], archive: Path) -> None:
    job = at(0.5)
    run(job)
    (archive / "video0.mp4").unlink()
    (archive / "video1.mp4").write_bytes((archive / "video2.mp4").read_bytes())
    planned = plan(job)
    assert planned.plan.videos.num_rows == 1
    assert planned.left_out[GONE] > 0
    summary = go_on(job)
    assert any("the input does not name" in notice for notice in summary.notices)
    assert (summary.num_videos_planned, summary.num_videos_answered) == (1, 1)


def test_a_video_that_breaks_while_it_is_deepened_fails_row_by_row(
    at: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise StorageError("the bucket is on fire")

    job = at(0.5)
    run(job)
    before = rows(job)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "open_pinned", refuse)
        summary = go_on(job)
    assert rows(job) == before
    assert (summary.num_videos_failed, summary.is_complete) == (3, True)
    failed = [row for row in rows(job, of="failures") if row["reason"] == "storage"]
    assert len(failed) == summary.counts.num_failures == plan(job).left_out[FAILED]
    assert all(row["question_hash"] and row["clip_index"] is not None for row in failed)
    assert run(job).num_videos_skipped == 5, "nothing is said of the video as a whole"


def test_a_question_that_left_the_bank_is_still_deepened_and_never_is_never(
    at: Callable[..., Job],
) -> None:
    job = at(0.5)
    run(job)
    less = at(0.5, questions=[{"id": "red", "text": "Is it red?", "type": "yes_no", "think": "never"}])
    planned = plan(less)
    assert {question.id for question in planned.plan.questions} == {"count"}
    assert planned.left_out[NEVER] == plan(job, questions=("red",)).num_rows
    assert go_on(less).counts.num_deepened == planned.num_rows


def test_an_erased_video_is_not_deepened(at: Callable[..., Job], archive: Path) -> None:
    job = at(0.5)
    run(job)
    output = Output.at(job.config.output.uri)
    erase(output, [str(archive / "video0.mp4")])
    summary = go_on(job)
    assert summary.num_videos_planned == 2
    erase(output, [str(archive / "video1.mp4")])
    assert findings(job) == {}
    seal(output, summary.config_id)
    assert {row["video_uri"] for row in rows(job)} == {str(archive / "video2.mp4")}


def test_a_question_nobody_asked_and_a_strategy_without_a_gate_are_refused(at: Callable[..., Job]) -> None:
    job = at(0.5)
    run(job)
    with pytest.raises(ConfigError, match=r"--question crate: no answer here .* there are count, red"):
        plan(job, questions=("crate",))
    with pytest.raises(ConfigError, match="only rows of a gated job can be deepened"):
        plan(at(0.5, gate={"strategy": "direct"}))
