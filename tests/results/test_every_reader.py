"""An output that has seen drifting manifests, read with every reader that the pages name: same rows, same types.

PySpark (with Java) and chdb are large: their tests run where they are installed, by `pip install -e '.[readers]'`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit import migrate
from framegate.pipelines.commit.fixed import fix, read_fixed
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.results.views import query
from framegate.schemas.column_types import TIMESTAMP
from framegate.schemas.tables import FAILURES, RESULTS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TABLES = {"results": RESULTS, "failures": FAILURES}
PARTITIONS = ("config_id", "camera")

# What three nights' manifests have, and their videos: one column goes, three come, and values are missing. Each night
# has a partition of its own and one that another night has as well.
NIGHTS: list[tuple[dict[str, pa.DataType], list[dict[str, Any]]]] = [
    (
        {"camera": pa.string(), "floor": pa.int64()},
        [{"camera": "north", "floor": 1}, {"camera": "007", "floor": None}],
    ),
    (
        {"camera": pa.string(), "floor": pa.int64(), "taken": TIMESTAMP, "score": pa.float64()},
        [
            {"camera": "north", "floor": 2, "taken": NOON, "score": 1.5},
            {"camera": "south", "floor": 2**53 + 1, "taken": NOON, "score": None},
        ],
    ),
    (
        {"camera": pa.string(), "indoor": pa.bool_(), "day": pa.date32(), "plate": pa.string()},
        [
            {"camera": "a/b", "indoor": True, "day": NOON.date(), "plate": "0042"},
            {"camera": None, "indoor": None, "day": None, "plate": "12E4567"},
        ],
    ),
]


@dataclass(frozen=True)
class Drifted:
    """An output, and for each table what a reader should find: rows by (video_uri, clip_index, question_hash)."""

    output: Output

    def folder(self, table: str) -> str:
        return self.output.layout.folder(table)

    def glob(self, table: str) -> str:
        return f"{self.folder(table)}/**/*.parquet"

    def types(self, table: str) -> dict[str, pa.DataType]:
        return {field.name: field.type for field in TABLES[table]} | self.input_types

    @property
    def input_types(self) -> dict[str, pa.DataType]:
        fixed = read_fixed(self.output)
        assert fixed is not None
        return dict(fixed.inputs)


def fill(root: str, units: SimpleNamespace, facts: RunFacts, num_nights: int = len(NIGHTS)) -> Drifted:
    output = Output.at(root)
    for night, (columns, videos) in enumerate(NIGHTS[:num_nights]):
        fix(output, ["camera"], columns)
        for number, inputs in enumerate(videos):
            unit = units.make_unit(
                units.make_video(f"{night}-{number}", inputs), range(2), num_clips=2, failing=number == 1
            )
            run = replace(facts, run_id=f"run-{night}")
            commit_unit(output, unit, run, written_at=NOON + timedelta(days=night))
        seal(output, facts.config_id, partition_by=["camera"])
    return Drifted(output)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory, units: SimpleNamespace, facts: RunFacts) -> Drifted:
    return fill(str(tmp_path_factory.mktemp("drifted") / "index"), units, facts)


@pytest.fixture
def not_brought_up(tmp_path: Path, units: SimpleNamespace, facts: RunFacts, monkeypatch: pytest.MonkeyPatch) -> Drifted:
    """The same where files are too large to be brought up to date by the way."""
    monkeypatch.setattr(migrate, "BESIDE_BYTES", 0)
    return fill(str(tmp_path / "index"), units, facts)


def by_duckdb(drifted: Drifted, table: str) -> pa.Table:
    """As README has it."""
    sql = f"SELECT * FROM read_parquet('{drifted.glob(table)}', hive_partitioning = true, union_by_name = true)"
    return duckdb.sql(sql).to_arrow_table()


def by_view(drifted: Drifted, table: str) -> pa.Table:
    view = {"results": "answers", "failures": "failure_history"}[table]
    return query(drifted.output.root, {}, f"SELECT * FROM {view}")


def by_pandas(drifted: Drifted, table: str) -> pa.Table:
    return pa.Table.from_pandas(pd.read_parquet(drifted.folder(table), dtype_backend="pyarrow"))


def by_pyarrow(drifted: Drifted, table: str) -> pa.Table:
    return ds.dataset(drifted.folder(table), partitioning="hive").to_table()


def by_polars_scan(drifted: Drifted, table: str) -> pa.Table:
    return pl.scan_parquet(drifted.glob(table), hive_partitioning=True).collect().to_arrow()


def by_polars_read(drifted: Drifted, table: str) -> pa.Table:
    return pl.read_parquet(drifted.glob(table), hive_partitioning=True).to_arrow()


def by_polars_dataset(drifted: Drifted, table: str) -> pa.Table:
    found = ds.dataset(drifted.folder(table), partitioning="hive")
    return pl.scan_pyarrow_dataset(found).collect().to_arrow()


def by_datafusion(drifted: Drifted, table: str) -> pa.Table:
    from datafusion import SessionContext

    context = SessionContext()
    partitions = [(name, pa.string()) for name in PARTITIONS]
    context.register_parquet("t", drifted.folder(table) + "/", table_partition_cols=partitions)
    return context.sql("SELECT * FROM t").to_arrow_table()


def by_daft(drifted: Drifted, table: str) -> pa.Table:
    import daft

    # Else the value of the folder that it opens first, any of them, says what type all have.
    schema = dict.fromkeys(PARTITIONS, daft.DataType.string())
    return daft.read_parquet(drifted.glob(table), hive_partitioning=True, schema=schema).to_arrow()


def by_daft_with_all_columns(drifted: Drifted, table: str) -> pa.Table:
    import daft

    types = drifted.types(table) | dict.fromkeys(PARTITIONS, pa.string())
    schema = {name: daft.DataType.from_arrow_type(data_type) for name, data_type in types.items()}
    glob = drifted.glob(table)
    return daft.read_parquet(glob, hive_partitioning=True, infer_schema=False, schema=schema).to_arrow()


READERS = [
    by_duckdb, by_view, by_pandas, by_pyarrow, by_polars_scan, by_polars_read, by_polars_dataset, by_datafusion,
    by_daft,
]  # fmt: skip


def plain(data_type: pa.DataType) -> pa.DataType:
    """The type, however a reader keeps texts in memory, and whatever it calls UTC."""
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    if pa.types.is_list(data_type) or pa.types.is_large_list(data_type):
        return pa.list_(plain(data_type.value_type))
    if pa.types.is_struct(data_type):
        return pa.struct([(field.name, plain(field.type)) for field in data_type])
    if pa.types.is_large_string(data_type) or data_type == pa.string_view():
        return pa.string()
    return pa.timestamp(data_type.unit, "UTC") if pa.types.is_timestamp(data_type) and data_type.tz else data_type


def check(drifted: Drifted, table: str, rows: pa.Table, *, decodes: bool = True) -> None:
    """Every column of the output, with its type; one row for each row; values and partitions as they were."""
    types = {field.name: plain(field.type) for field in rows.schema}
    wanted = drifted.types(table) | dict.fromkeys(PARTITIONS, pa.string())
    assert {name: types.get(name) for name in wanted} == {name: plain(known) for name, known in wanted.items()}
    found = rows.select(
        ["video_uri", "clip_index", *PARTITIONS, *(n for n in sorted(wanted) if n.startswith("input_"))]
    )
    per_video = {"results": (4, 2), "failures": (0, 2)}[table]
    expected = [
        expected_row(f"{night}-{number}.mp4", clip, inputs, decodes=decodes)
        for night, (_, videos) in enumerate(NIGHTS)
        for number, inputs in enumerate(videos)
        for clip in range(2)
        for _ in range(per_video[number] // 2)
    ]
    cast = found.cast(pa.schema([pa.field(f.name, plain(f.type)) for f in found.schema]))
    assert sorted(map(str, map(sorted_items, cast.to_pylist()))) == sorted(map(str, map(sorted_items, expected)))


def sorted_items(row: dict[str, Any]) -> list[tuple[str, Any]]:
    times = {name: value.astimezone(UTC) for name, value in row.items() if isinstance(value, datetime)}
    return sorted((row | times).items())


def expected_row(uri: str, clip: int, inputs: dict[str, Any], *, decodes: bool) -> dict[str, Any]:
    names = {name for columns, _ in NIGHTS for name in columns}
    camera = inputs["camera"] or "__null__"
    return {
        "video_uri": uri,
        "clip_index": clip,
        "config_id": "c0ffee0000000000",
        "camera": camera if decodes else camera.replace("/", "%2F"),
        **{f"input_{name}": inputs.get(name) for name in names},
    }


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("read", READERS)
def test_every_reader_finds_all_rows_in_the_types_of_the_layout(
    drifted: Drifted, read: Callable[[Drifted, str], pa.Table], table: str
) -> None:
    rows = read(drifted, table)
    if read is by_view:  # a missing value of a partition is null there
        filled = rows.column("camera").fill_null("__null__")
        rows = rows.set_column(rows.column_names.index("camera"), "camera", filled)
    check(drifted, table, rows)


def test_config_id_stands_in_the_path_and_in_no_file(drifted: Drifted) -> None:
    files = [info.uri for table in TABLES for info in drifted.output.list(table)]
    assert len(files) == 5 + 3
    assert all("/config_id=c0ffee0000000000/" in uri for uri in files)
    for uri in files:
        names = ds.dataset(uri).schema.names
        assert not {*PARTITIONS} & {*names}
        table = uri.removeprefix(drifted.output.root).split("/")[1]
        assert {*names} == {*drifted.types(table)}


def test_an_audit_finds_nothing(drifted: Drifted) -> None:
    found = {check.name: check.findings for check in audit(drifted.output).checks if check.num_findings}
    assert found.keys() <= {"planned"}, "there are no runs here"


def test_ray_data_reads_it(drifted: Drifted, ray_cluster: object) -> None:
    import ray.data
    from ray.data.datasource.partitioning import Partitioning

    for table in TABLES:
        found = ray.data.read_parquet(drifted.folder(table), partitioning=Partitioning("hive"))
        check(drifted, table, pa.concat_tables(ray.get(found.to_arrow_refs()), promote_options="permissive"))


def test_readers_find_columns_that_older_files_lack(not_brought_up: Drifted) -> None:
    """Each in the way that the page names."""
    folder, glob = not_brought_up.folder("results"), not_brought_up.glob("results")
    assert len({tuple(ds.dataset(info.uri).schema.names) for info in not_brought_up.output.list("results")}) == 3
    for read in (by_duckdb, by_datafusion, by_daft_with_all_columns):
        check(not_brought_up, "results", read(not_brought_up, "results"))
    found = ds.dataset(folder, partitioning="hive")
    schema = pa.unify_schemas([found.schema, *(fragment.physical_schema for fragment in found.get_fragments())])
    check(not_brought_up, "results", ds.dataset(folder, schema=schema, partitioning="hive").to_table())
    check(
        not_brought_up, "results", pa.Table.from_pandas(pd.read_parquet(folder, schema=schema, dtype_backend="pyarrow"))
    )
    lazy = pl.scan_parquet(glob, hive_partitioning=True, missing_columns="insert", extra_columns="ignore")
    assert lazy.select(pl.len()).collect().item() == 18


def test_a_migration_brings_up_what_no_seal_has(not_brought_up: Drifted, facts: RunFacts) -> None:
    from framegate.pipelines.commit.seal import migrate as migrate_files

    assert migrate.count_outdated(not_brought_up.output, facts.config_id) > 0
    migrate_files(not_brought_up.output, facts.config_id)
    assert migrate.count_outdated(not_brought_up.output, facts.config_id) == 0
    for read in READERS:
        if read is not by_view:
            check(not_brought_up, "results", read(not_brought_up, "results"))


def test_chdb_reads_it(drifted: Drifted) -> None:
    chdb = pytest.importorskip("chdb")
    for table in TABLES:
        sql = f"SELECT * FROM file('{drifted.glob(table)}', Parquet)"
        rows = chdb.query(sql, "ArrowTable")
        types = {"input_day": pa.date32(), "input_indoor": pa.bool_()}
        for name, data_type in types.items():
            if rows.schema.field(name).type != data_type:
                rows = rows.set_column(rows.column_names.index(name), name, rows.column(name).cast(data_type))
        check(drifted, table, rows, decodes=False)


def test_chdb_finds_columns_that_older_files_lack(not_brought_up: Drifted) -> None:
    chdb = pytest.importorskip("chdb")
    sql = f"SELECT * FROM file('{not_brought_up.glob('results')}', Parquet) SETTINGS schema_inference_mode = 'union'"
    found = chdb.query(sql, "ArrowTable")
    assert found.num_rows == 18
    assert {*not_brought_up.types("results"), *PARTITIONS} <= {*found.column_names}


@pytest.mark.skipif(shutil.which("java") is None, reason="PySpark needs Java")
def test_pyspark_reads_it(drifted: Drifted, not_brought_up: Drifted, tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql")
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.sql.session.timeZone", "UTC").config("spark.sql.warehouse.dir", str(tmp_path))
    builder = builder.config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    spark = builder.getOrCreate()
    try:
        for table in TABLES:
            found = spark.read.parquet(drifted.folder(table))
            check(drifted, table, found.toArrow())
        merged = spark.read.option("mergeSchema", "true").parquet(not_brought_up.folder("results"))
        check(not_brought_up, "results", merged.toArrow())
    finally:
        spark.stop()


def test_dates_are_dates_for_readers_that_infer(drifted: Drifted) -> None:
    [day] = {row["input_day"] for row in by_pyarrow(drifted, "results").to_pylist()} - {None}
    assert day == date(2026, 11, 21)
