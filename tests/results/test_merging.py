"""A query beside `framegate compact` meets each row once, wherever the merge is: half done, killed, or between two
requests of the query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit import file_writer, seal_log
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config
from framegate.pipelines.commit.seal import compact, finish_seals, seal
from framegate.pipelines.results import sealed_files
from framegate.pipelines.results.status import read_status
from framegate.pipelines.results.views import query
from framegate.pipelines.store import Store
from framegate.schemas.config import OutputConfig
from tests.outputs import CONFIG_ID, answer_row, video, write_unit

NUM_NIGHTS = 5
QUESTION = {"question_id": "where", "question_hash": "1" * 16}
SQL = "SELECT count(*) AS n, count(DISTINCT video_id) AS videos FROM answers"


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """A file for each night, as older versions left them."""
    output = Output.at(str(tmp_path / "index"))
    record_config(output, CONFIG_ID, {})
    for night in range(NUM_NIGHTS):
        write_unit(output, [answer_row(**video(night), **QUESTION, run_id=f"run-{night}")], "answer")
        seal(output, CONFIG_ID, file_bytes=1)
    assert len(names(output)) == NUM_NIGHTS
    return output


def names(output: Output) -> list[str]:
    return [info.uri for info in output.list("results")]


def rows(output: Output) -> list[dict[str, Any]]:
    return query(output.root, {}, SQL).to_pylist()


def num_answers(output: Output) -> int:
    (row,) = read_status(OutputConfig(uri=output.root), max_attempts=3, num_runs=0)
    return row["num_answers"]


EVERY_ROW_ONCE = [{"n": NUM_NIGHTS, "videos": NUM_NIGHTS}]


@pytest.mark.parametrize(
    ("place", "module", "times", "num_files"),
    [
        ("seal.planned", seal_log, 1, NUM_NIGHTS),
        ("seal.file", file_writer, 2, NUM_NIGHTS),  # some of the files are marked
        ("seal.reserved", file_writer, 1, NUM_NIGHTS + 1),
        ("seal.file", file_writer, NUM_NIGHTS + 1, NUM_NIGHTS + 1),  # the new file has all rows
        ("seal.recorded", seal_log, 1, NUM_NIGHTS + 1),
    ],
)
def test_each_row_is_met_once_wherever_a_merge_was_killed(
    output: Output, monkeypatch: pytest.MonkeyPatch, place: str, module: Any, times: int, num_files: int
) -> None:
    num_left = [times]

    def reach(name: str) -> None:
        num_left[0] -= name == place
        if name == place and not num_left[0]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "reach", reach)
        with pytest.raises(Killed):
            compact(output, CONFIG_ID)
    assert len(names(output)) == num_files
    assert rows(output) == EVERY_ROW_ONCE
    assert num_answers(output) == NUM_NIGHTS
    finish_seals(output, CONFIG_ID)
    assert len(names(output)) == 1
    assert rows(output) == EVERY_ROW_ONCE


@dataclass(frozen=True)
class WatchedStore(Store):
    """Calls `before(n)` before it deletes its n-th object, from 0."""

    before: Callable[[int], None] = lambda number: None
    num_deleted: list[int] = field(default_factory=lambda: [0])

    def delete(self, uris: Any) -> None:
        for uri in uris:
            self.before(self.num_deleted[0])
            self.num_deleted[0] += 1
            super().delete([uri])


def test_each_row_is_met_once_while_merged_files_are_deleted(output: Output) -> None:
    found = []
    store = WatchedStore(before=lambda number: found.append((len(names(output)), rows(output))))
    compact(Output(store, output.layout), CONFIG_ID)
    assert found == [(NUM_NIGHTS + 1 - number, EVERY_ROW_ONCE) for number in range(NUM_NIGHTS)]
    assert rows(output) == EVERY_ROW_ONCE


@pytest.mark.parametrize("is_folded", [False, True])
def test_a_merge_between_the_listing_and_the_records_loses_nothing(
    output: Output, monkeypatch: pytest.MonkeyPatch, is_folded: bool
) -> None:
    """The records name a file that was not listed; those that were listed are gone, and the query asks again."""
    read, begun = sealed_files._read_seals, iter([True])

    def late(*arguments: Any) -> Any:
        if next(begun, False):
            compact(output, CONFIG_ID)
            if is_folded:
                fold(output)
        return read(*arguments)

    monkeypatch.setattr(sealed_files, "_read_seals", late)
    assert rows(output) == EVERY_ROW_ONCE
    assert len(names(output)) == 1


def test_a_merge_that_was_folded_since_the_records_were_read_is_left_out(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is listed and unknown, and its plan is gone when it is looked for."""
    store, merged = Store(), Output.at(f"{output.root}-merged")
    for info in [*store.list(output.root)]:
        store.put_once(info.uri.replace(output.root, merged.root), store.read(info.uri))
    compact(merged, CONFIG_ID)
    (new,) = names(merged)
    before = seal_log.SealLog(output, CONFIG_ID).read_records()
    fold(merged)
    name = new.removeprefix(f"{merged.root}/")
    olds = [info.removeprefix(f"{output.root}/") for info in names(output)]
    log = seal_log.SealLog(merged, CONFIG_ID)
    assert sealed_files.left_out(log, [*olds, name], before) == {name}


def fold(output: Output) -> None:
    log = seal_log.SealLog(output, CONFIG_ID)
    log.fold(len(log.read_records()))


def test_the_new_file_of_a_seal_that_is_under_way_is_read(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that of a merge holds what other files hold."""
    write_unit(output, [answer_row(**video(9), **QUESTION)], "answer")

    def reach(name: str) -> None:
        if name == "seal.file":
            raise Killed

    monkeypatch.setattr(file_writer, "reach", reach)
    with pytest.raises(Killed):
        seal(output, CONFIG_ID, file_bytes=1)
    assert rows(output) == [{"n": NUM_NIGHTS + 1, "videos": NUM_NIGHTS + 1}]
