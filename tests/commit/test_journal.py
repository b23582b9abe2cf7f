"""The journal: one object per unit, first writer wins, and what is done is known from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from framegate.pipelines.commit.journal import commit_unit, read_receipt
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.schemas.errors import FramegateError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_unit_is_one_object_and_is_committed_once(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    unit = units.make_unit(units.make_video(), range(2), num_clips=2)
    first = commit_unit(output, unit, facts, written_at=NOON)
    again = commit_unit(output, unit, replace(facts, run_id="run-2"), written_at=datetime.now(UTC))
    assert (first.created, again.created) == (True, False)
    assert (first.num_clips, first.num_answers, first.num_failures) == (2, 4, 0)
    [info] = output.store.list(str(tmp_path))
    table = parse_unit(info.uri, output.store.read(info.uri))
    assert set(table.column("run_id").to_pylist()) == {"run-1"}
    assert table.column("engine_seconds").to_pylist() == [0.25] * 4


def test_other_questions_of_the_same_clips_are_another_object(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output, video = Output.at(str(tmp_path)), units.make_video()
    commit_unit(output, units.make_unit(video, range(2), num_clips=2), facts, written_at=NOON)
    more = units.make_unit(video, range(2), num_clips=2, questions=units.QUESTIONS[2:])
    assert commit_unit(output, more, facts, written_at=NOON).created
    assert len(list(output.store.list(str(tmp_path)))) == 2


def test_columns_of_the_manifest_are_kept_with_their_types(units: SimpleNamespace, facts: RunFacts) -> None:
    taken = datetime(2026, 11, 21, 3)
    video = units.make_video(inputs={"camera": "north", "floor": 3, "taken": taken})
    table = journal_table(units.make_unit(video, range(1), num_clips=1), facts, written_at=NOON)
    row = table.to_pylist()[0]
    assert (row["input_camera"], row["input_floor"], row["input_taken"]) == ("north", 3, taken)


def test_a_unit_that_lost_a_question_is_not_committed(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    unit = units.make_unit(units.make_video(), range(1), num_clips=1)
    unit = replace(unit, clips=(replace(unit.clips[0], answers=unit.clips[0].answers[:-1]),))
    with pytest.raises(FramegateError, match=r"asked 2 questions and came back with 1"):
        commit_unit(Output.at(str(tmp_path)), unit, facts, written_at=NOON)
    assert list(tmp_path.iterdir()) == []


def test_the_same_bytes_are_ours_even_where_the_reply_was_lost(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    unit = units.make_unit(units.make_video(), range(1), num_clips=1)
    for _ in range(2):
        assert commit_unit(Output.at(str(tmp_path)), unit, facts, written_at=NOON).created


def test_another_attempt_is_another_object_with_its_number(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output, video = Output.at(str(tmp_path)), units.make_video()
    for attempt in (1, 2):
        for unit in (
            units.make_unit(video, range(1), num_clips=2, failing=True, attempt=attempt),
            units.make_undecoded(video, 1, attempt=attempt),
        ):
            assert commit_unit(output, unit, facts, written_at=NOON).created
    tables = [parse_unit(info.uri, output.store.read(info.uri)) for info in output.store.list(output.root)]
    rows = [row for table in tables for row in table.to_pylist()]
    failures = sorted((row["reason"], row["attempts"]) for row in rows if row["row_kind"] == "failure")
    assert failures == [("engine_error", 1), ("engine_error", 2), ("truncated", 1), ("truncated", 2)]


def test_a_receipt_counts_answers_that_could_not_be_read_among_the_answers(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    unit = units.make_unit(units.make_video(), range(3), num_clips=3, failing=True, num_unparsed=1)
    receipt = commit_unit(Output.at(str(tmp_path)), unit, facts, written_at=NOON)
    assert (receipt.num_answers, receipt.num_unparsed, receipt.num_failures) == (3, 3, 3)


def test_a_receipt_read_back_is_the_one_that_was_given(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    for unit in (
        units.make_unit(units.make_video("a"), range(2), num_clips=2, failing=True),
        units.make_undecoded(units.make_video("b"), None),
        units.make_unit(units.make_video("c"), range(2), num_clips=2, num_unparsed=1),
    ):
        assert read_receipt(output, unit, facts) is None
        given = commit_unit(output, unit, facts, written_at=NOON)
        assert read_receipt(output, unit, facts) == given
        assert read_receipt(output, unit, replace(facts, run_id="other")) == replace(given, created=False)


def test_a_row_tells_how_many_video_tokens_there_were_before_pruning(units: SimpleNamespace, facts: RunFacts) -> None:
    """null where the job does not prune."""
    unit = units.make_unit(units.make_video("v"), range(1), num_clips=1)
    first, *others = unit.clips[0].answers
    pruned = replace(unit.clips[0], answers=(replace(first, num_video_tokens_full=40), *others))
    table = journal_table(replace(unit, clips=(pruned,)), facts, written_at=NOON)
    assert table.column("num_video_tokens").to_pylist() == [10, 10]
    assert table.column("num_video_tokens_full").to_pylist() == [40, None]
