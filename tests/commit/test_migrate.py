"""Migrating: files of earlier versions, and of before a column was there, are brought up to date, each row once."""

from __future__ import annotations

import json
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
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.migrate import check_is_migrated, count_outdated
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import compact, finish_seals, migrate, seal
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.results.views import query
from framegate.pipelines.store import Store
from framegate.schemas.errors import ConfigError
from framegate.schemas.tables import RESULTS
from tests.old_outputs import put_config_id_into_files
from tests.watched_store import Killed, WatchedStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CAMERAS = ("north", "south", "east")


@dataclass(frozen=True)
class Old:
    """An output of an earlier version with three partitions, and two rows of a table in each."""

    output: Output
    units: SimpleNamespace
    facts: RunFacts

    def commit(self, name: str, night: int = 0, **inputs: Any) -> None:
        unit = self.units.make_unit(self.units.make_video(name, inputs), range(1), num_clips=1, failing=name == "f")
        facts = replace(self.facts, run_id=f"run-{night}")
        commit_unit(self.output, unit, facts, written_at=NOON + timedelta(days=night))

    def seal(self) -> None:
        seal(self.output, self.facts.config_id, partition_by=["camera"])

    def migrate(self, store: Store | None = None) -> int:
        output = self.output if store is None else Output(store, self.output.layout)
        return migrate(output, self.facts.config_id).num_files

    def files(self) -> list[Path]:
        return sorted(
            path for table in ("results", "failures") for path in Path(self.output.root, table).rglob("*.parquet")
        )

    def columns(self) -> set[tuple[str, ...]]:
        return {tuple(pq.read_schema(path).names) for path in Path(self.output.root, "results").rglob("*.parquet")}

    def uris(self) -> list[str]:
        """By a plain glob, as any reader meets the rows."""
        tables = [pq.ParquetFile(path).read(columns=["video_uri"]) for path in self.files()]
        return sorted(uri for table in tables for uri in table.column(0).to_pylist())

    def findings(self) -> dict[str, list[str]]:
        checks = audit(self.output).checks
        return {check.name: check.findings for check in checks if check.num_findings and check.name != "planned"}

    def know(self, **types: str) -> None:
        """The output knows these columns of manifests from now on."""
        path = Path(self.output.layout.partitioning)
        path.write_text(json.dumps({**json.loads(path.read_text()), "columns": types}))


