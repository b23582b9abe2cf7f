"""When each wording was first asked is kept by the names of small objects."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from framegate.pipelines.commit.first_asked import note_first_asked, read_first_asked
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config
from framegate.schemas.qa import Question

RED = Question(id="red", text="Is it red?", type="yes_no")
WHICH = Question(id="which", text="Which?", type="choice", options=("crate", "forklift"))
MONDAY = datetime(2026, 11, 30, 1, 33, 9, 5, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)


def test_a_wording_keeps_the_time_at_which_it_was_first_asked(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    assert note_first_asked(output, [RED], MONDAY) == {RED.hash: MONDAY}
    assert note_first_asked(output, [RED, WHICH], TUESDAY) == {RED.hash: MONDAY, WHICH.hash: TUESDAY}
    assert read_first_asked(output) == {RED.hash: MONDAY, WHICH.hash: TUESDAY}
    assert len(list(tmp_path.glob("questions/*.json"))) == 2


def test_an_object_says_what_was_asked(tmp_path: Path) -> None:
    note_first_asked(Output.at(str(tmp_path)), [WHICH], MONDAY)
    (path,) = tmp_path.glob("questions/*.json")
    assert path.name == f"{WHICH.hash}-20261130T013309000005Z.json"
    document = json.loads(path.read_text())
    assert document["options"] == ["crate", "forklift"]
    assert document["question_hash"] == WHICH.hash


def test_of_two_runs_that_began_at_once_the_earlier_one_counts(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    note_first_asked(output, [RED], TUESDAY)
    (path,) = tmp_path.glob("questions/*.json")
    path.with_name(f"{RED.hash}-20261130T013309000005Z.json").write_bytes(path.read_bytes())
    assert read_first_asked(output) == {RED.hash: MONDAY}


def test_of_an_output_of_an_earlier_version_it_is_not_known(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    record_config(output, "c0ffee0000000000", {"model": {}})
    assert note_first_asked(output, [RED], MONDAY) == {RED.hash: None}
    assert note_first_asked(output, [RED, WHICH], TUESDAY) == {RED.hash: None, WHICH.hash: TUESDAY}
    assert read_first_asked(output) == {RED.hash: None, WHICH.hash: TUESDAY}


def test_a_name_that_is_none_of_ours_is_passed_over(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    note_first_asked(output, [RED], MONDAY)
    (tmp_path / "questions" / "notes.txt").write_text("mine")
    assert read_first_asked(output) == {RED.hash: MONDAY}
