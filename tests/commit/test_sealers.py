"""Several sealers at once, frozen or killed anywhere; late committers; erasures: no key lost, none there twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import BinaryIO

import pyarrow.compute as pc
import pytest

from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import finish_seals, seal
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.sealed_parquet import encode_sealed
from framegate.pipelines.commit.unit_format import encode_unit, parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.pipelines.store import ObjectInfo, Put, Store
from framegate.schemas.errors import StorageError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TINY = 4096  # bytes of a file: a seal of its own for each video


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass(frozen=True)
class WatchedStore(Store):
    """Calls `before(n)` before its n-th request, from 0."""

    before: Callable[[int], None] = lambda number: None
    num_requests: list[int] = field(default_factory=lambda: [0])

    def _tick(self) -> None:
        number = self.num_requests[0]
        self.num_requests[0] += 1
        self.before(number)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._tick()
        return super().list(prefix)

    def stat(self, uri: str) -> ObjectInfo:
        self._tick()
        return super().stat(uri)

    def read(self, uri: str, start: int | None = None, end: int | None = None) -> bytes:
        self._tick()
        return super().read(uri, start, end)

    def read_present(self, objects: Iterable[str | ObjectInfo]) -> Iterator[tuple[str, bytes | None]]:
        for item in objects:
            self._tick()
            yield from super().read_present([item])

    def open_read(self, uri: str) -> BinaryIO:
        self._tick()
        return super().open_read(uri)

    def read_version(self, uri: str) -> tuple[ObjectInfo, bytes]:
        self._tick()
        return super().read_version(uri)

    def put_once(self, uri: str, data: bytes) -> Put:
        self._tick()
        return super().put_once(uri, data)

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        self._tick()
        return super().replace(uri, data, if_match=if_match)

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            self._tick()
            super().delete([uri])


@dataclass(frozen=True)
class World:
    """An output with two videos of two units each and an undecoded video in its journal."""

    output: Output
    units: SimpleNamespace
    facts: RunFacts

    @property
    def answered(self) -> list[tuple]:
        return self.keys_of("a.mp4") + self.keys_of("b.mp4")

    @property
    def questions(self) -> tuple:
        return self.units.QUESTIONS[:2]

    def keys_of(self, uri: str) -> list[tuple]:
        return sorted((uri, clip, question.hash) for clip in range(3) for question in self.questions)

    def commit(self, name: str, indexes: range, *, failing: bool = False, run_id: str = "run-1") -> None:
        unit = self.units.make_unit(self.units.make_video(name), indexes, num_clips=3, failing=failing)
        commit_unit(self.output, unit, replace(self.facts, run_id=run_id), written_at=NOON)

    def commit_undecoded(self, attempt: int = 1) -> None:
        unit = self.units.make_undecoded(self.units.make_video("broken"), None, attempt=attempt)
        commit_unit(self.output, unit, self.facts, written_at=NOON)

    def fill(self) -> World:
        for name in "ab":
            self.commit(name, range(2))
            self.commit(name, range(2, 3))
        self.commit_undecoded()
        return self

    def seal(self, store: Store | None = None) -> None:
        seal(Output(store or Store(), self.output.layout), self.facts.config_id, file_bytes=TINY)

    def records(self) -> list[SealRecord]:
        return SealLog(self.output, self.facts.config_id).read_records()

    def files(self, *folders: str) -> dict[str, bytes]:
        names = [info.uri for folder in folders for info in self.output.list(folder)]
        return {"/".join(uri.split("/")[-3:]): data for uri, data in Store().read_many(names)}

    def rows(self, table: str) -> list[dict]:
        return [row for uri, data in self.files(table).items() for row in parse_unit(uri, data).to_pylist()]

    def sealed_keys(self, table: str = "results") -> list[tuple]:
        keys = [(row["video_uri"], row["clip_index"] or 0, row["question_hash"] or "") for row in self.rows(table)]
        return sorted(keys)

    def assert_no_key_twice(self) -> None:
        for table in ("results", "failures"):
            keys = self.sealed_keys(table)
            assert len(keys) == len(set(keys))

    def assert_complete(self) -> None:
        assert self.sealed_keys() == self.answered
        assert [uri for uri, *_ in self.sealed_keys("failures")] == ["broken.mp4"]
        assert self.files("journal") == {}

    def erase(self, name: str) -> None:
        """What an erasure comes to: tombstone, pending seals, journal, files."""
        uri = f"{name}.mp4"
        Store().put_once(self.output.layout.tombstone(uri), b"{}")
        finish_seals(self.output, self.facts.config_id)
        video_id = self.units.make_video(name).video_id
        Store().delete([info.uri for info in self.output.list("journal") if video_id in info.uri])
        for info in [info for folder in ("results", "failures") for info in self.output.list(folder)]:
            table = parse_unit(info.uri, Store().read(info.uri))
            left = table.filter(pc.field("video_uri") != uri)
            if left.num_rows < table.num_rows:
                Store().replace(info.uri, encode_sealed([left], table.schema), if_match=info.version)


@pytest.fixture(params=[100, 1], ids=["records", "history"], autouse=True)
def fold_from(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds whether records stay objects of their own or are folded at once."""
    monkeypatch.setattr("framegate.pipelines.commit.seal.FOLD_FROM", request.param)


