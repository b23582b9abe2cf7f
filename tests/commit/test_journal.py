"""The journal: one object per unit, first writer wins, and what is done is known from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.commit.journal import commit_unit, from_parquet, read_done
from pipelines.commit.rows import RunFacts, journal_table
from pipelines.commit.seal import seal
from pipelines.store import Store
from schemas.errors import FramegateError, StorageError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_unit_is_one_object_and_is_committed_once(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    store, root = Store(), str(tmp_path)
    unit = units.make_unit(units.make_video(), range(2), num_clips=2)
    first = commit_unit(store, root, unit, facts, written_at=NOON)
    again = commit_unit(store, root, unit, replace(facts, run_id="run-2"), written_at=datetime.now(UTC))
    assert (first.created, again.created) == (True, False)
    assert (first.num_clips, first.num_answers, first.num_failures) == (2, 4, 0)
    [info] = store.list(root)
    table = from_parquet(info.uri, store.read(info.uri))
    assert set(table.column("run_id").to_pylist()) == {"run-1"}
    assert table.column("engine_seconds").to_pylist() == [0.25] * 4


def test_other_questions_of_the_same_clips_are_another_object(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    store, root, video = Store(), str(tmp_path), units.make_video()
    commit_unit(store, root, units.make_unit(video, range(2), num_clips=2), facts, written_at=NOON)
    more = units.make_unit(video, range(2), num_clips=2, questions=units.QUESTIONS[2:])
    assert commit_unit(store, root, more, facts, written_at=NOON).created
    assert len(list(store.list(root))) == 2


def test_what_is_done_is_the_same_before_and_after_sealing(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    store, root, video = Store(), str(tmp_path), units.make_video()
    for unit in (
        units.make_unit(video, range(2), num_clips=4, failing=True),
        units.make_unit(video, range(2, 3), num_clips=4),
        units.make_undecoded(video, 3),
        units.make_undecoded(units.make_video("broken"), None),
    ):
        commit_unit(store, root, unit, facts, written_at=NOON)

    def done() -> list[dict]:
        rows = read_done(store, root, facts.config_id).to_pylist()
        return sorted(rows, key=str)

    before = done()
    seal(store, root, facts.config_id)
    assert done() == before
    assert len(before) == 2 * 3 + 2
    assert sum(row["question_hash"] is None for row in before) == 2


def test_another_configuration_sees_nothing_of_it(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    store, root = Store(), str(tmp_path)
    commit_unit(store, root, units.make_unit(units.make_video(), range(1), num_clips=1), facts, written_at=NOON)
    assert read_done(store, root, "another").num_rows == 0


def test_columns_of_the_manifest_are_kept_with_their_types(units: SimpleNamespace, facts: RunFacts) -> None:
    taken = datetime(2026, 11, 21, 3)
    video = units.make_video(inputs={"camera": "north", "floor": 3, "taken": taken})
    table = journal_table(units.make_unit(video, range(1), num_clips=1), facts, written_at=NOON)
    row = table.to_pylist()[0]
    assert (row["input_camera"], row["input_floor"], row["input_taken"]) == ("north", 3, taken)


def test_a_unit_that_lost_a_question_is_not_committed(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    unit = units.make_unit(units.make_video(), range(1), num_clips=1)
    unit["clips"][0]["answers"].pop()
    with pytest.raises(FramegateError, match=r"asked 2 questions and came back with 1"):
        commit_unit(Store(), str(tmp_path), unit, facts, written_at=NOON)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_object_in_the_journal_is_named(tmp_path: Path, facts: RunFacts) -> None:
    uri = f"{tmp_path}/journal/config_id={facts.config_id}/video/x.parquet"
    Store().put_once(uri, b"not parquet")
    with pytest.raises(StorageError, match=r"x\.parquet is no whole Parquet file"):
        read_done(Store(), str(tmp_path), facts.config_id)
