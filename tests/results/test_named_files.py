"""Files that are named are tables beside the views, with the types that their values have; no other file is read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app
from framegate.pipelines.results.named_files import parse_named_files
from framegate.pipelines.store import Store
from framegate.schemas.errors import ConfigError

LABELS = "video_id,label,camera,count,share,day,seen,sure\n" + "\n".join(
    [
        f"{1:016x},forklift,007,12,0.5,2026-01-02,2026-01-02T03:04:05Z,true",
        f'{2:016x},"a, b",12E4567,-3,3,2026-01-03,2026-01-03 03:04+02:00,false',
        f"{3:016x},,NA,,,,,",
    ]
)


@pytest.fixture
def ask(output: str) -> Callable[..., Result]:
    def run(sql: str, *options: str) -> Result:
        return CliRunner().invoke(app, ["query", sql, "-o", output, "-f", "json", *options], catch_exceptions=False)

    return run


def rows(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["rows"]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(LABELS)
    return path


def test_a_csv_file_joins_the_views(ask: Callable[..., Result], labels: Path) -> None:
    sql = "SELECT label, count(*) AS n FROM answers JOIN labels USING (video_id) GROUP BY 1 ORDER BY 1"
    assert rows(ask(sql, "--with", f"labels={labels}")) == [{"label": "a, b", "n": 4}, {"label": "forklift", "n": 4}]


def test_texts_stay_texts_and_numbers_are_numbers(ask: Callable[..., Result], labels: Path) -> None:
    types = {
        row["column_name"]: row["column_type"] for row in rows(ask("DESCRIBE labels", "--with", f"labels={labels}"))
    }
    assert types == {
        "video_id": "VARCHAR", "label": "VARCHAR", "camera": "VARCHAR", "count": "BIGINT", "share": "DOUBLE",
        "day": "DATE", "seen": "TIMESTAMP WITH TIME ZONE", "sure": "BOOLEAN",
    }  # fmt: skip
    found = rows(ask("SELECT camera, seen FROM labels ORDER BY video_id", "--with", f"labels={labels}"))
    assert [row["camera"] for row in found] == ["007", "12E4567", "NA"]
    assert found[1]["seen"].startswith("2026-01-03T01:04:00")


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson"])
def test_each_kind_of_file_is_read(ask: Callable[..., Result], tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"sites of 'mine'{ending}"
    values = [{"video_id": f"{1:016x}", "site": "north"}, {"video_id": f"{2:016x}", "site": "south"}]
    lines = "\n".join(json.dumps(row) for row in values)
    texts = {
        ".tsv": "video_id\tsite\n" + "\n".join("\t".join(row.values()) for row in values),
        ".json": json.dumps(values),
    }
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(values), path)
    elif ending == ".csv.gz":
        path.write_bytes(gzip.compress(texts[".tsv"].replace("\t", ",").encode()))
    else:
        path.write_text(texts.get(ending, lines))
    sql = "SELECT site, count(*) AS n FROM answers JOIN sites USING (video_id) GROUP BY 1 ORDER BY 1"
    assert rows(ask(sql, "--with", f"sites={path}")) == [{"site": "north", "n": 4}, {"site": "south", "n": 4}]


def test_a_file_lies_where_videos_may(ask: Callable[..., Result], s3_root: str) -> None:
    Store().put_once(f"{s3_root}/labels.csv", LABELS.encode())
    sql = "SELECT label, count(*) AS n FROM answers JOIN labels USING (video_id) GROUP BY 1 ORDER BY 1"
    assert len(rows(ask(sql, "--with", f"labels={s3_root}/labels.csv"))) == 2
    missing = ask(sql, "--with", f"labels={s3_root}/none.csv")
    assert missing.exit_code == 2
    assert "none.csv" in missing.stderr


def test_several_files_and_each_of_them_alone(ask: Callable[..., Result], labels: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    sql = "SELECT (SELECT count(*) FROM labels) AS l, (SELECT sum(a) FROM more) AS m"
    assert rows(ask(sql, "--with", f"labels={labels}", "--with", f"more={other}")) == [{"l": 3, "m": 1}]


ESCAPES = [
    "SELECT * FROM read_csv('{other}')",
    "SELECT * FROM '{other}'",
    "SELECT * FROM read_csv('{labels}')",
    "SELECT * FROM read_text('{folder}/*')",
    "SELECT * FROM read_text('sealed://with/labels/other.csv')",
    "SELECT * FROM read_text('sealed://with/labels/../../other.csv')",
    "WITH x AS (COPY (SELECT 1) TO '{labels}') SELECT * FROM x",
    "WITH x AS (COPY (SELECT 1) TO 'sealed://with/labels/labels.csv') SELECT * FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{labels}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'sealed://with/labels/labels.csv'",
]


@pytest.mark.parametrize("sql", ESCAPES)
def test_no_other_file_is_read_and_none_is_written(
    ask: Callable[..., Result], labels: Path, tmp_path: Path, sql: str
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("canary\n1\n")
    statement = sql.format(labels=labels, other=other, folder=tmp_path)
    result = ask(statement, "--with", f"labels={labels}")
    assert result.exit_code == 2 or json.loads(result.stdout)["rows"] == [], result.output
    assert "canary" not in result.output
    assert labels.read_text() == LABELS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels.csv", "give the name of a table and a file"),
        ("=labels.csv", "give the name of a table and a file"),
        ("labels=", "give the name of a table and a file"),
        ("la bels=labels.csv", "give the name of a table and a file"),
        ('x"; DROP VIEW answers; --=labels.csv', "give the name of a table and a file"),
        ("answers=labels.csv", "there is a table answers already"),
        ("Current=labels.csv", "there is a table Current already"),
        ("labels=labels.xlsx", "must end in one of .csv"),
        ("labels=labels.parquet.gz", "must end in one of .csv"),
        ("labels=https://host/labels.csv?X-Amz-Signature=secret", "must end in one of"),
        ("labels=https://host/labels.csv", "http is not read here"),
    ],
)
def test_what_names_no_table_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--with") as refused:
        parse_named_files([text], ["answers", "current"])
    assert said in str(refused.value)


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="already"):
        parse_named_files(["a=1.csv", "A=2.csv"], [])


def test_a_file_that_is_missing_or_broken_is_named(ask: Callable[..., Result], tmp_path: Path) -> None:
    missing = ask("SELECT 1", "--with", f"labels={tmp_path}/none.csv")
    assert missing.exit_code == 2
    assert "--with labels=" in missing.stderr
    assert "none.csv" in missing.stderr
    broken = tmp_path / "broken.parquet"
    broken.write_text("no Parquet")
    result = ask("SELECT * FROM labels", "--with", f"labels={broken}")
    assert result.exit_code == 2
    assert "broken.parquet" in result.stderr
    assert "sealed://" not in result.stderr
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert ask("SELECT * FROM labels", "--with", f"labels={empty}").exit_code == 2
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert ask("SELECT * FROM labels", "--with", f"labels={folder}").exit_code == 2


def test_a_file_of_columns_alone_is_a_table_without_rows(ask: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    assert rows(ask("SELECT count(*) AS n, count(a) AS a FROM few", "--with", f"few={path}")) == [{"n": 0, "a": 0}]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_large_file_has_each_row_once(ask: Callable[..., Result], tmp_path: Path, ending: str) -> None:
    """DuckDB reads texts in several threads, which each know another place in a file."""
    path = tmp_path / f"many{ending}"
    if ending == ".parquet":
        pq.write_table(pa.table({"n": range(400_000)}), path, row_group_size=20_000)
    elif ending == ".csv":
        path.write_text("n,text\n" + "".join(f"{n},some more text\n" for n in range(400_000)))
    else:
        path.write_text("\n".join(f'{{"n": {n}, "text": "some more text"}}' for n in range(400_000)))
    sql = "SELECT count(*) AS n, count(DISTINCT n) AS d, sum(n)::BIGINT AS s FROM many"
    [row] = rows(ask(sql, "--with", f"many={path}"))
    assert row == {"n": 400_000, "d": 400_000, "s": 400_000 * 399_999 // 2}