@pytest.fixture
def worlds(memory_root: str, units: SimpleNamespace, facts: RunFacts) -> Callable[[object], World]:
    """New worlds by name; the first one's journal is copied, as committing takes longer than sealing."""
    filled = f"{memory_root}/filled"
    World(Output.at(filled), units, facts).fill()
    objects = dict(Store().read_many([info.uri for info in Store().list(filled)]))

    def make(name: object) -> World:
        output = Output.at(f"{memory_root}/{name}")
        for uri, data in objects.items():
            Store().put_once(uri.replace("/filled/", f"/{name}/"), data)
        return World(output, units, facts)

    return make


def at(number: int, action: Callable[[], None]) -> Callable[[int], None]:
    return lambda n: action() if n == number else None


def every_request(worlds: Callable[[object], World], run: Callable[[World, int], bool]) -> int:
    """Runs `run(world, n)` with n counting up until it says that there is no n-th request."""
    number = 0
    while run(worlds(number), number):
        number += 1
    assert number > 20
    return number


def test_a_sealer_that_dies_anywhere_leaves_what_the_next_one_completes_to_the_same_bytes(worlds) -> None:
    whole = worlds("whole")
    whole.seal()
    whole.assert_complete()

    def die() -> None:
        raise Killed

    def run(world: World, number: int) -> bool:
        try:
            world.seal(WatchedStore(before=at(number, die)))
        except Killed:
            world.assert_no_key_twice()
            world.seal()
            assert world.files("results", "failures", "seals") == whole.files("results", "failures", "seals")
            world.assert_complete()
            return True
        return False

    every_request(worlds, run)


def test_a_sealer_frozen_anywhere_meets_what_another_did_meanwhile(worlds) -> None:
    def run(world: World, number: int) -> bool:
        def other() -> None:
            world.seal()
            world.assert_complete()
            world.commit("d", range(3), run_id="run-2")
            world.seal()

        store = WatchedStore(before=at(number, other))
        world.seal(store)
        if store.num_requests[0] <= number:
            return False
        world.assert_no_key_twice()
        assert world.sealed_keys() == [*world.answered, *world.keys_of("d.mp4")]
        return True

    every_request(worlds, run)


@pytest.mark.parametrize("frozen_at", [8, 16])
def test_two_frozen_sealers_take_turns(worlds, frozen_at: int) -> None:
    """The first is stopped before its k-th request, the second before any of its own, and so to the end."""
    number = 0
    while True:
        world = worlds(f"{frozen_at}-{number}")
        second = WatchedStore(before=at(number, lambda world=world: world.seal()))
        first = WatchedStore(before=at(frozen_at, lambda world=world, second=second: world.seal(second)))
        world.seal(first)
        world.assert_complete()
        if second.num_requests[0] <= number:
            return
        number += 1


