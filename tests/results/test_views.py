"""Views open the files that a query needs and no others, each at the version that was listed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.commit.journal import encode_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import FOLD_FROM, seal
from framegate.pipelines.results.view_makers import MAKERS
from framegate.pipelines.results.view_sql import create_view
from framegate.pipelines.results.views import Views, open_views, query, select
from framegate.pipelines.store.sealed_filesystem import SealedFilesystem
from framegate.schemas.errors import QueryError, VersionChanged
from framegate.schemas.tables import JOURNAL, RESULTS
from tests.outputs import CONFIG_ID, answer_row, failure_row, video
from tests.s3_faults import S3Faults

CAMERAS = ("north", "south side", "west=1")
NIGHTS = ("2026-11-01", "2026-11-02")


def commit(output: Output, number: int, kind: str, rows: list[dict[str, Any]], inputs: dict[str, Any]) -> None:
    extra = [pa.field(name, pa.scalar(value).type) for name, value in inputs.items()]
    table = pa.Table.from_pylist(
        [{**row, **inputs, "row_kind": kind} for row in rows], schema=pa.schema([*JOURNAL, *extra])
    )
    hashes = [(row["question_hash"] or "", row.get("attempts", 1)) for row in rows]
    video_id = video(number)["video_id"]
    if rows[0]["clip_index"] is None:
        uri = output.layout.undecoded(CONFIG_ID, video_id, clip_index=None, attempt=rows[0]["attempts"])
    else:
        uri = output.layout.unit(CONFIG_ID, video_id, clip_indexes=[0], questions=hashes)
    assert output.store.put_once(uri, encode_unit(table)).created


def answers_of(number: int) -> list[dict[str, Any]]:
    asked = (("where", "1" * 16), ("colour", "2" * 16))
    return [answer_row(**video(number), question_id=id, question_hash=hash, clip_is_last=True) for id, hash in asked]


def fill(root: str) -> Output:
    """A video of each camera and night, and one that has neither; sealed by camera and date."""
    output = Output.at(root)
    number = 0
    for camera in CAMERAS:
        for night in NIGHTS:
            inputs = {"input_camera": camera, "input_taken": f"{night}T08:00:00Z", "input_lens": number}
            commit(output, number, "answer", answers_of(number), inputs)
            number += 1
    commit(output, number, "answer", answers_of(number), {})
    seal(output, CONFIG_ID, partition_by=("camera", "taken.date"))
    return output


@pytest.fixture
def by_camera(tmp_path: Path) -> str:
    root = str(tmp_path / "index")
    fill(root)
    return root


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that were read, in order."""
    names: list[str] = []
    pin = SealedFilesystem.pin

    def noted(self: SealedFilesystem, name: str) -> Any:
        names.append(name)
        return pin(self, name)

    monkeypatch.setattr(SealedFilesystem, "pin", noted)
    return names


def rows_of(root: str, sql: str) -> list[dict[str, Any]]:
    return query(root, {}, sql).to_pylist()


def test_partitions_are_columns_with_their_types(by_camera: str) -> None:
    sql = "SELECT camera, taken_date, count(*) AS n FROM answers GROUP BY ALL ORDER BY ALL NULLS LAST"
    nights = [datetime.date.fromisoformat(night) for night in NIGHTS]
    expected = [{"camera": camera, "taken_date": night, "n": 2} for camera in CAMERAS for night in nights]
    assert rows_of(by_camera, sql) == [*expected, {"camera": None, "taken_date": None, "n": 2}]


def test_partitions_stand_beside_config_id(by_camera: str) -> None:
    sql = "SELECT column_name AS c FROM duckdb_columns() WHERE table_name = 'answers' ORDER BY column_index"
    columns = [row["c"] for row in rows_of(by_camera, sql)]
    first = columns.index("config_id")
    assert columns[first : first + 4] == ["config_id", "camera", "taken_date", "run_id"]
    assert columns[-3:] == ["input_camera", "input_lens", "input_taken"]


@pytest.mark.parametrize(
    ("condition", "num_files"),
    [
        ("camera = 'south side' AND question_id = 'where'", 2),
        ("camera = 'west=1' AND taken_date = DATE '2026-11-02'", 1),
        ("taken_date >= DATE '2026-11-02'", 3),
        ("camera IS NULL", 1),
        ("camera IN ('north', 'nobody')", 2),
        ("camera = 'nobody'", 0),
        ("config_id = 'another'", 0),
    ],
)
def test_a_filter_on_partitions_opens_their_files_alone(
    by_camera: str, opened: list[str], condition: str, num_files: int
) -> None:
    with open_views(by_camera, {}, with_inputs=False) as views:
        assert opened == []
        n = select(views, f"SELECT count(DISTINCT video_id) AS n FROM answers WHERE {condition}").to_pylist()
    assert (n[0]["n"], len(set(opened))) == (num_files, num_files)


