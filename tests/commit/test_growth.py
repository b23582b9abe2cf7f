"""Sealing fills files up: as few files as there can be, few row groups, few dead bytes, and each row once."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.growth import MAX_DEAD_BYTES, first_to_merge
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import finish_seals, seal
from framegate.pipelines.commit.seal_log import SealLog, files_of
from framegate.pipelines.commit.sealed_parquet import SORTED_BY, encode_sealed
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.store import Store
from framegate.pipelines.store.append import measure
from framegate.schemas.errors import StorageError

FIRST_NIGHT = datetime(2026, 1, 1, 3, tzinfo=UTC)


class Nights:
    """An output that gets some videos a night, each sealed by itself."""

    def __init__(self, root: str, units: SimpleNamespace, facts: RunFacts, **options: Any) -> None:
        self.output, self.config_id = Output.at(root), facts.config_id
        self._units, self._facts, self._options = units, facts, options

    def commit(
        self,
        name: str,
        *,
        night: int = 0,
        num_clips: int = 2,
        inputs: Mapping[str, Any] | None = None,
        text: Callable[[], str | None] = lambda: None,
    ) -> None:
        unit = self._units.make_unit(self._units.make_video(name, inputs), range(num_clips), num_clips=num_clips)
        clips = [
            replace(clip, answers=tuple(replace(answer, thinking_text=text()) for answer in clip.answers))
            for clip in unit.clips
        ]
        unit = replace(unit, clips=tuple(clips))
        written_at = FIRST_NIGHT + timedelta(days=night)
        commit_unit(self.output, unit, replace(self._facts, run_id=f"run-{night}"), written_at=written_at)

    def seal(self) -> None:
        seal(self.output, self.config_id, **self._options)

    def files(self, table: str = "results") -> list[Path]:
        return sorted(Path(self.output.root, table).rglob("*.parquet"))

    def findings(self, *, is_quick: bool = False) -> dict[str, list[str]]:
        """What an audit finds, but for runs and plans, of which there are none here."""
        checks = audit(self.output, is_quick=is_quick).checks
        return {check.name: check.findings for check in checks if check.num_findings and check.name != "planned"}

    def count(self) -> tuple[int, int]:
        """Rows, and different keys."""
        keys = "count(*), count(DISTINCT (video_id, clip_index, question_hash))"
        glob = f"{self.output.root}/results/**/*.parquet"
        [found] = duckdb.execute(f"SELECT {keys} FROM read_parquet(?, union_by_name = true)", [glob]).fetchall()
        return found


@pytest.fixture
def make_nights(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> Callable[..., Nights]:
    return lambda **options: Nights(str(tmp_path / "index"), units, facts, **options)


def test_a_year_of_nights_without_partitions_is_one_file_with_few_row_groups(make_nights) -> None:
    nights = make_nights()
    versions: list[bytes] = []
    for night in range(60):
        for name in range(3):
            nights.commit(f"{night}-{name}", night=night)
        nights.seal()
        versions.append(nights.files()[0].read_bytes())
    [file] = nights.files()
    assert nights.count() == (60 * 3 * 4,) * 2
    assert pq.read_metadata(file).num_row_groups <= 7  # log2 of 60 nights, and one
    size = measure(versions[-1])
    assert size.dead_bytes <= max(size.live_bytes, MAX_DEAD_BYTES)
    num_anew = sum(not new.startswith(old) for old, new in itertools.pairwise(versions))
    assert 0 < num_anew < 20, "most versions begin with the one before, and some are clean ones"
    records = SealLog(nights.output, nights.config_id).read_records()
    assert [record.files[0].num_new_rows for record in records] == [12] * 60
    assert [record.files[0].num_rows for record in records] == [12 * n for n in range(1, 61)]
    assert nights.findings() == {}


def test_a_partition_of_each_day_and_camera_has_one_file_however_often_it_is_sealed(make_nights) -> None:
    nights = make_nights(partition_by=("camera", "written_at.date"))
    fix(nights.output, ("camera", "written_at.date"), {"camera": pa.string()})
    for night in range(4):
        for camera in ("north", "south"):
            for name in range(3):
                nights.commit(f"{night}-{camera}-{name}", night=night, inputs={"camera": camera})
                nights.seal()
    nights.commit("late", night=1, inputs={"camera": "south"})  # of a day that is over
    nights.seal()
    assert len(nights.files()) == 4 * 2
    assert nights.count() == ((4 * 2 * 3 + 1) * 4,) * 2
    assert nights.findings() == {}


def test_files_are_filled_up_before_others_are_begun(make_nights) -> None:
    nights, chance = make_nights(file_bytes=64 * 1024), random.Random(1)
    for night in range(30):
        nights.commit(str(night), night=night, num_clips=40, text=lambda: chance.randbytes(40).hex())
        nights.seal()
    sizes = [file.stat().st_size for file in nights.files()]
    assert len(sizes) > 1
    assert all(64 * 1024 <= size < 128 * 1024 for size in sizes[:-1]), sizes
    for file in nights.files()[:-1]:  # a full one holds little that nobody reads
        assert measure(file.read_bytes()).live_bytes >= 64 * 1024
    assert nights.count() == (30 * 80,) * 2
    assert nights.findings() == {}


def test_row_groups_stay_sorted_and_those_of_the_last_seal_stay_by_themselves(make_nights) -> None:
    nights = make_nights()
    for night in range(12):
        nights.commit(str(night), night=night)
        nights.seal()
        file = pq.ParquetFile(nights.files()[0], page_checksum_verification=True)
        groups = [file.read_row_group(n).to_pylist() for n in range(file.num_row_groups)]
        for rows in groups:
            keys = [(row["question_id"], row["video_id"], row["clip_index"]) for row in rows]
            assert keys == sorted(keys)
        assert {row["run_id"] for row in groups[-1]} == {f"run-{night}"}
        assert json.loads(file.metadata.metadata[b"framegate_seal"])["num_new_rows"] == len(groups[-1]) == 4


@pytest.mark.parametrize(
    ("sizes", "num_new", "first"),
    [
        ([], 5, 0),
        ([5], 5, 1),
        ([5, 5], 5, 0),
        ([10, 5], 5, 0),
        ([15, 5], 5, 2),
        ([65_536, 5, 5], 5, 1),
        ([9, 5, 2], 1, 3),
    ],
)
def test_which_row_groups_become_one(sizes: list[int], num_new: int, first: int) -> None:
    assert first_to_merge(sizes, num_new) == first


def test_row_groups_are_merged_so_that_their_number_is_the_logarithm_of_the_seals() -> None:
    sizes, num_written = [], 0
    for _ in range(2000):
        first = first_to_merge(sizes, 10)
        merged = sizes[first:]
        num_written += sum(merged) + 10
        sizes = [*sizes[:first], *([sum(merged)] if merged else []), 10]
        assert len(sizes) <= 12
    assert num_written < 12 * sum(sizes)


def test_a_file_gets_a_new_column_of_the_manifest_when_rows_are_added_to_it(make_nights) -> None:
    nights = make_nights()
    fix(nights.output, (), {"camera": pa.string()})
    for night, inputs in enumerate([{}, {"camera": "north"}, {}, {"camera": None}, {"camera": "south"}]):
        nights.commit(str(night), night=night, inputs=inputs)
        nights.seal()
    [file] = nights.files()
    column = pq.ParquetFile(file).read(columns=["input_camera"]).column(0).to_pylist()
    assert {value: column.count(value) for value in column} == {None: 12, "north": 4, "south": 4}
    assert nights.count() == (20, 20)
    assert nights.findings() == {}


def test_a_number_that_became_a_text_begins_a_file_in_which_numbers_are_texts(make_nights) -> None:
    nights = make_nights()
    for night, floor in enumerate([1, 2.5, 3, "cellar", 4]):
        nights.commit(str(night), night=night, inputs={"floor": floor})
        nights.seal()
    types = [str(pq.read_schema(file).field("input_floor").type) for file in nights.files()]
    assert types == ["int64", "double", "string"]
    rows = [pq.read_metadata(file).num_rows for file in nights.files()]
    assert rows == [4, 8, 8]  # the 3 fits among doubles, and the 4 among texts


def as_older_versions_wrote(nights: Nights) -> None:
    """Files without a mark, records with five fields of a file, plans without the numbers of files."""
    for record in sorted(Path(nights.output.root, "seals").rglob("*.json")):
        document = json.loads(record.read_text())
        for file in document["files"]:
            path = Path(nights.output.root, file["uri"])
            parquet = pq.ParquetFile(path)
            groups = [parquet.read_row_group(n) for n in range(parquet.num_row_groups)]
            path.write_bytes(encode_sealed(groups, parquet.schema_arrow.remove_metadata()))
            kept = {"uri": file["uri"], "kind": file["table"], "num_rows": file["num_rows"]}
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            file.clear()
            file.update(kept, size_bytes=path.stat().st_size, sha256=sha256)
        for name in ("merged", "removed"):
            del document[name]
        record.write_text(json.dumps(document))
    for plan in Path(nights.output.root, "seals").rglob("*.plan.parquet"):
        table = pq.read_table(plan)
        about = json.loads(table.schema.metadata[b"framegate"])
        about = {"outputs": [pair[:2] for pair in about["outputs"]], "partition_by": about["partition_by"]}
        pq.write_table(table.replace_schema_metadata({b"framegate": json.dumps(about)}), plan)


def test_an_output_of_an_older_version_is_read_and_its_files_are_filled_up(make_nights) -> None:
    nights = make_nights()
    nights.commit("old", night=0)
    nights.seal()
    as_older_versions_wrote(nights)
    assert nights.findings() == {}
    assert finish_seals(nights.output, nights.config_id).num_seals == 0
    old = nights.files()[0].read_bytes()
    nights.commit("old", night=1)  # answered before: a duplicate, found in a file whose record has no bounds
    nights.commit("new", night=1)
    nights.seal()
    [file] = nights.files()
    assert file.read_bytes().startswith(old)
    assert nights.count() == (8, 8)
    assert SealLog(nights.output, nights.config_id).read_records()[-1].num_duplicates == 4
    assert nights.findings() == {}


def test_an_erasure_rewrites_a_grown_file_without_a_trace_and_seals_go_on(make_nights) -> None:
    nights = make_nights()
    for night in range(7):
        nights.commit("forgotten" if night == 3 else str(night), night=night)
        nights.seal()
    erase(nights.output, ["forgotten.mp4"])
    [file] = nights.files()
    assert b"forgotten" not in file.read_bytes()
    assert measure(file.read_bytes()).dead_bytes == 0
    assert nights.count() == (24, 24)
    assert nights.findings() == {}
    for night in range(7, 11):
        nights.commit(str(night), night=night)
        nights.seal()
    erase(nights.output, ["9.mp4", "1.mp4"])
    assert nights.count() == (32, 32)
    assert nights.findings() == {}
    assert nights.findings(is_quick=True) == {}


def test_an_erasure_sorts_the_rows_of_a_file_that_an_older_version_wrote(make_nights) -> None:
    nights = make_nights()
    for name in "abc":
        nights.commit(name)
    nights.seal()
    [path] = nights.files()
    by_video = pq.ParquetFile(path).read().sort_by([("video_id", "ascending"), ("clip_index", "ascending")])
    path.write_bytes(encode_sealed([by_video], by_video.schema.remove_metadata()))
    erase(nights.output, ["b.mp4"])
    rows = pq.ParquetFile(path).read().select([*SORTED_BY]).to_pylist()
    assert len(rows) == 8
    assert rows == sorted(rows, key=lambda row: tuple(row.values()))


def test_records_describe_each_file_so_that_none_need_be_opened(make_nights) -> None:
    nights = make_nights(partition_by=("camera",))
    for night, camera in enumerate(["north", "south", "north"]):
        nights.commit(str(night), night=night, inputs={"camera": camera})
        nights.seal()
    files = files_of(SealLog(nights.output, nights.config_id).read_records())
    north = files[f"results/config_id={nights.config_id}/camera=north/00000000.parquet"]
    table = pq.ParquetFile(Path(nights.output.root, north.uri)).read()
    assert (north.partition, north.num_rows, north.num_new_rows, north.number) == ("camera=north", 8, 4, 0)
    assert north.inputs == {"input_camera": "string"}
    for name in ("video_id", "clip_index", "question_id", "question_hash", "run_id"):
        values = table.column(name).to_pylist()
        assert tuple(north.bounds[name]) == (min(values), max(values))
    assert north.bounds["written_at"] == (FIRST_NIGHT.isoformat(), (FIRST_NIGHT + timedelta(days=2)).isoformat())
    text = "".join(path.read_text() for path in Path(nights.output.root, "seals").rglob("*.json"))
    assert ".mp4" not in text, "an erasure does not look for names in records of seals"


def test_a_file_that_is_gone_when_rows_should_be_added_to_it_is_told(make_nights) -> None:
    nights = make_nights()
    nights.commit("a")
    nights.seal()
    nights.commit("b", night=1)
    bounds = SealLog(nights.output, nights.config_id).read_records()[0].files[0].bounds["video_id"]
    assert bounds[0] == bounds[1], "the anti-join has no reason to open the file of another video"
    Store().delete([str(nights.files()[0])])
    with pytest.raises(StorageError, match=r"00000000.parquet is missing, to which seal 1 adds rows"):
        nights.seal()


def test_the_counts_of_a_seal_are_those_of_its_own_rows(make_nights) -> None:
    nights = make_nights()
    for night in range(3):
        nights.commit(str(night), night=night)
        nights.seal()
    runs = [record.runs for record in SealLog(nights.output, nights.config_id).read_records()]
    assert [{run: counts.num_answers for run, counts in one.items()} for one in runs] == [
        {f"run-{night}": 4} for night in range(3)
    ]
