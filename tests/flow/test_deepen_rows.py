"""Which rows are deepened: by conditions, by thresholds, and those of the audit sample. Without Ray."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from framegate.pipelines import deepen
from framegate.pipelines.results.deepenable import Chosen, check_chosen, read_audited
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.errors import QueryError
from framegate.schemas.job import Job
from tests.flow.deepening import (
    findings,
    go_on,
    plan,
    rows,
    run,
    select,
)


@pytest.mark.parametrize(
    "where",
    [
        "",
        "confidence_first <",
        "true) OR (true",
        "true); DROP TABLE answers; --",
        "1 = 1; SELECT 2",
        "'unclosed",
        "(true",
    ],
)
def test_what_is_no_condition_is_refused(where: str) -> None:
    with pytest.raises(QueryError, match="--where"):
        check_chosen(Chosen(where=where))


@pytest.mark.parametrize("where", ["answer IN ('a)', 'b')", "true -- a comment", "(a = 1) OR (b = ')')"])
def test_what_is_one_condition_is_not(where: str) -> None:
    check_chosen(Chosen(where=where))


def test_a_threshold_that_is_no_higher_finds_nothing(at: Callable[..., Job]) -> None:
    job = at(0.5)
    run(job)
    assert plan(job, 0.5).num_rows == 0
    assert plan(job, 0.5).left_out == {}


def test_without_a_choice_the_thresholds_are_those_that_the_job_has_by_now(at: Callable[..., Job]) -> None:
    red, count = (
        {"id": "red", "text": "Is it red?", "type": "yes_no"},
        {"id": "count", "text": "How many?", "type": "number"},
    )
    own = [red, {**count, "threshold": 0.99}]
    job, higher, other = at(0.5), at(0.982, questions=own), at(0.982, "other", questions=own)
    run(job)
    run(other)
    assert plan(job, "job").num_rows == 0
    assert go_on(higher, "job").counts.num_deepened == sum(row["thinking"] for row in rows(other)) > 0
    told = [[{**row, "threshold": None} for row in rows(one)] for one in (job, other)]
    assert told[0] == told[1]
    thresholds = {(row["question_id"], row["threshold"]) for row in rows(job) if row["thinking"]}
    assert thresholds == {("red", 0.982), ("count", 0.99)}


def test_a_threshold_that_is_given_counts_for_questions_with_one_of_their_own(at: Callable[..., Job]) -> None:
    job = at(0.5, questions=[{"id": "red", "text": "Is it red?", "type": "yes_no", "threshold": 0.5}])
    run(job)
    go_on(job)
    assert {row["threshold"] for row in rows(job) if row["thinking"]} == {0.99}


def _salt_that_parts(found: list[dict[str, Any]]) -> str:
    """One by which some rows on each side of 0.99 are audited, and some are not: ids differ from test to test."""
    for number in itertools.count():
        sample = AuditSample(rate=0.5, salt=str(number))
        kinds = {
            (
                row["confidence_first"] < 0.99,
                sample.rank_if_in(clip_key(row["video_id"], row["clip_index"]), row["question_hash"]) is None,
            )
            for row in found
        }
        if len(kinds) == 4:
            return str(number)
    raise AssertionError


def test_audited_rows_take_their_second_answer_without_being_asked(at: Callable[..., Job]) -> None:
    probe = at(0.5, "probe")
    run(probe)
    audit = {"rate": 0.5, "salt": _salt_that_parts(rows(probe))}
    job = at(0.5, gate={"threshold": 0.5, "audit": audit})
    higher = at(0.99, "higher", gate={"threshold": 0.99, "audit": audit})
    run(job)
    run(higher)
    before = rows(job)
    assert {row["gate_reason"] for row in before} == {"confident", "audit"}
    audited = partial(read_audited, job.config.output, chosen=Chosen())
    num_audited = deepen.plan(job, select(job), threshold=0.99, audited=audited).num_audited
    summary = go_on(job, audited=audited)
    told = [[{**row, "threshold": None} for row in rows(one)] for one in (job, higher)]
    assert told[0] == told[1]
    assert {row["gate_reason"] for row in rows(job)} == {"confident", "audit", "unsure"}
    changed = sum(row["gate_reason"] == "audit" and row["confidence_first"] < 0.99 for row in before)
    assert num_audited == changed > 0
    assert any(f"{changed} rows of the audit sample" in notice for notice in summary.notices)
    assert summary.counts.num_deepened == sum(not row["thinking"] and row["confidence_first"] < 0.99 for row in before)
    assert findings(job) == {}
    again = go_on(job, audited=audited)
    assert (again.notices, again.counts.num_deepened) == ((), 0)
    assert [{**row, "threshold": None} for row in rows(job)] == told[1]


def test_audited_rows_stay_where_rows_are_chosen_in_another_way(at: Callable[..., Job]) -> None:
    job = at(0.5, gate={"threshold": 0.5, "audit": {"rate": 1.0}})
    run(job)
    before = rows(job)
    go_on(job, None, audited=partial(read_audited, job.config.output, chosen=Chosen(where="true")))
    assert rows(job) == before


def test_a_row_keeps_the_measures_of_its_first_answer(at: Callable[..., Job]) -> None:
    """And one that has none does not get any, though the job names them by now."""
    measured = {"measures": ["min_probability"]}
    job, higher = at(0.5, gate={"threshold": 0.5, **measured}), at(0.99, "higher", gate={"threshold": 0.99, **measured})
    without = at(0.5, "without")
    for one in (job, higher, without):
        run(one)
    before = {key_of(row): row["confidence_min_probability"] for row in rows(job)}
    assert {round(value, 6) for value in before.values()} == {0.98, 0.985, 0.999, 0.975, 0.95}
    go_on(job)
    go_on(at(0.5, "without", gate={"threshold": 0.5, **measured}))
    assert {key_of(row): row["confidence_min_probability"] for row in rows(job)} == before
    told = [[{**row, "threshold": None} for row in rows(one)] for one in (job, higher)]
    assert told[0] == told[1]
    assert any(row["thinking"] for row in rows(without))
    assert {row["confidence_min_probability"] for row in rows(without)} == {None}


def test_rows_of_a_gate_with_an_inner_strategy_are_deepened_by_a_new_ask(at: Callable[..., Job]) -> None:
    job, higher = (
        at(threshold, name, gate={"threshold": threshold, "inner": "video_cot"})
        for threshold, name in ((0.5, "index"), (0.99, "higher"))
    )
    run(job)
    run(higher)
    assert not any(row["thinking"] for row in rows(job))
    assert go_on(job).counts.num_deepened == sum(row["thinking"] for row in rows(higher)) > 0
    # A deepening counts no prompt tokens: they stay those of the first answer.
    told = [[{**row, "threshold": None, "num_prompt_tokens": 0} for row in rows(one)] for one in (job, higher)]
    assert told[0] == told[1]
    assert findings(job) == {}


def key_of(row: dict[str, Any]) -> tuple[str, int, str]:
    return row["video_id"], row["clip_index"], row["question_hash"]