def test_where_nothing_failed_the_failures_cost_nothing(by_camera: str, opened: list[str]) -> None:
    with open_views(by_camera, {}, with_inputs=False) as views:
        assert select(views, "SELECT count(*) AS n FROM failures").to_pylist() == [{"n": 0}]
    assert opened == []


def test_a_query_sees_a_file_at_the_version_that_was_listed(by_camera: str) -> None:
    with open_views(by_camera, {}) as views:
        file = sorted(Path(by_camera, "results").rglob("*.parquet"))[0]
        file.write_bytes(file.read_bytes() + b"more")
        with pytest.raises(VersionChanged, match=file.name):
            select(views, "SELECT max(video_uri) FROM answers")


def test_the_same_on_s3(s3_root: str) -> None:
    output = fill(s3_root)
    with open_views(s3_root, {}) as views:
        info = next(iter(output.list("results")))
        output.store.replace(info.uri, output.store.read(info.uri) + b"more", if_match=info.version)
        views.files.forget_ends()  # as of a file larger than what is kept of it
        with pytest.raises(VersionChanged, match=info.uri):
            select(views, "SELECT max(video_uri) FROM answers")


def test_a_query_is_asked_again_of_a_file_that_changed(by_camera: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the listing and the reading, which DuckDB does itself at first."""
    output, make_mentioned = Output.at(by_camera), Views.make_mentioned
    number, tries = len(CAMERAS) * len(NIGHTS), list[bool]()
    changes: list[Callable[[], object]] = []

    def change_first(self: Views, sql: str) -> None:
        tries.append(bool(self.paths))
        if changes:
            changes.pop()()
        make_mentioned(self, sql)

    def change() -> None:
        info = next(iter(output.list("results")))
        output.store.replace(info.uri, output.store.read(info.uri), if_match=info.version)

    monkeypatch.setattr(Views, "make_mentioned", change_first)
    changes.append(change)
    assert rows_of(by_camera, "SELECT count(DISTINCT video_uri) AS n FROM answers") == [{"n": number + 1}]
    assert tries == [True, True]
    changes += [change] * 2
    assert rows_of(by_camera, "SELECT count(DISTINCT video_uri) AS n FROM answers") == [{"n": number + 1}]
    assert tries[2:] == [True, True, False], "the last one reads what was listed"
    changes += [change] * 100
    with pytest.raises(VersionChanged):
        rows_of(by_camera, "SELECT count(DISTINCT video_uri) AS n FROM answers")


WRITES = [
    "WITH x AS (COPY (SELECT 1) TO '{file}') SELECT * FROM x",
    "WITH x AS (COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)) SELECT * FROM x",
    "WITH x AS (COPY (SELECT 1) TO 'sealed://results/new.parquet') SELECT * FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false, FORMAT parquet)",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
    "'WITH x AS (COPY (SELECT 1) TO ''{file}'' (USE_TMP_FILE false)) SELECT * FROM x'))",
]


@pytest.mark.parametrize("sql", WRITES)
def test_no_file_of_the_output_can_be_written(by_camera: str, tmp_path: Path, sql: str) -> None:
    """A WITH of DuckDB 2 may hold a COPY TO, and EXPLAIN ANALYZE runs one."""
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with open_views(by_camera, {}) as views:
        for file in (f"sealed://{views.files.names[0]}", str(Path(by_camera, views.files.names[0]))):
            with pytest.raises(QueryError) as refused:
                select(views, sql.format(file=file))
            assert "Traceback" not in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


READS = [
    "SELECT * FROM read_text('sealed://../secret.txt')",
    "SELECT * FROM read_text('sealed://{secret}')",
    "SELECT * FROM glob('sealed://**')",
    "SELECT * FROM read_parquet('sealed://**/*.parquet')",
]


@pytest.mark.parametrize("sql", READS)
def test_nothing_but_the_files_of_the_tables_can_be_named(by_camera: str, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary")
    try:
        rows = str(query(by_camera, {}, sql.format(secret=secret)).to_pylist())
    except QueryError as error:
        rows = str(error)
    assert "canary" not in rows


def test_a_filtered_query_asks_few_requests(s3_root: str, s3_faults: S3Faults) -> None:
    """Three listings, the history and the records that are not in it, and a file each that the filter leaves."""
    output = fill(s3_root)
    for night in range(FOLD_FROM + 1):
        inputs = {"input_camera": CAMERAS[1], "input_taken": f"2026-12-0{night + 1}T08:00:00Z", "input_lens": night}
        commit(output, 50 + night, "answer", answers_of(50 + night), inputs)
        seal(output, CONFIG_ID, partition_by=("camera", "taken.date"))
    options = {"endpoint_url": s3_faults.endpoint}
    s3_faults.clear()
    sql = "SELECT count(*) AS n FROM answers WHERE camera = 'north' AND question_id = 'where' AND input_lens < 9"
    assert query(s3_root, options, sql).to_pylist() == [{"n": 2}]
    assert s3_faults.count("GET", "list-type=2") == 3
    assert s3_faults.count("GET", "history.json.gz") == 1
    assert s3_faults.count("GET", r"seals/config_id=\w+/\d+.json") < FOLD_FROM
    assert s3_faults.count("GET", r"results/.*parquet") == 2
    assert len(s3_faults.seen) <= 3 + 2 * 1 + FOLD_FROM - 1 + 2  # the version of the history is asked for as well


def test_failures_stand_as_before_with_partitions(by_camera: str) -> None:
    output = Output.at(by_camera)
    overcome = failure_row(0, "engine_error", 1, hours_ago=1, clip_index=0, question_hash="1" * 16)
    commit(output, 0, "failure", [overcome], {"input_camera": "north"})
    standing = failure_row(90, "not_video", 1)
    commit(output, 90, "failure", [standing], {"input_camera": "east", "input_taken": "2026-11-02"})
    seal(output, CONFIG_ID, partition_by=("camera", "taken.date"))
    sql = "SELECT video_uri, camera, taken_date FROM failures"
    night = datetime.date(2026, 11, 2)
    assert rows_of(by_camera, sql) == [{"video_uri": video(90)["video_uri"], "camera": "east", "taken_date": night}]
    assert rows_of(by_camera, "SELECT count(*) AS n FROM failure_history") == [{"n": 2}]


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ("SELECT count(*) AS n FROM answers", {"answers"}),
        ("SELECT 1 AS n", set()),
        ("FROM Failure_History", {"failure_history"}),
        ('SELECT * FROM "failures"', {"answers", "failure_history", "failures"}),
        ("FROM current", {"answers", "current"}),
        ("SELECT count(*) FROM events(5)", {"answers", "current", "events"}),
        ("FROM answers_at(0.9)", {"answers", "current", "answers_at"}),
        ("SHOW TABLES", {*MAKERS}),
        ("FROM query_table('fail' || 'ures')", {*MAKERS}),
        ("FROM videos", {"answers", "failure_history", "failures", "videos"}),
    ],
)
def test_a_view_is_made_where_a_statement_is_about_it(by_camera: str, sql: str, made: set[str]) -> None:
    with open_views(by_camera, {}) as views:
        assert views.made == set()
        select(views, sql)
        assert views.made == made


def test_a_column_that_is_named_like_a_view_does_not_make_it(by_camera: str) -> None:
    with open_views(by_camera, {}) as views:
        select(views, "SELECT count(DISTINCT video_uri) AS videos FROM answers")
        assert views.made == {"answers"}


def test_files_that_are_alike_are_read_in_another_way_and_give_the_same(by_camera: str) -> None:
    found = []
    for is_remote in (False, True):
        with open_views(by_camera, {}) as views:
            table = views.tables["results"]
            assert table.is_uniform
            create_view(views.connection, "made", RESULTS, table, is_remote=is_remote)
            [(sql,)] = views.connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'made'").fetchall()
            assert ("hive_partitioning" in sql) is not is_remote
            rows = select(views, "FROM made ORDER BY ALL")
            found.append((rows.schema, rows.to_pylist()))
    assert found[0] == found[1]
    assert found[0][1]


def test_files_that_are_not_alike_are_told(tmp_path: Path) -> None:
    root = str(tmp_path / "index")
    output = fill(root)
    for number, inputs in enumerate(({"input_camera": "north"}, {"input_floor": 2})):
        commit(output, 50 + number, "answer", answers_of(50 + number), {"input_taken": None, **inputs})
        seal(output, CONFIG_ID, partition_by=("camera", "taken.date"))
    with open_views(root, {}) as views:
        assert not views.tables["results"].is_uniform
    floors = rows_of(root, "SELECT DISTINCT input_floor AS floor FROM answers ORDER BY ALL")
    assert floors == [{"floor": 2}, {"floor": None}]


def test_every_view_is_listed(by_camera: str) -> None:
    views = {"answers", "failure_history", "failures", "videos"}
    assert {row["name"] for row in rows_of(by_camera, "SHOW TABLES")} >= views
    names = rows_of(by_camera, "SELECT DISTINCT table_name AS name FROM information_schema.tables")
    assert {row["name"] for row in names} >= views
