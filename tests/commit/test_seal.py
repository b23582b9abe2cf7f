"""Sealing: the same journal gives the same bytes, and dying anywhere loses and doubles nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.commit.journal import batches_of_videos, commit_unit
from pipelines.commit.rows import RunFacts
from pipelines.commit.seal import _cut_between_videos, seal
from pipelines.store import ObjectInfo, Put, Store
from schemas.tables import FAILURES, RESULTS, meaning

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass(frozen=True)
class MortalStore(Store):
    """A store whose process dies after so many writes and deletes."""

    lives: list[int] = field(default_factory=lambda: [0])

    def _age(self) -> None:
        if self.lives[0] == 0:
            raise Killed
        self.lives[0] -= 1

    def put_once(self, uri: str, data: bytes) -> Put:
        self._age()
        return super().put_once(uri, data)

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            self._age()
            super().delete([uri])


def fill_journal(root: str, units: SimpleNamespace, facts: RunFacts, *, names: str = "abc") -> None:
    for name in names:
        video = units.make_video(name)
        for unit in (
            units.make_unit(video, range(2), num_clips=3, failing=name == "b"),
            units.make_unit(video, range(2, 3), num_clips=3),
            units.make_unit(video, range(3), num_clips=3, questions=units.QUESTIONS[2:]),
        ):
            commit_unit(Store(), root, unit, facts, written_at=NOON)
    commit_unit(Store(), root, units.make_undecoded(units.make_video("broken"), None), facts, written_at=NOON)


def contents(root: Path, table: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / table).rglob("*.parquet"))}


def keys(root: Path, table: str) -> list[tuple]:
    files = [pq.ParquetFile(path).read() for path in sorted((root / table).rglob("*.parquet"))]
    rows = [row for file in files for row in file.to_pylist()]
    return sorted((row["video_uri"], row["clip_index"] or 0, row["question_hash"] or "") for row in rows)


def test_the_journal_becomes_two_tables_and_goes(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    fill_journal(str(tmp_path), units, facts)
    sealed = seal(Store(), str(tmp_path), facts.config_id)
    assert (sealed.num_units, sealed.num_answers, sealed.num_failures) == (10, 25, 3)
    assert list((tmp_path / "journal").rglob("*.parquet")) == []
    [results] = (tmp_path / "results").rglob("*.parquet")
    table = pq.ParquetFile(results).read()
    assert table.schema.names == RESULTS.names
    assert [meaning(f) for f in table.schema] == [meaning(f) for f in RESULTS]
    order = list(zip(*(table.column(n).to_pylist() for n in ("video_id", "clip_index", "question_id")), strict=True))
    assert order == sorted(order)
    [failures] = (tmp_path / "failures").rglob("*.parquet")
    assert pq.ParquetFile(failures).schema_arrow.names == FAILURES.names


def test_the_same_journal_gives_the_same_bytes(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    fill_journal(str(tmp_path / "one"), units, facts, names="abc")
    fill_journal(str(tmp_path / "two"), units, facts, names="cba")
    for folder in ("one", "two"):
        seal(Store(), str(tmp_path / folder), facts.config_id)
    for table in ("results", "failures"):
        assert contents(tmp_path / "one", table) == contents(tmp_path / "two", table) != {}


def test_sealing_again_changes_nothing(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    fill_journal(str(tmp_path), units, facts)
    seal(Store(), str(tmp_path), facts.config_id)
    before = contents(tmp_path, "results")
    assert seal(Store(), str(tmp_path), facts.config_id).num_units == 0
    assert contents(tmp_path, "results") == before


def test_a_death_anywhere_loses_and_doubles_nothing(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    fill_journal(str(tmp_path / "whole"), units, facts, names="b")
    seal(Store(), str(tmp_path / "whole"), facts.config_id)
    for num_steps in range(6):  # two files and four journal objects
        root = tmp_path / f"dies-after-{num_steps}"
        fill_journal(str(root), units, facts, names="b")
        with pytest.raises(Killed):
            seal(MortalStore(lives=[num_steps]), str(root), facts.config_id)
        visible = keys(root, "results")
        assert visible in ([], keys(tmp_path / "whole", "results"))
        seal(Store(), str(root), facts.config_id)
        for table in ("results", "failures"):
            assert contents(root, table) == contents(tmp_path / "whole", table)


def test_a_unit_that_overlaps_what_is_sealed_adds_only_what_is_new(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    root, video = str(tmp_path), units.make_video()
    commit_unit(Store(), root, units.make_unit(video, range(2), num_clips=3), facts, written_at=NOON)
    seal(Store(), root, facts.config_id)
    commit_unit(Store(), root, units.make_unit(video, range(1, 3), num_clips=3), facts, written_at=NOON)
    assert seal(Store(), root, facts.config_id).num_answers == 2
    found = keys(tmp_path, "results")
    assert len(found) == len(set(found)) == 6


def test_units_of_different_manifests_stand_in_one_table(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    for name, inputs in (("a", {"camera": "north"}), ("b", {"floor": 3}), ("c", {"camera": None})):
        unit = units.make_unit(units.make_video(name, inputs), range(1), num_clips=1)
        commit_unit(Store(), str(tmp_path), unit, facts, written_at=NOON)
    seal(Store(), str(tmp_path), facts.config_id)
    rows = duckdb.sql(
        f"SELECT DISTINCT video_uri, input_camera, input_floor FROM '{tmp_path}/results/**/*.parquet' ORDER BY 1"
    ).fetchall()
    assert rows == [("a.mp4", "north", None), ("b.mp4", None, 3), ("c.mp4", None, None)]


def test_readers_by_glob_agree_and_see_the_config_id(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    fill_journal(str(tmp_path), units, facts)
    seal(Store(), str(tmp_path), facts.config_id)
    frame = pd.read_parquet(tmp_path / "results")
    [(count, config_id)] = duckdb.sql(
        f"SELECT count(*), any_value(config_id) FROM '{tmp_path}/results/**/*.parquet'"
    ).fetchall()
    assert len(frame) == count == 25
    assert set(frame["config_id"]) == {config_id} == {facts.config_id}


def test_files_are_cut_between_videos_and_about_the_size_asked_for(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    fill_journal(str(tmp_path), units, facts, names="abcdef")
    seal(Store(), str(tmp_path), facts.config_id)
    [path] = (tmp_path / "results").rglob("*.parquet")
    table = pq.ParquetFile(path).read()
    parts = list(_cut_between_videos(table, table.nbytes // 3))
    assert 2 <= len(parts) <= 4
    videos: list[Any] = [set(part.column("video_id").to_pylist()) for part in parts]
    assert sum(len(ids) for ids in videos) == 6
    assert sum(part.num_rows for part in parts) == table.num_rows


def test_a_batch_of_the_journal_never_splits_a_video() -> None:
    def objects() -> Iterator[ObjectInfo]:
        for video in ("a", "a", "a", "b", "c", "c"):
            yield ObjectInfo(uri=f"root/journal/config_id=c/{video}/x.parquet", size_bytes=10, version="1")

    batches = [[info.uri.split("/")[-2] for info in batch] for batch in batches_of_videos(objects(), 20)]
    assert batches == [["a", "a", "a"], ["b", "c", "c"]]
