"""Sealing: the journal becomes two tables and goes, the same journal gives the same bytes, files have their size."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.commit import batches, sealed_parquet
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.journal_reader import JournalReader
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import fix_partitioning
from framegate.pipelines.commit.seal import finish_seals, seal
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.seal_plan import JournalObject
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.store import Store
from framegate.schemas.counts import Counts
from framegate.schemas.errors import ConfigError, StorageError
from framegate.schemas.tables import FAILURES, RESULTS, meaning

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def fill(output: Output, units: SimpleNamespace, facts: RunFacts, *, names: str = "abc") -> None:
    """Three videos of three clips and three questions, one question of which failed twice, and one without frames."""
    for name in names:
        video = units.make_video(name)
        for unit in (
            units.make_unit(video, range(2), num_clips=3, failing=name == "b"),
            units.make_unit(video, range(2, 3), num_clips=3),
            units.make_unit(video, range(3), num_clips=3, questions=units.QUESTIONS[2:]),
        ):
            commit_unit(output, unit, facts, written_at=NOON)
    commit_unit(output, units.make_undecoded(units.make_video("broken"), None), facts, written_at=NOON)


def contents(output: Output, *folders: str) -> dict[str, bytes]:
    root = Path(output.root)
    return {str(p.relative_to(root)): p.read_bytes() for f in folders for p in sorted((root / f).rglob("[!.]*.*"))}


def journal(output: Output) -> list[str]:
    return [info.uri for info in output.list("journal")]


def test_the_journal_becomes_two_tables_and_goes(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts)
    sealed = seal(output, facts.config_id)
    assert (sealed.num_seals, sealed.num_units, sealed.num_answers, sealed.num_failures) == (1, 10, 25, 3)
    assert journal(output) == []
    table = pq.ParquetFile(output.layout.sealed("results", facts.config_id, "", 0)).read()
    assert table.schema.names == RESULTS.names
    assert [meaning(f) for f in table.schema] == [meaning(f) for f in RESULTS]
    assert table.schema.types == RESULTS.types
    order = list(zip(*(table.column(n).to_pylist() for n in ("question_id", "video_id", "clip_index")), strict=True))
    assert order == sorted(order)
    failures = pq.ParquetFile(output.layout.sealed("failures", facts.config_id, "", 0)).read()
    assert failures.schema.names == FAILURES.names
    assert sorted(failures.column("clip_index").to_pylist(), key=str) == [0, 1, None]


def test_the_record_says_what_the_seal_holds(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts, names="ab")
    fill(output, units, replace(facts, run_id="run-2"), names="c")
    seal(output, facts.config_id)
    [record] = SealLog(output, facts.config_id).read_records()
    assert record.num_units == 10
    assert (record.num_duplicates, record.num_erased, record.skipped) == (0, 0, ())
    assert record.runs == {
        "run-1": Counts(num_clips=6, num_answers=16, num_failures=3, num_answer_tokens=48),
        "run-2": Counts(num_clips=3, num_answers=9, num_answer_tokens=27),
    }
    for file in record.files:
        data = Path(output.root, file.uri).read_bytes()
        assert (file.size_bytes, file.num_rows) == (
            len(data),
            pq.ParquetFile(Path(output.root, file.uri)).metadata.num_rows,
        )


def test_the_record_counts_unparsed_answers_and_one_of_an_older_version_does_not_know_them(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    for name, num_unparsed in (("a", 2), ("b", 1)):
        unit = units.make_unit(units.make_video(name), range(2), num_clips=2, num_unparsed=num_unparsed)
        commit_unit(output, unit, facts, written_at=NOON)
    seal(output, facts.config_id)
    path = Path(output.layout.seal_record(facts.config_id, 0))
    [record] = SealLog(output, facts.config_id).read_records()
    assert record.runs["run-1"].num_unparsed == 6
    older = json.loads(path.read_text())
    del older["runs"]["run-1"]["num_unparsed"]
    path.write_text(json.dumps(older))
    [record] = SealLog(output, facts.config_id).read_records()
    assert record.runs["run-1"].num_unparsed is None
    assert SealRecord.from_bytes("again", record.to_bytes()) == record


def test_the_same_journal_gives_the_same_bytes(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    outputs = [Output.at(str(tmp_path / name)) for name in ("one", "two", "three")]
    for output, names in zip(outputs, ("abc", "cba", "bca"), strict=True):
        fill(output, units, facts, names=names)
        seal(output, facts.config_id)
    first, *others = [contents(output, "results", "failures", "seals") for output in outputs]
    assert all(other == first for other in others)
    assert len(first) == 4


def test_sealing_again_changes_nothing(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    assert seal(output, facts.config_id).num_seals == 0
    assert list(tmp_path.iterdir()) == []
    fill(output, units, facts)
    seal(output, facts.config_id)
    before = contents(output, "results", "failures", "seals")
    assert seal(output, facts.config_id).num_units == 0
    assert finish_seals(output, facts.config_id).num_units == 0
    assert contents(output, "results", "failures", "seals") == before


def test_finishing_starts_no_seal(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts)
    before = contents(output, ".")
    assert finish_seals(output, facts.config_id).num_seals == 0
    assert contents(output, ".") == before


def test_seals_are_cut_between_videos(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts, names="abcdef")
    sealed = seal(output, facts.config_id, file_bytes=4096)
    assert sealed.num_seals > 3
    glob = output.layout.folder("results") + "/**/*.parquet"
    per_video = "SELECT count(DISTINCT filename) FROM read_parquet(?, filename = true) GROUP BY video_id"
    assert duckdb.execute(per_video, [glob]).fetchall() == [(1,)] * 6
    assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [glob]).fetchone() == (6 * 9 - 2,)
    records = SealLog(output, facts.config_id).read_records()
    assert [record.seal for record in records] == list(range(sealed.num_seals))
    assert sum(record.num_units for record in records) == 6 * 3 + 1


@pytest.mark.parametrize("file_bytes", [75_000, 90_000])
def test_files_come_to_about_the_size_that_was_asked(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts, file_bytes: int
) -> None:
    output, chance = Output.at(str(tmp_path)), random.Random(1)
    for number in range(60):
        unit = units.make_unit(units.make_video(f"video-{number}"), range(20), num_clips=20)
        clips = [
            replace(clip, answers=tuple(replace(a, thinking_text=chance.randbytes(30).hex()) for a in clip.answers))
            for clip in unit.clips
        ]
        unit = replace(unit, clips=tuple(clips))
        commit_unit(output, unit, facts, written_at=NOON)
    seal(output, facts.config_id, file_bytes=file_bytes)
    sizes = [file.size_bytes for record in SealLog(output, facts.config_id).read_records() for file in record.files]
    assert len(sizes) > 1
    assert all(0.6 * file_bytes < size < 1.6 * file_bytes for size in sizes[:-1])


def test_a_video_larger_than_memory_is_cut_between_its_units(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH_BYTES", 20_000)
    monkeypatch.setattr(batches, "MAX_CHUNK_BYTES", 30_000)
    output = Output.at(str(tmp_path))
    for first in range(0, 40, 2):  # neighbours overlap in one clip
        unit = units.make_unit(units.make_video("long"), range(first, first + 3), num_clips=100)
        commit_unit(output, unit, facts, written_at=NOON)
    for name in "abcdefgh":
        unit = units.make_unit(units.make_video(name), range(3), num_clips=3)
        commit_unit(output, unit, facts, written_at=NOON)
    assert seal(output, facts.config_id).num_duplicates == 19 * 2
    glob = output.layout.folder("results") + "/**/*.parquet"
    query = "SELECT video_uri, count(*), count(DISTINCT (clip_index, question_hash)), count(DISTINCT filename)"
    rows = duckdb.execute(f"{query} FROM read_parquet(?, filename = true) GROUP BY ALL ORDER BY 1", [glob]).fetchall()
    assert rows[:8] == [(f"{name}.mp4", 6, 6, 1) for name in "abcdefgh"]
    assert rows[8] == ("long.mp4", 82, 82, 1)
    assert len(SealLog(output, facts.config_id).read_records()) > 2


def test_few_objects_are_in_memory_as_tables_of_their_own(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes twenty times its size as a table: 24,000 small objects took a seal to 948 MiB."""
    asked: list[int] = []
    read = JournalReader.read

    def counted(reader: JournalReader, names: Sequence[str]) -> Iterator[tuple[JournalObject, pa.Table]]:
        asked.append(len(names))
        return read(reader, names)

    monkeypatch.setattr(JournalReader, "read", counted)
    bytes_of = []
    for at_once in (1000, 3):
        monkeypatch.setattr(batches, "OBJECTS_AT_ONCE", at_once)
        output = Output.at(str(tmp_path / str(at_once)))
        fill(output, units, facts)
        num_units = seal(output, facts.config_id).num_units
        bytes_of.append(Path(output.layout.sealed("results", facts.config_id, "", 0)).read_bytes())
    assert num_units > 3
    assert (asked[0], max(asked[1:])) == (num_units, 3)
    assert bytes_of[0] == bytes_of[1]


