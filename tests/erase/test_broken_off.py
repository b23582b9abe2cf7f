"""An erasure that dies anywhere is completed by the next one; what goes on beside it does not bring a video back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import finish_seals, seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import complete_erasures, erase
from framegate.pipelines.erase.records import ErasureReceipt, leads_to, read_replacements, unfinished_erasures
from framegate.pipelines.store import ObjectInfo, Put, Store

URI = "cam/erased.mp4"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: no code of ours may catch it."""


@dataclass
class Clock:
    """Counts what is done to storage, and calls `at` with each number before it is done."""

    at: Callable[[int], None]
    now: int = 0

    def tick(self) -> None:
        self.now += 1
        self.at(self.now)


@dataclass(frozen=True)
class WatchedStore(Store):
    """A store that tells a clock of every change, before it is made; of a deletion, object by object."""

    clock: Clock = field(default_factory=lambda: Clock(at=lambda number: None))

    def put_once(self, uri: str, data: bytes) -> Put:
        self.clock.tick()
        return super().put_once(uri, data)

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        self.clock.tick()
        return super().replace(uri, data, if_match=if_match)

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            self.clock.tick()
            super().delete([uri])


def rows(output: Output) -> dict[str, list[dict[str, Any]]]:
    """Every sealed row, by file."""
    return {
        info.uri.removeprefix(output.root): parse_unit(info.uri, output.store.read(info.uri)).to_pylist()
        for kind in ("results", "failures")
        for info in output.list(kind)
    }


def assert_forgotten(output: Output) -> None:
    for info in output.store.list(output.root):
        assert URI.encode() not in output.store.read(info.uri), info.uri
    assert unfinished_erasures(output) == []
    assert [sentence for check in audit(output).checks for sentence in check.findings] == []


def told(receipt: ErasureReceipt) -> tuple:
    """What a receipt says beside times and what the process itself counted."""
    return receipt.rows, {tuple(one.items()) for one in receipt.objects}, receipt.videos


@pytest.fixture
def filled(tmp_path: Path, fill_index: Callable) -> Callable[[], Output]:
    """A fresh copy of the same output each time."""
    fill_index(Output.at(str(tmp_path / "template")))
    copies = iter(range(10_000))

    def copy() -> Output:
        root = tmp_path / f"copy-{next(copies)}"
        shutil.copytree(tmp_path / "template", root)
        return Output.at(str(root))

    return copy


def test_dying_before_any_change_to_storage_is_mended_by_the_next_erasure(filled: Callable[[], Output]) -> None:
    whole = filled()
    undisturbed = erase(whole, [URI], erasure_id="e")
    expected = rows(whole)
    number, died = 0, True
    while died:
        number += 1
        output = filled()

        def die(now: int, number: int = number) -> None:
            if now == number:
                raise Killed

        try:
            erase(Output(WatchedStore(clock=Clock(at=die)), output.layout), [URI], erasure_id="e")
            died = False
        except Killed:
            if unfinished_erasures(output):
                if number % 2:  # whatever comes next completes it, knowing digests alone
                    [receipt] = complete_erasures(output)
                else:
                    receipt = erase(output, [URI])
                assert told(receipt) == told(undisturbed), number
            else:
                assert number == 1, "nothing had begun"
                continue
        assert rows(output) == expected, number
        assert_forgotten(output)
    # Every change was tried: the beginning, a tombstone, 4 units and 6 files and plans each with a note, 4 attempts,
    # the receipt; and one time more, at which nobody died.
    assert number == 1 + 1 + 2 * (4 + 6) + 4 + 1 + 1


