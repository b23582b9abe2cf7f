"""The views as other engines have them: DuckDB over plain files, Spark where Java is, and Trino's words parsed.

PySpark is large: its test runs where it and Java are installed, by `pip install -e '.[readers]'`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot

import framegate
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.exported import Exported, describe_output, export_views
from framegate.pipelines.results.view_makers import VIEW_NAMES
from framegate.schemas.rules import parse_rules
from tests.mornings import BANK, BERLIN, BLACK, Film, commit, monday_rows, note_videos, write_monday

RULES = parse_rules(
    {
        "camera": "input_dock",
        "events": {
            "black": {"question": "black_seen", "answer": "yes"},
            "red": {"question": "first_colour", "answer": "red"},
            "busy": {"question": "parcel_moves", "at_least": 3, "max_gap_seconds": 10},
            "mixed": {"event": "black", "while": "red"},
            "unwatched": {"event": "black", "without": "busy"},
            "moved": {"event": "busy", "followed_by": "black", "within_seconds": 20},
            "two_docks": {"event": "black", "at_least_cameras": 2},
            "anywhere": {"event": "two_docks", "while": "red"},
        },
    },
    taken=VIEW_NAMES,
)
VIEWS = ("answers", "failures", "failure_history", "videos", "clips", "current", "questions", "events", "wide")


@pytest.fixture(scope="module")
def monday(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """The output of a Monday; one of its videos was overwritten and one is gone."""
    output = write_monday(str(tmp_path_factory.mktemp("monday") / "index"))
    films = {row["video_id"]: Film(number=int(row["video_id"], 16), uri=row["video_uri"],
                                   inputs={"input_dock": row["input_dock"]}) for row in monday_rows()}  # fmt: skip
    newer = Film(number=200, uri=films[f"{0:016x}"].uri, version="2", inputs={"input_dock": "dock-1"})
    commit(output, [newer.row(0, BLACK, "no")])
    note_videos(output, [*films.values(), newer])
    note_videos(output, [films[f"{0:016x}"]], state="superseded", day=2)
    note_videos(output, [films[f"{1:016x}"]], state="gone", day=3)
    return output


def exported(output: Output) -> Exported:
    types = {question.id: question.type for question in BANK if question.id != "black_when"}
    return Exported(
        location=output.root,
        inputs=["input_dock"],
        video_inputs=["input_dock"],
        question_types=types,
        time_zone=BERLIN,
        empty=describe_output(output.root, {}, threshold=0.97, rules=RULES).empty,
        rules=RULES,
    )


def plain(rows: pa.Table, columns: list[str]) -> list[str]:
    """Rows in one order and in Python's own words; floats rounded, as sums depend on their order."""
    return sorted(str([_plain(row[name]) for name in columns]) for row in rows.select(columns).to_pylist())


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def ours(monday: Output, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pa.Table]]:
    import yaml

    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    values = RULES.model_dump(mode="json", by_alias=True, exclude_none=True)
    file.write_text(yaml.safe_dump(values))
    with framegate.connect(monday.root, rules=file) as connection:
        yield {
            **{view: connection.sql(f"FROM {view}").to_arrow_table() for view in (*VIEWS, *RULES.events)},
            "answers_at": connection.sql("FROM answers_at(0.97)").to_arrow_table(),
        }


def compare(ours: dict[str, pa.Table], view: str, theirs: pa.Table) -> None:
    left_out = {"source", "last_seen"} if view == "videos" else {"source"}  # when a run looked last is in its record
    names = [name for name in ours[view].column_names if name not in left_out]
    assert set(names) <= set(theirs.column_names), view
    assert ours[view].num_rows or view == "clips", f"there is nothing to compare in {view}"
    assert plain(theirs, names) == plain(ours[view], names), view


def test_duckdb_over_plain_files_has_the_same_views(monday: Output, ours: dict[str, pa.Table]) -> None:
    with duckdb.connect() as connection:
        for name, statement in export_views(exported(monday), "duckdb"):
            assert ("no such file yet" in statement) == (name == "stored_clips")
            connection.execute(statement)
        for view in ours:
            compare(ours, view, connection.sql(f"FROM {view}").to_arrow_table())


@pytest.mark.parametrize("dialect", ["spark", "trino"])
def test_statements_are_words_of_the_dialect(monday: Output, dialect: str) -> None:
    """Parsed by sqlglot's grammar of it, none of DuckDB's own words is left."""
    for name, statement in export_views(exported(monday), dialect):
        parsed = sqlglot.parse_one(statement, read=dialect)
        assert isinstance(parsed, sqlglot.exp.Create), name
        words = {node.name.lower() for node in parsed.find_all(sqlglot.exp.Anonymous)}
        assert not words & {"seconds_after", "timezone", "to_microseconds", "list_concat", "any_value"}, name
        assert not [*parsed.find_all(sqlglot.exp.Qualify)], name


@pytest.mark.skipif(shutil.which("java") is None, reason="PySpark needs Java")
def test_spark_has_the_same_views(monday: Output, ours: dict[str, pa.Table], tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql")
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.sql.session.timeZone", "UTC").config("spark.sql.warehouse.dir", str(tmp_path))
    builder = builder.config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    builder = builder.config("spark.sql.parquet.mergeSchema", "true").config("spark.sql.shuffle.partitions", "1")
    spark = builder.getOrCreate()
    try:
        for name, statement in export_views(exported(monday), "spark"):
            spark.sql(statement.rstrip().rstrip(";"))
            if name == "current" or name in RULES.events:
                # As docs/output.md says: without it Spark writes out `current` once for each time that a rule, or a
                # rule that it rests on, reads it, and its analyser does not come to an end.
                spark.table(name).localCheckpoint().createOrReplaceTempView(name)
        for view in ours:
            compare(ours, view, spark.table(view).toArrow())
    finally:
        spark.stop()