def test_files_can_be_pruned(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts)
    seal(output, facts.config_id)
    group = pq.ParquetFile(output.layout.sealed("results", facts.config_id, "", 0)).metadata.row_group(0)
    assert [sorting.column_index for sorting in group.sorting_columns] == [
        RESULTS.get_field_index(name) for name in ("question_id", "question_hash", "video_id", "clip_index")
    ]
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    for name in ("video_id", "video_uri", "clip_index", "question_id", "answer", "confidence_first", "written_at"):
        assert columns[name].is_stats_set
        assert columns[name].has_column_index
        assert columns[name].has_offset_index
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_a_filter_on_a_question_and_one_on_a_video_spare_row_groups_of_a_large_seal(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 rows in row groups of 4, of which 4 are sorted together: 3 questions, and 16 of each of the two cameras."""
    monkeypatch.setattr(sealed_parquet, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(sealed_parquet, "SORTED_ROWS", 16)
    output = Output.at(str(tmp_path))
    videos = [units.make_video(f"{n}", {"camera": ["north", "south"][n % 2]}) for n in range(16)]
    for video in videos:
        unit = units.make_unit(video, range(2), num_clips=2, questions=units.QUESTIONS[:3])
        commit_unit(output, unit, facts, written_at=NOON)
    seal(output, facts.config_id, partition_by=["camera"])
    files = sorted(Path(tmp_path, "results").rglob("*.parquet"))
    question, video = units.QUESTIONS[1].id, videos[3].video_id
    for file in files:
        parquet = pq.ParquetFile(file)
        assert parquet.num_row_groups == 12
        for n in range(12):
            rows = parquet.read_row_group(n).select(list(sealed_parquet.SORTED_BY)).to_pylist()
            assert rows == sorted(rows, key=lambda row: tuple(row.values())), "as its sorting columns say"
        assert len(row_groups_with(parquet, "question_id", question)) <= 6
        assert len(row_groups_with(parquet, "video_id", video)) <= 4
    found = duckdb.execute(
        "SELECT count(*) FROM read_parquet(?, hive_partitioning = true) WHERE question_id = ? AND camera = 'south'",
        [[str(file) for file in files], question],
    ).fetchall()
    assert found == [(16,)]


def row_groups_with(parquet: pq.ParquetFile, column: str, value: str) -> list[int]:
    """Those that statistics do not rule out for a filter on one value."""
    place = parquet.schema_arrow.get_field_index(column)
    found = [parquet.metadata.row_group(n).column(place).statistics for n in range(parquet.num_row_groups)]
    return [n for n, statistics in enumerate(found) if statistics.min <= value <= statistics.max]


def test_manifests_may_change_their_columns(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    """A column that some lack is null there; one whose type changed holds all of it, at last as text."""
    output = Output.at(str(tmp_path))
    manifests = [
        {"camera": "north", "floor": 1, "note": None},
        {"camera": 7, "floor": 1.5, "note": None, "tags": ["a"]},
        {"camera": None, "floor": None},
        {},
    ]
    for number, inputs in enumerate(manifests):
        unit = units.make_unit(units.make_video(str(number), inputs), range(1), num_clips=1)
        commit_unit(output, unit, facts, written_at=NOON)
    seal(output, facts.config_id)
    query = (
        "SELECT DISTINCT video_uri, input_camera, input_floor, input_note, input_tags FROM read_parquet(?) ORDER BY 1"
    )
    rows = duckdb.execute(query, [output.layout.folder("results") + "/**/*.parquet"]).fetchall()
    assert rows == [
        ("0.mp4", "north", 1.0, None, None),
        ("1.mp4", "7", 1.5, None, ["a"]),
        ("2.mp4", None, None, None, None),
        ("3.mp4", None, None, None, None),
    ]


def test_a_journal_object_of_something_else_is_set_aside_by_the_seal(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts)
    stray = output.layout.undecoded(facts.config_id, "0" * 16, clip_index=None, attempt=1)
    Store().put_once(stray, b"not a table")
    seal(output, facts.config_id)
    assert journal(output) == []
    [aside] = output.list("quarantine")
    assert Store().read(aside.uri) == b"not a table"


def test_the_partitions_of_an_output_are_fixed(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    fill(output, units, facts)
    seal(output, facts.config_id, partition_by=["written_at.year"])
    fix_partitioning(output, ["written_at.year"])
    with pytest.raises(ConfigError, match=r"partition_by is \[\], but .* by \['written_at.year'\] since"):
        fix_partitioning(output, [])
    fill(output, units, facts, names="d")
    with pytest.raises(ConfigError, match="cannot change"):
        seal(output, facts.config_id, partition_by=["written_at.month"])


def test_a_lost_record_is_told(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framegate.pipelines.commit.seal.FOLD_FROM", 100)
    output = Output.at(str(tmp_path))
    fill(output, units, facts, names="abcdef")
    seal(output, facts.config_id, file_bytes=4096)
    Store().delete([output.layout.seal_record(facts.config_id, 0)])
    with pytest.raises(StorageError, match=r"are out of order: .* no record of seal 0; bring that one back"):
        SealLog(output, facts.config_id).read_records()