@pytest.fixture
def olds(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> Callable[[object], Old]:
    def make(name: object) -> Old:
        old = Old(Output.at(str(tmp_path / str(name))), units, facts)
        for night, camera in enumerate(CAMERAS):
            old.commit(f"{night}", night, camera=camera)
        old.commit("f", 3, camera="north")
        old.seal()
        put_config_id_into_files(old.output)
        return old

    return make


URIS = ["0.mp4", "0.mp4", "1.mp4", "1.mp4", "2.mp4", "2.mp4", "f.mp4", "f.mp4"]


def test_an_old_output_is_read_and_audited_as_it_is(olds) -> None:
    old = olds("old")
    assert all("config_id" in names for names in old.columns())
    assert old.findings() == {}
    notes = [note for check in audit(old.output).checks for note in check.notes]
    assert sum("'framegate migrate' brings it up to date" in note for note in notes) == len(old.files())
    rows = query(old.output.root, {}, "SELECT DISTINCT config_id, camera FROM answers ORDER BY 2").to_pylist()
    assert rows == [{"config_id": old.facts.config_id, "camera": camera} for camera in sorted(CAMERAS)]


def test_an_old_output_is_refused_until_it_is_migrated(olds) -> None:
    old = olds("old")
    with pytest.raises(ConfigError, match=r"run 'framegate migrate .*' once"):
        check_is_migrated(old.output)
    before = {path: path.stat().st_mtime_ns for path in old.files()}
    assert old.migrate() == len(old.files()) == 4
    assert {path: path.stat().st_mtime_ns for path in old.files()}.keys() == before.keys()
    check_is_migrated(old.output)
    assert count_outdated(old.output, old.facts.config_id) == 0
    assert old.columns() == {(*RESULTS.names, "input_camera")}
    assert old.uris() == URIS
    assert old.findings() == {}
    assert old.migrate() == 0
    old.commit("3", 4, camera="north")
    old.commit("0", 4, camera="north")  # answered before
    old.seal()
    assert old.uris() == sorted([*URIS, "3.mp4", "3.mp4"])
    erase(old.output, ["1.mp4"])
    assert old.uris() == sorted([*(uri for uri in URIS if uri != "1.mp4"), "3.mp4", "3.mp4"])
    assert old.findings() == {}


def test_an_erasure_takes_a_video_out_of_old_files_and_a_migration_goes_on(olds) -> None:
    old = olds("old")
    erase(old.output, ["0.mp4", "f.mp4"])
    assert old.findings() == {}
    old.migrate()
    assert old.uris() == ["1.mp4", "1.mp4", "2.mp4", "2.mp4"]
    assert all("config_id" not in names for names in old.columns())
    assert old.findings() == {}


def test_files_of_before_a_column_get_it_with_the_type_of_the_output(olds) -> None:
    old = olds("old")
    old.migrate()
    old.know(camera="string", floor="int64", taken="timestamp[us, tz=UTC]")
    assert count_outdated(old.output, old.facts.config_id) == len(old.files())
    assert old.migrate() == len(old.files())
    for path in old.files():
        schema = pq.read_schema(path)
        assert schema.field("input_floor").type == pa.int64()
        assert schema.field("input_taken").type == pa.timestamp("us", "UTC")
    assert old.uris() == URIS
    assert old.findings() == {}


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        ([7, 8, 9], "string", ["7", "8", "9"]),
        (["7", "8", "9"], "int64", [7, 8, 9]),
        ([1, 2, 3], "double", [1.0, 2.0, 3.0]),
        (["007", "8", "9"], "int64", ["007", 8, 9]),
        (["x", "8", "9"], "int64", ["x", 8, 9]),
        ([0.5, 1.0, 2.0], "int64", [0.5, 1, 2]),
    ],
)
def test_a_column_gets_the_type_of_the_output_where_every_value_stays_what_it_was(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts, values: list[Any], type_: str, expected: list[Any]
) -> None:
    old = Old(Output.at(str(tmp_path)), units, facts)
    for night, (camera, value) in enumerate(zip(CAMERAS, values, strict=True)):
        old.commit(f"{night}", night, camera=camera, plate=value)
    old.seal()
    put_config_id_into_files(old.output)
    old.know(camera="string", plate=type_)
    old.migrate()
    found = []
    for camera in CAMERAS:
        [path] = [path for path in old.files() if f"camera={camera}" in str(path)]
        found.append(pq.ParquetFile(path).read().column("input_plate")[0].as_py())
    assert [(value, type(value)) for value in found] == [(value, type(value)) for value in expected]
    assert old.findings() == {}
    notes = [
        note for check in audit(old.output).checks for note in check.notes if "as input_plate, and results" in note
    ]
    assert len(notes) == sum(type(value) is type(before) for value, before in zip(expected, values, strict=True))


def every_request(olds: Callable[[object], Old], run: Callable[[Old, int], bool]) -> None:
    number = 0
    while run(olds(number), number):
        number += 1
    assert number > 10


def test_dying_before_any_request_loses_and_doubles_nothing(olds) -> None:
    def run(old: Old, number: int) -> bool:
        def die(n: int) -> None:
            if n == number:
                raise Killed

        try:
            old.migrate(WatchedStore(before=die))
        except Killed:
            assert old.uris() == URIS, "a plain glob meets each row once at any moment"
            if number % 2:
                finish_seals(old.output, old.facts.config_id)
                assert old.uris() == URIS
            old.migrate()
            assert old.uris() == URIS
            assert all("config_id" not in names for names in old.columns())
            assert old.findings() == {}
            return True
        return False

    every_request(olds, run)


def test_frozen_anywhere_while_others_migrate_seal_erase_and_compact(olds) -> None:
    def run(old: Old, number: int) -> bool:
        def others(n: int) -> None:
            if n == number:
                old.migrate()
                old.commit("9", 9, camera="south")
                old.seal()
                erase(old.output, ["2.mp4"])
                compact(old.output, old.facts.config_id)

        store = WatchedStore(before=others)
        old.migrate(store)
        if store.num_requests[0] <= number:
            return False
        assert old.uris() == ["0.mp4", "0.mp4", "1.mp4", "1.mp4", "9.mp4", "9.mp4", "f.mp4", "f.mp4"], number
        assert all("config_id" not in names for names in old.columns()), number
        assert old.findings() == {}, number
        return True

    every_request(olds, run)


def test_a_seal_frozen_anywhere_while_others_migrate(olds) -> None:
    def run(old: Old, number: int) -> bool:
        old.commit("9", 9, camera="south", floor=3)

        def others(n: int) -> None:
            if n == number:
                old.migrate()

        store = WatchedStore(before=others)
        seal(Output(store, old.output.layout), old.facts.config_id, partition_by=["camera"])
        if store.num_requests[0] <= number:
            return False
        old.migrate()
        assert old.uris() == sorted([*URIS, "9.mp4", "9.mp4"]), number
        assert old.findings() == {}, number
        return True

    every_request(olds, run)