def test_a_unit_that_is_committed_after_the_erasure_does_not_come_to_the_tables(
    tmp_path: Path, fill_index: Callable, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    fill_index(output)
    erase(output, [URI])
    config_id = fill_index.config_ids[0]
    zombie = units.make_unit(fill_index.videos[0], range(3, 4), num_clips=4)
    commit_unit(output, zombie, replace(facts, config_id=config_id), written_at=NOON)
    sealed = seal(output, config_id)
    assert sealed.num_erased == 2
    assert_forgotten(output)


def test_a_sealer_that_was_frozen_before_its_files_cannot_bring_rows_back(tmp_path: Path, fill_index: Callable) -> None:
    """Partitioned, so that one file of the seal would hold nothing but erased rows."""
    output, config_id = Output.at(str(tmp_path)), fill_index.config_ids[0]
    fill_index(output, partition_by=("camera",))
    erased = [URI, "cam/other.mp4"]

    def freeze(now: int) -> None:
        if now == 3:  # after layout.json and the plan, before its first file
            assert SealLog(output, config_id).read_plan(1) is not None
            erase(output, erased)

    before = rows(output)
    seal(Output(WatchedStore(clock=Clock(at=freeze)), output.layout), config_id, partition_by=("camera",))
    assert_forgotten(output)
    after = rows(output)
    assert after.keys() == before.keys()  # the seal adds to the files of the one before
    assert {row["video_uri"] for file in after.values() for row in file} == {"b/x.mp4"}


def test_a_sealer_at_work_at_any_moment_changes_nothing_of_the_outcome(
    filled: Callable[[], Output], fill_index: Callable
) -> None:
    whole = filled()
    config_id = fill_index.config_ids[0]
    seal(whole, config_id)
    erase(whole, [URI])
    expected = {key(name, row) for name, file in rows(whole).items() for row in file}
    number, happened = 0, True
    while happened:
        number += 1
        output, happened = filled(), False

        def seal_beside(now: int, number: int = number, output: Output = output) -> None:
            nonlocal happened
            if now == number:
                happened = True
                seal(output, config_id)

        erase(Output(WatchedStore(clock=Clock(at=seal_beside)), output.layout), [URI])
        seal(output, config_id)
        found = [key(name, row) for name, file in rows(output).items() for row in file]
        assert len(found) == len(set(found))
        assert set(found) == expected, number
        assert_forgotten(output)


def key(name: str, row: dict[str, Any]) -> tuple:
    return (
        name.partition("config_id=")[2][:16],
        row["video_id"],
        row["clip_index"],
        row["question_hash"],
        row.get("attempts"),
    )


def test_two_erasures_at_once_both_come_to_their_end(filled: Callable[[], Output]) -> None:
    """The other one replaces the same files between our note and our replacement: ours then looks again."""
    alone = erase(filled(), [URI])
    for number in range(1, 28, 3):
        output = filled()

        def erase_beside(now: int, number: int = number, output: Output = output) -> None:
            if now == number:
                erase(output, ["b/x.mp4"], erasure_id="other")

        receipt = erase(Output(WatchedStore(clock=Clock(at=erase_beside)), output.layout), [URI], erasure_id="ours")
        assert receipt.rows == alone.rows  # not what was noted and then done by nobody
        assert {row["video_uri"] for file in rows(output).values() for row in file} == {"cam/other.mp4"}
        assert_forgotten(output)
        notes = [note for _, note in read_replacements(output)]
        for file in {note.file for note in notes if note.table in ("results", "failures", "plans")}:
            [first] = {note.sha256_before for note in notes if note.file == file} - {
                note.sha256_after for note in notes if note.file == file
            }
            last = hashlib.sha256(Store().read(f"{output.root}/{file}")).hexdigest()
            assert leads_to(notes, file, first, last)


def test_pending_seals_are_finished_first(filled: Callable[[], Output], fill_index: Callable) -> None:
    output, config_id = filled(), fill_index.config_ids[0]

    def die(now: int) -> None:
        if now == 3:
            raise Killed

    with pytest.raises(Killed):
        seal(Output(WatchedStore(clock=Clock(at=die)), output.layout), config_id)
    erase(output, [URI])
    assert finish_seals(output, config_id).num_seals == 0
    assert_forgotten(output)
