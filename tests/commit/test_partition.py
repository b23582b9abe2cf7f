"""Partitions: DuckDB, pandas and Polars read them back by a plain glob, whatever a manifest holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from framegate.pipelines.commit.input_types import cast_input
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import check_partition_by, in_zone, partitions
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.store import Store
from framegate.schemas.errors import ConfigError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CAMERAS = ["north", "a/b", "a=b", "ü & %20", "..", "x" * 300, "", None, "#?*[1]", "7", "日本" * 60]


def rows(**columns: list) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def names_of(table: pa.Table, *partition_by: str) -> list[str]:
    names, places = partitions(table, partition_by)
    assert names == sorted(names)
    return [names[n] for n in places]


def read_everywhere(output: Output, column: str) -> list[list[tuple[str, str]]]:
    """(video_uri, partition) by each engine, as texts."""
    glob = output.layout.folder("results") + "/**/*.parquet"
    by_duckdb = duckdb.execute(
        f"SELECT video_uri, {column} FROM read_parquet(?, hive_partitioning = true, union_by_name = true)", [glob]
    ).fetchall()
    frame = pd.read_parquet(output.layout.folder("results"))
    by_pandas = list(zip(frame["video_uri"], frame[column], strict=True))
    polars = pl.scan_parquet(glob, hive_partitioning=True).select("video_uri", column).collect()
    return [sorted((uri, str(value)) for uri, value in found) for found in (by_duckdb, by_pandas, polars.rows())]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_becomes_a_text_as_arrow_writes_it(unit: str) -> None:
    values = pa.chunked_array(
        [pa.array([NOON, None], pa.timestamp(unit, "UTC")), pa.array([NOON], pa.timestamp(unit, "UTC"))]
    )
    assert cast_input(values, pa.string()).to_pylist() == values.cast(pa.string()).to_pylist()


def test_every_engine_reads_the_values_back(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    for number, camera in enumerate(CAMERAS):
        unit = units.make_unit(units.make_video(f"{number:02d}", {"camera": camera}), range(1), num_clips=1)
        commit_unit(output, unit, facts, written_at=NOON)
    seal(output, facts.config_id, partition_by=["camera"])
    by_duckdb, by_pandas, by_polars = read_everywhere(output, "camera")
    assert by_duckdb == by_pandas == by_polars
    assert len(by_duckdb) == 2 * len(CAMERAS)
    values = [value for _, value in by_duckdb[::2]]
    for camera, value in zip(CAMERAS, values, strict=True):
        if camera and len(camera) < 100:
            assert value == camera
    assert values[6] == values[7] == "__null__"
    assert len(set(values)) == len(CAMERAS) - 1


def test_two_configurations_and_two_levels_in_one_glob(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output, other = Output.at(str(tmp_path)), replace(facts, config_id="d" * 16)
    for number in range(6):
        inputs = {"camera": f"c{number % 2}", "taken": NOON + timedelta(days=number)}
        unit = units.make_unit(units.make_video(f"{number}", inputs), range(1), num_clips=1)
        commit_unit(output, unit, facts if number < 4 else other, written_at=NOON)
    by = ["camera", "taken.date"]
    for config in (facts, other):
        seal(output, config.config_id, partition_by=by)
    assert (tmp_path / f"results/config_id={'d' * 16}/camera=c0/taken_date=2026-11-25/00000000.parquet").exists()
    for column in ("camera", "taken_date", "config_id", "input_camera"):
        by_duckdb, by_pandas, by_polars = read_everywhere(output, column)
        assert by_duckdb == by_pandas == by_polars
        assert len(by_duckdb) == 12
    count = "SELECT count(*) FROM read_parquet(?) WHERE camera = 'c1' AND config_id = ? AND taken_date > '2026-11-22'"
    found = duckdb.execute(count, [output.layout.folder("results") + "/**/*.parquet", facts.config_id]).fetchone()
    assert found == (2,)


def test_a_seal_has_one_file_per_partition_and_a_unit_that_was_erased_still_takes_its_name(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    for name in "ab":
        unit = units.make_unit(units.make_video(name, {"camera": name}), range(2), num_clips=2, failing=name == "a")
        commit_unit(output, unit, facts, written_at=NOON)
    Store().put_once(output.layout.tombstone("b.mp4"), b"{}")
    seal(output, facts.config_id, partition_by=["camera"])
    [record] = SealLog(output, facts.config_id).read_records()
    assert [(file.uri.split("/", 2)[-1], file.table, file.num_rows) for file in record.files] == [
        ("camera=a/00000000.parquet", "failures", 2),
        ("camera=a/00000000.parquet", "results", 2),
        ("camera=b/00000000.parquet", "results", 0),
    ]
    assert record.num_erased == 4
    assert {value for found in read_everywhere(output, "camera") for _, value in found} == {"a"}


@pytest.mark.parametrize("part", ["date", "year", "month", "day", "hour"])
def test_parts_of_a_time_are_those_of_sql(part: str) -> None:
    times = [datetime(2026, 2, 3, 4, 59, 59, 999999), datetime(1969, 12, 31, 23), None]
    [wanted] = zip(
        *duckdb.sql(f"SELECT CAST({part}(t) AS text) FROM (VALUES {_values(times)}) AS v(t)").fetchall(), strict=True
    )
    folders = names_of(rows(input_taken=times), f"taken.{part}")
    assert folders == [f"taken_{part}={value or '__null__'}" for value in wanted]


def _values(times: list) -> str:
    return ", ".join("(NULL)" if time is None else f"(TIMESTAMP '{time}')" for time in times)


def test_times_may_be_texts_dates_or_in_a_time_zone() -> None:
    texts = ["2026-11-21T23:30:00-02:00", "2026-11-22 01:00", "2026-11-22", "yesterday", ""]
    days = ["2026-11-22"] * 3 + ["__null__"] * 2
    assert names_of(rows(input_taken=texts), "taken.date") == [f"taken_date={day}" for day in days]
    assert names_of(rows(input_taken=[date(2026, 11, 22)]), "taken.month") == ["taken_month=11"]
    east = datetime(2026, 11, 22, 1, tzinfo=timezone(timedelta(hours=2)))
    assert names_of(rows(input_taken=[east]), "taken.date") == ["taken_date=2026-11-21"]
    assert names_of(rows(written_at=[NOON]), "written_at.hour") == ["written_at_hour=12"]


def test_dates_are_local_to_the_zone_of_the_output() -> None:
    times = pa.array(
        [
            datetime(2026, 7, 1, 22, 15, tzinfo=UTC),
            datetime(2026, 7, 1, 21, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
            datetime(2026, 12, 31, 22, 30, tzinfo=UTC),
        ],
        pa.timestamp("us", "UTC"),
    )
    table = pa.table({"input_taken": times, "written_at": times})
    for entry in ("taken.date", "written_at.date"):
        [zoned] = in_zone([entry], "Europe/Berlin")
        folder = entry.replace(".", "_")
        days = ["2026-07-02", "2026-07-01", "2027-01-01", "2026-12-31"]
        assert names_of(table, zoned) == [f"{folder}={day}" for day in days]
    [kolkata] = in_zone(["taken.hour"], "Asia/Kolkata")  # off UTC by five hours and a half
    assert names_of(table, kolkata) == [f"taken_hour={hour}" for hour in (3, 3, 5, 4)]
    assert in_zone(["camera", "taken.date"], "UTC") == ("camera", "taken.date")
    local = rows(input_taken=["2026-07-02 00:15", "2026-07-01T22:15Z"])
    assert names_of(local, *in_zone(["taken.date"], "Europe/Berlin")) == ["taken_date=2026-07-02"] * 2


def test_a_column_that_no_row_has_is_null() -> None:
    assert names_of(rows(video_id=["a"]), "camera", "taken.date") == ["camera=__null__/taken_date=__null__"]
    assert names_of(rows(video_id=["a"])) == [""]
    assert partitions(rows(video_id=pa.array([], pa.string())), ["camera"])[0] == []


def test_values_of_all_types_are_texts() -> None:
    table = rows(input_a=[1, 2, None], input_b=[True, False, None], input_c=[0.5, 1.0, None])
    assert names_of(table, "a", "b", "c") == [
        "a=1/b=true/c=0.5",
        "a=2/b=false/c=1.0",
        "a=__null__/b=__null__/c=__null__",
    ]


@pytest.mark.parametrize(
    ("partition_by", "sentence"),
    [
        (["model"], "'model' is a column of the tables already"),
        (["Model"], "'Model' is a column of the tables already"),
        (["config_id"], "is a column of the tables already"),
        (["written_at"], "a part of a time such as written_at.date"),
        (["input_camera"], "is a column of the tables already"),
        (["the camera"], "letters, digits and underscores"),
        (["taken.minute"], "letters, digits and underscores"),
        (["taken.date", "taken_date"], "names a folder twice: taken_date, taken_date"),
    ],
)
def test_folders_that_an_engine_would_misread_are_refused(partition_by: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check_partition_by(partition_by)


def test_good_folders_are_accepted() -> None:
    check_partition_by([])
    check_partition_by(["camera", "taken.date", "written_at.month", "written_at.year"])
