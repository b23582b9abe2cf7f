"""Compacting: many small files become one; whatever is killed or frozen, no row is lost, doubled, or brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import compact, finish_seals, seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.plan.stored import read_stored
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import parse_parquet
from tests.watched_store import Killed, WatchedStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = "abcde"
Key = tuple[str, int, str]


@dataclass(frozen=True)
class World:
    """An output whose seals each began a file, as those of older versions did."""

    output: Output
    units: SimpleNamespace
    facts: RunFacts

    def commit(self, name: str, night: int = 0, **inputs: Any) -> None:
        unit = self.units.make_unit(self.units.make_video(name, inputs), range(2), num_clips=2, failing=name == "b")
        facts = replace(self.facts, run_id=f"run-{night}")
        commit_unit(self.output, unit, facts, written_at=NOON + timedelta(days=night))

    def seal_apart(self) -> None:
        seal(self.output, self.facts.config_id, file_bytes=4096)

    def through(self, store: Store) -> Output:
        return Output(store, self.output.layout)

    def keys(self, table: str = "results") -> list[Key]:
        found = []
        for info in self.output.list(table):
            for row in parse_parquet(info.uri, Store().read(info.uri)).to_pylist():
                found.append((row["video_uri"], row["clip_index"], row["question_hash"]))
        return sorted(found)

    def names(self, table: str = "results") -> list[str]:
        return [info.uri.rpartition("/")[2] for info in self.output.list(table)]

    def findings(self) -> dict[str, list[str]]:
        checks = audit(self.output).checks
        return {check.name: check.findings for check in checks if check.num_findings and check.name != "planned"}

    def expected(self, *names: str) -> list[Key]:
        hashes = [question.hash for question in self.units.QUESTIONS[:2]]
        answered = {name: hashes[:1] if name == "b" else hashes for name in names}
        return sorted((f"{name}.mp4", clip, hash) for name in names for clip in range(2) for hash in answered[name])


@pytest.fixture
def worlds(memory_root: str, units: SimpleNamespace, facts: RunFacts) -> Callable[[object], World]:
    filled = World(Output.at(f"{memory_root}/filled"), units, facts)
    for night, name in enumerate(NAMES):
        filled.commit(name, night)
        filled.seal_apart()
    assert len(filled.names()) == len(NAMES)
    objects = dict(Store().read_many([info.uri for info in Store().list(filled.output.root)]))

    def make(name: object) -> World:
        for uri, data in objects.items():
            Store().put_once(uri.replace("/filled/", f"/{name}/"), data)
        return World(Output.at(f"{memory_root}/{name}"), units, facts)

    return make


def every_request(worlds: Callable[[object], World], run: Callable[[World, int], bool]) -> None:
    number = 0
    while run(worlds(number), number):
        number += 1
    assert number > 15


def test_small_files_become_one_and_seals_go_on_with_it(worlds) -> None:
    world = worlds("one")
    merged = compact(world.output, world.facts.config_id)
    assert (merged.num_merged, merged.num_files, merged.num_answers) == (len(NAMES), 1, 0)
    [name] = world.names()
    rows = parse_parquet(
        name, Store().read(world.output.layout.sealed("results", world.facts.config_id, "", int(name[:8])))
    )
    keys = list(zip(rows.column("question_id").to_pylist(), rows.column("video_id").to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert world.keys() == world.expected(*NAMES)
    assert world.findings() == {}
    assert compact(world.output, world.facts.config_id).num_seals == 0
    world.commit("f", 9)
    world.commit("a", 9)  # answered in a file that is no more
    seal(world.output, world.facts.config_id)
    assert world.names() == [name]
    assert world.keys() == world.expected(*NAMES, "f")
    assert world.findings() == {}
    erase(world.output, ["c.mp4", "f.mp4"])
    assert world.keys() == world.expected("a", "b", "d", "e")
    assert world.findings() == {}


def test_dying_before_any_request_is_completed_by_a_seal_or_the_same_command(worlds) -> None:
    def run(world: World, number: int) -> bool:
        def die(n: int) -> None:
            if n == number:
                raise Killed

        try:
            compact(world.through(WatchedStore(before=die)), world.facts.config_id)
        except Killed:
            assert set(world.keys()) == set(world.expected(*NAMES))
            assert world.findings() == {}, "rows that stand twice for a while are explained"
            assert read_stored(world.output, world.facts.config_id).answered.num_rows >= len(world.expected(*NAMES))
            if number % 2:
                finish_seals(world.output, world.facts.config_id)
                assert world.keys() == world.expected(*NAMES)
            compact(world.output, world.facts.config_id)
            assert world.keys() == world.expected(*NAMES)
            assert len(world.names()) == len(world.names("failures")) == 1
            assert world.findings() == {}
            return True
        return False

    every_request(worlds, run)


def test_frozen_anywhere_while_others_compact_seal_and_erase(worlds) -> None:
    def run(world: World, number: int) -> bool:
        def others(n: int) -> None:
            if n == number:
                compact(world.output, world.facts.config_id)
                world.commit("f", 9)
                world.seal_apart()
                erase(world.output, ["d.mp4"])
                compact(world.output, world.facts.config_id)

        store = WatchedStore(before=others)
        compact(world.through(store), world.facts.config_id)
        if store.num_requests[0] <= number:
            return False
        assert world.keys() == world.expected("a", "b", "c", "e", "f"), number
        assert world.findings() == {}, number
        return True

    every_request(worlds, run)


def test_a_sealer_frozen_anywhere_while_others_seal_and_compact(worlds) -> None:
    """Its files are deleted, and their names free: nothing that it does brings them back with rows in them."""

    def run(world: World, number: int) -> bool:
        world.commit("f", 9)

        def others(n: int) -> None:
            if n == number:
                world.seal_apart()
                compact(world.output, world.facts.config_id)

        store = WatchedStore(before=others)
        seal(world.through(store), world.facts.config_id, file_bytes=4096)
        if store.num_requests[0] <= number:
            return False
        assert world.keys() == world.expected(*NAMES, "f"), number
        assert world.findings() == {}, number
        assert all(
            parse_parquet(info.uri, Store().read(info.uri)).num_rows
            for table in ("results", "failures")
            for info in world.output.list(table)
        ), number
        return True

    every_request(worlds, run)


def test_an_erasure_frozen_anywhere_while_others_compact(worlds) -> None:
    def run(world: World, number: int) -> bool:
        def others(n: int) -> None:
            if n == number:
                compact(world.output, world.facts.config_id)

        store = WatchedStore(before=others)
        erase(world.through(store), ["c.mp4"])
        if store.num_requests[0] <= number:
            return False
        assert world.keys() == world.expected("a", "b", "d", "e"), number
        assert world.findings() == {}, number
        compact(world.output, world.facts.config_id)
        assert world.keys() == world.expected("a", "b", "d", "e"), number
        assert world.findings() == {}, number
        return True

    every_request(worlds, run)


def test_rows_of_a_video_that_was_erased_meanwhile_are_left_out_and_counted(worlds) -> None:
    """The tombstone is there, and the erasure has not come to the files yet."""
    world = worlds("erased")
    Store().put_once(world.output.layout.tombstone("c.mp4"), b'{"erasure_id": "e"}')
    compact(world.output, world.facts.config_id)
    assert world.keys() == world.expected("a", "b", "d", "e")
    removed = [dict(record.removed) for record in SealLog(world.output, world.facts.config_id).read_records()]
    assert {"run-2": {"answers": 4}} in removed
    assert world.findings().keys() == {"erased"}  # the erasure of the tombstone is not recorded


def test_columns_of_all_manifests_are_in_the_one_file(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    world = World(Output.at(str(tmp_path)), units, facts)
    fix(world.output, [], {"camera": pa.string(), "floor": pa.float64()})
    for night, inputs in enumerate([{"camera": "north"}, {"floor": 1}, {"floor": 2.5, "camera": "south"}, {}]):
        world.commit(str(night), night, **inputs)
        world.seal_apart()
    compact(world.output, facts.config_id)
    [file] = Path(tmp_path, "results").rglob("*.parquet")
    rows = pq.ParquetFile(file).read(columns=["video_uri", "input_camera", "input_floor"]).to_pylist()
    assert {(row["video_uri"], row["input_camera"], row["input_floor"]) for row in rows} == {
        ("0.mp4", "north", None), ("1.mp4", None, 1.0), ("2.mp4", "south", 2.5), ("3.mp4", None, None),
    }  # fmt: skip
    assert world.findings() == {}


def test_partitions_are_merged_each_by_itself_and_files_stay_within_their_size(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    world = World(Output.at(str(tmp_path)), units, facts)
    fix(world.output, ["camera"], {"camera": pa.string()})
    for night in range(6):
        world.commit(str(night), night, camera=["north", "south"][night % 2])
        seal(world.output, facts.config_id, file_bytes=4096, partition_by=["camera"])
    sizes = [path.stat().st_size for path in Path(tmp_path, "results").rglob("*.parquet")]
    assert compact(world.output, facts.config_id, file_bytes=int(1.5 * max(sizes))).num_merged == 0, "no two fit"
    assert compact(world.output, facts.config_id, file_bytes=int(3.5 * max(sizes))).num_merged == 6
    assert world.keys() == world.expected(*map(str, range(6)))
    assert len(list(Path(tmp_path, "results").rglob("*.parquet"))) == 2
    assert world.findings() == {}