def test_a_frozen_sealer_does_not_bring_an_erased_video_back(worlds) -> None:
    def run(world: World, number: int) -> bool:
        store = WatchedStore(before=at(number, lambda: world.erase("b")))
        world.seal(store)
        if store.num_requests[0] <= number:
            return False
        world.assert_no_key_twice()
        assert world.sealed_keys() == world.keys_of("a.mp4")
        world.seal()
        assert world.sealed_keys() == world.keys_of("a.mp4")
        assert world.files("journal") == {}
        return True

    every_request(worlds, run)


def test_units_committed_again_after_they_were_sealed_add_nothing(worlds) -> None:
    world = worlds("late")
    world.seal()
    world.commit("a", range(2), run_id="frozen")
    world.commit("b", range(1, 3), run_id="frozen")  # cut another way
    world.seal()
    world.assert_complete()
    late = [record for record in world.records() if record.num_duplicates]
    assert sum(record.num_duplicates for record in late) == 2 * (2 + 2)
    assert all(not record.runs for record in late)


def test_a_late_answer_to_what_had_failed_is_sealed(worlds) -> None:
    """The unit failed, was sealed, and a committer that was frozen puts an answer under the same name."""
    world = worlds("late")
    world.commit("d", range(3), failing=True)
    seal(world.output, world.facts.config_id)
    assert [uri for uri, *_ in world.sealed_keys("failures")] == ["broken.mp4", *["d.mp4"] * 3]
    world.commit("d", range(3), run_id="frozen")
    finish_seals(world.output, world.facts.config_id)
    world.seal()
    assert [key for key in world.sealed_keys() if key[0] == "d.mp4"] == world.keys_of("d.mp4")


def test_overlapping_units_of_one_seal_give_each_key_once_by_the_order_of_names(worlds) -> None:
    world = worlds("overlap")
    world.commit("a", range(1, 3), run_id="run-2")
    world.seal()
    world.assert_complete()
    # 0000000-0000001, 0000001-0000002, 0000002-0000002: the second one's clip 1 comes late, its clip 2 first.
    by_clip = {row["clip_index"]: row["run_id"] for row in world.rows("results") if row["video_uri"] == "a.mp4"}
    assert by_clip == {0: "run-1", 1: "run-1", 2: "run-2"}


def test_failures_are_a_history(worlds) -> None:
    world = worlds("history")
    for attempt in (1, 2, 2, 3):
        world.commit_undecoded(attempt)
        world.seal()
    assert [uri for uri, *_ in world.sealed_keys("failures")] == ["broken.mp4"] * 3


def test_an_object_that_changed_under_a_plan_is_skipped_and_sealed_later(worlds, units: SimpleNamespace) -> None:
    world = worlds("changed")
    name = world.output.layout.unit(
        world.facts.config_id,
        units.make_video("a").video_id,
        clip_indexes=range(2),
        questions=[(q.hash, 1) for q in world.questions],
    )
    unit = units.make_unit(units.make_video("a"), range(2), num_clips=3)
    other = encode_unit(journal_table(unit, replace(world.facts, run_id="another"), written_at=NOON))

    def die_after_the_first_plan() -> Callable[[int], None]:
        def look(_: int) -> None:
            if world.files("seals"):
                raise Killed

        return look

    with pytest.raises(Killed):
        seal(Output(WatchedStore(before=die_after_the_first_plan()), world.output.layout), world.facts.config_id)
    Store().delete([name])
    Store().put_once(name, other)
    seal(world.output, world.facts.config_id)
    world.assert_complete()
    first, second = world.records()
    assert first.skipped == ("/".join(name.rsplit("/", 2)[-2:]),)
    assert (first.num_units, second.num_units, set(second.runs)) == (4, 1, {"another"})


def test_a_sealed_file_that_is_gone_is_told(worlds) -> None:
    world = worlds("gone")
    world.seal()
    Store().delete([f"{world.output.root}/{world.records()[0].files[0].uri}"])
    world.fill()
    with pytest.raises(StorageError, match=r"00000000.parquet"):
        world.seal()
