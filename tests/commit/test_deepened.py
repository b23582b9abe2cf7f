"""Rows are completed in place: what is stored of them, what is counted, and which are left as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.journal import commit_unit, read_receipt
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import compact, migrate
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.store import Store
from framegate.schemas.counts import Counts
from framegate.schemas.deepening import ADDED, GATE_COLUMN, REPLACED
from framegate.schemas.unanswered import Failure
from tests.commit.deepened_world import LATER, NOON, World, make_worlds
from tests.old_outputs import take_newer_columns_out


@pytest.fixture
def world(memory_root: str, units: SimpleNamespace, facts: RunFacts) -> World:
    return make_worlds(memory_root, units, facts)("world")


def test_a_row_is_completed_in_place(world: World) -> None:
    before = world.rows()
    world.deepen("a")
    assert world.rows() == before, "what waits for its seal is in no table"
    world.seal()
    after = world.rows()
    assert after.keys() == before.keys()
    assert world.waiting() == []
    for key, row in after.items():
        if key[0] != "a.mp4":
            assert row == before[key]
            continue
        same = {*row} - {*REPLACED, *ADDED, GATE_COLUMN}
        assert {name: row[name] for name in same} == {name: before[key][name] for name in same}
        assert (row["answer"], row["answer_first"], row["answer_second"]) == ("no", "yes", "no")
        assert (row["thinking"], row["thinking_text"], row["num_thinking_tokens"]) == (True, "let me see", 7)
        assert (row["run_id"], row["deepened_run_id"]) == (world.facts.run_id, "deepening")
        assert (row["written_at"], row["deepened_at"]) == (NOON, LATER)
        assert (row["threshold"], row["gate_reason"]) == (0.995, "unsure")
        assert (row["entropy_peak_token"], row["entropy_final"]) == (3, 0.5)
        assert (before[key]["entropy_peak_token"], before[key]["entropy_final"]) == (None, None)
        assert row["answer_first_tokens"] is None
        assert row["engine_seconds"] == 2 * before[key]["engine_seconds"]
        assert row["thinking_seconds"] == 0.0625
    assert world.findings() == {}


def test_the_books_say_who_answered_and_who_deepened(world: World) -> None:
    world.answer("d")
    world.seal()
    world.deepen("a", "d")
    world.seal()
    counts = world.counts()
    assert counts["deepening"] == Counts(num_deepened=8, num_deepened_tokens=56)
    first = counts[world.facts.run_id]
    assert (first.num_answers, first.num_thinking, first.num_thinking_tokens) == (16, 8, 56)
    assert (first.num_deepened, first.num_unparsed) == (0, 0)
    assert world.findings() == {}


def test_a_row_that_could_not_be_read_counts_no_more(world: World) -> None:
    unit = world.units.make_unit(world.units.make_video("d"), range(1), num_clips=1, num_unparsed=1)
    commit_unit(world.output, unit, world.facts, written_at=NOON)
    world.seal()
    assert world.counts()[world.facts.run_id].num_unparsed == 1
    world.commit(world.units.make_deepened(world.units.make_video("d"), range(1), num_clips=1))
    world.seal()
    assert world.counts()[world.facts.run_id].num_unparsed == 0
    assert world.findings() == {}


def test_without_a_threshold_the_row_keeps_its_own(world: World) -> None:
    world.deepen("a", threshold=None)
    world.seal()
    assert {row["threshold"] for row in world.rows().values()} == {0.97}


def test_the_first_that_completes_a_row_counts(world: World) -> None:
    world.deepen("a", second="no")
    world.seal()
    once = world.rows()
    world.deepen("a", second="yes", attempt=2, num_tokens=9)
    world.seal()
    assert world.rows() == once
    assert world.counts()["deepening"].num_deepened == 4
    records = SealLog(world.output, world.facts.config_id).read_records()
    assert (records[-1].num_duplicates, records[-1].num_units) == (4, 1)
    assert world.findings() == {}


def test_of_two_that_wait_together_the_first_by_name_counts(world: World) -> None:
    world.deepen("a", attempt=1, second="no")
    world.deepen("a", attempt=2, second="yes")
    first = parse_unit("first", Store().read(min(world.waiting()))).column("answer")[0].as_py()
    world.seal()
    assert {row["answer"] for key, row in world.rows().items() if key[0] == "a.mp4"} == {first}
    assert world.counts()["deepening"].num_deepened == 4


def test_what_failed_is_a_failure_and_its_row_stays(world: World) -> None:
    before = world.rows()
    world.deepen("a", failing=True, attempt=3)
    world.seal()
    failures = world.rows("failures")
    assert {(row["attempts"], row["reason"], row["run_id"]) for row in failures.values()} == {
        (3, "engine_error", "deepening")
    }
    assert len(failures) == 2
    after = world.rows()
    assert all(after[key] == before[key] for key in failures)
    assert sum(row["thinking"] for row in after.values()) == 2
    assert world.counts()["deepening"] == Counts(num_clips=2, num_failures=2, num_deepened=2, num_deepened_tokens=14)
    assert world.findings() == {}


def test_where_frames_are_missing_each_row_has_failed(world: World) -> None:
    before = world.rows()
    unit = world.units.make_deepened(world.units.make_video("a"), range(2), num_clips=2)
    gone = Failure(stage="decode", reason="source_gone", message="it is gone")
    world.commit(replace(unit, clips=(), attempts=(), failure=gone))
    world.seal()
    assert world.rows() == before
    assert {row["reason"] for row in world.rows("failures").values()} == {"source_gone"}
    assert len(world.rows("failures")) == 4
    assert world.findings() == {}


def test_a_row_of_before_the_columns_were_there_is_completed(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    world = World(Output.at(str(tmp_path)), units, facts)
    world.answer("a", "b")
    world.seal()
    take_newer_columns_out(world.output)
    assert "deepened_at" not in next(iter(world.rows().values()))
    world.deepen("a")
    world.seal()
    assert {(key[0], row["thinking"]) for key, row in world.rows().items()} == {("a.mp4", True), ("b.mp4", False)}
    assert {row["prompt_seconds"] for row in world.rows().values()} == {None}, "what was not known stays so"


def test_a_committed_unit_is_known_and_not_asked_again(world: World) -> None:
    unit = world.units.make_deepened(world.units.make_video("a"), range(2), num_clips=2)
    assert read_receipt(world.output, unit, world.deepening) is None
    world.commit(unit)
    receipt = read_receipt(world.output, unit, world.deepening)
    assert receipt is not None
    assert (receipt.num_deepened, receipt.num_deepened_tokens, receipt.num_answers) == (4, 28, 0)


def test_rows_in_small_and_merged_files_are_completed(world: World) -> None:
    world.deepen("a")
    world.seal()
    compact(world.output, world.facts.config_id)
    world.deepen("b", "c")
    world.seal()
    compact(world.output, world.facts.config_id)
    migrate(world.output, world.facts.config_id)
    world.answer("d")
    world.seal()
    assert sum(row["thinking"] for row in world.rows().values()) == 12
    assert world.counts()["deepening"].num_deepened == 12
    assert world.findings() == {}


@pytest.mark.parametrize("when", ["before", "waiting", "after"])
def test_what_is_erased_is_not_deepened(world: World, when: str) -> None:
    if when == "before":
        erase(world.output, ["a.mp4"])
    world.deepen("a", "b")
    if when == "waiting":
        erase(world.output, ["a.mp4"])
        assert all(b"a.mp4" not in Store().read(uri) for uri in world.waiting())
    world.seal()
    if when == "after":
        erase(world.output, ["a.mp4"])
    assert {key[0] for key in world.rows()} == {"b.mp4", "c.mp4"}
    assert world.waiting() == []
    assert world.findings() == {}
    assert audit(world.output, is_quick=True)["counts"].findings == []
