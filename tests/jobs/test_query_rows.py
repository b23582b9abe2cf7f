"""Rows of a query in every format and in a file: whole, readable, and what they were."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.jobs import printing
from framegate.pipelines.results import views
from framegate.schemas.errors import VersionChanged
from tests.jobs.queried import Framegate, asked

INTERVALS = """
    SELECT INTERVAL '1 year 2 months 3 days 04:05:06.5' AS i, INTERVAL '0 s' AS none, -INTERVAL '90 min' AS back,
    INTERVAL '1 day' AS day, NULL::INTERVAL AS missing"""
SAID = {
    "i": "1 year 2 months 3 days 04:05:06.5", "none": "00:00:00", "back": "-01:30:00", "day": "1 day", "missing": None,
}  # fmt: skip


@pytest.mark.parametrize("format", ["csv", "json", "markdown", "table", "parquet"])
def test_an_interval_reads_as_sql_has_it(framegate: Framegate, output: str, tmp_path: Path, format: str) -> None:
    out = tmp_path / "rows"
    asked(framegate, output, INTERVALS, "--format", format, "--out", str(out))
    if format == "parquet":
        assert pq.read_table(out).to_pylist() == [SAID]
    elif format == "json":
        assert json.loads(out.read_text()) == {"command": "query", "rows": [SAID]}
    elif format == "csv":
        assert list(csv.DictReader(io.StringIO(out.read_bytes().decode(), newline=""))) == [
            {name: text or "" for name, text in SAID.items()}
        ]
    else:
        assert all(text in out.read_text() for text in SAID.values() if text)


def test_an_interval_in_csv_is_one_again_for_duckdb(framegate: Framegate, output: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    asked(framegate, output, INTERVALS, "--out", str(path))
    sql = "SELECT i::INTERVAL = INTERVAL '1 year 2 months 3 days 04:05:06.5' AND back::INTERVAL = -INTERVAL '90 min' AS same FROM kept"  # noqa: E501
    assert json.loads(asked(framegate, output, sql, "--with", f"kept={path}", "-f", "json"))["rows"] == [{"same": True}]


def test_a_parquet_file_has_the_columns_types(framegate: Framegate, output: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    sql = "SELECT video_id, thinking, written_at, [1.5, 2] AS list, 'x'::BLOB AS bytes, 1 AS a, 2 AS a FROM answers"
    asked(framegate, output, sql, "--out", str(path))
    table = pq.read_table(path)
    assert table.num_rows == 8
    assert [str(field.type) for field in table.schema][:3] == ["string", "bool", "timestamp[us, tz=UTC]"]
    assert table.column_names[-2:] == ["a", "a_1"]


def test_parquet_goes_to_a_pipe_and_not_to_a_terminal(
    framegate: Framegate, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = framegate("query", "SELECT 1 AS one", "-o", output, "-f", "parquet", "--out", "-")
    assert pq.read_table(io.BytesIO(result.stdout_bytes)).to_pylist() == [{"one": 1}]
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    refused = framegate("query", "SELECT 1 AS one", "-o", output, "-f", "parquet")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "give --out FILE" in refused.stderr


def test_what_parquet_cannot_hold_is_said_and_leaves_no_file(framegate: Framegate, output: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    result = framegate("query", "SELECT [INTERVAL 1 DAY] AS days", "-o", output, "--out", str(path))
    assert result.exit_code == 2
    assert "cast it to text" in result.stderr
    assert not [*tmp_path.glob("*rows*")]


def test_markdown_cannot_be_broken_out_of(framegate: Framegate, output: str) -> None:
    sql = r"SELECT 'a | b' AS pipe, '[x](javascript:y) <b> &amp; `c` *d* _e_ ~f~ \g' || chr(10) || 'h' AS text, 'dock_3_a.mp4' AS name"  # noqa: E501
    head, line, row = asked(framegate, output, sql, "-f", "markdown").splitlines()
    assert (head, line) == ("| pipe | text | name |", "| --- | --- | --- |")
    assert row == (
        r"| a \| b | \[x\](javascript:y) &lt;b> &amp;amp; \`c\` \*d\* \_e\_ \~f\~ \\g\\x0a<br>h | dock_3_a.mp4 |"
    )


def test_times_that_python_does_not_have_are_texts(framegate: Framegate, output: str) -> None:
    sql = "SELECT 'infinity'::TIMESTAMP AS i, DATE '200000-01-01' AS d, TIMESTAMP '2026-01-02' AS t"
    for format in ("csv", "json", "table", "markdown"):
        text = asked(framegate, output, sql, "-f", format)
        assert "infinity" in text, format
        assert "200000-01-01" in text, format


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.parquet", "rows.md", "rows.txt"])
def test_the_ending_says_the_format_and_no_file_is_replaced_unless_told(
    framegate: Framegate, output: str, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    assert asked(framegate, output, "SELECT 1 AS one", "--out", str(path)) == ""
    before = path.read_bytes()
    assert before.startswith({"rows.csv": b"one\r\n", "rows.json": b"{", "rows.md": b"| one |"}.get(name, b""))
    result = framegate("query", "SELECT 2 AS two", "-o", output, "--out", str(path))
    assert result.exit_code == 2
    assert "--force to replace it" in result.stderr
    assert path.read_bytes() == before
    asked(framegate, output, "SELECT 2 AS two", "--out", str(path), "--force")
    assert path.read_bytes() != before
    assert [entry.name for entry in tmp_path.iterdir() if "rows" in entry.name] == [name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "rows.xlsx"], "give --format, or an ending such as .csv"),
        (["--out", "s3://bucket/rows.csv"], "give a local file"),
        (["--out", "no/such/folder.csv"], "cannot write"),
        (["--memory", "4"], "such as 512MB or 4GB"),
        (["--memory", "1MB"], "at least 32MiB"),
        (["--timeout", "soon"], "give a length of time"),
        (["--time-zone", "Europe/Berlni"], "did you mean 'Europe/Berlin'"),
        (["--rules", "no-rules.yaml"], "no-rules.yaml"),
    ],
)
def test_a_wrong_option_is_one_sentence(framegate: Framegate, output: str, options: list[str], said: str) -> None:
    result = framegate("query", "SELECT 1", "-o", output, *options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_a_query_that_fails_leaves_a_file_as_it_was(framegate: Framegate, output: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mine")
    sql = "SELECT CASE WHEN range < 30000 THEN range ELSE error('late') END AS n FROM range(50000)"
    result = framegate("query", sql, "-o", output, "--out", str(path), "--force", "--json", str(tmp_path / "rows.json"))
    assert result.exit_code == 2
    assert "late" in result.stderr
    assert path.read_text() == "mine"
    assert not [*tmp_path.glob("*rows.json*")]


def test_standard_output_gets_nothing_of_a_query_that_fails(framegate: Framegate, output: str) -> None:
    sql = "SELECT CASE WHEN range < 30000 THEN range ELSE error('late') END AS n FROM range(50000)"
    for format in ("csv", "json", "table", "markdown"):
        result = framegate("query", sql, "-o", output, "-f", format)
        assert (result.exit_code, result.stdout) == (2, ""), format


def test_a_disk_that_is_full_is_said(framegate: Framegate, output: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    result = framegate("query", "SELECT 1", "-o", output, "--out", "/dev/full", "-f", "csv")
    assert result.exit_code == 2
    assert "cannot write /dev/full" in result.stderr


def test_many_rows_come_as_they_are(framegate: Framegate, output: str) -> None:
    """More than one batch."""
    sql = "SELECT range AS n, 'text ' || range AS t FROM range(25000)"
    rows = json.loads(asked(framegate, output, sql, "-f", "json"))["rows"]
    assert [row["n"] for row in rows] == [*range(25000)]
    assert len(asked(framegate, output, sql, "-f", "csv").splitlines()) == 25001
    assert len(asked(framegate, output, sql, "-f", "markdown").splitlines()) == 25002


def test_times_are_in_the_zone_that_is_named(framegate: Framegate, output: str) -> None:
    sql = (
        "SELECT TIMESTAMPTZ '2026-07-01 12:00:00+00' AS t, date_part('hour', TIMESTAMPTZ '2026-07-01 12:00:00+00') AS h"
    )
    row = {"t": "2026-07-01T14:00:00+02:00", "h": 14}
    options = ("-f", "json", "--time-zone", "Europe/Berlin")
    assert json.loads(asked(framegate, output, sql, *options))["rows"] == [row]
    assert "2026-07-01 14:00:00+02:00" in asked(framegate, output, sql, "--time-zone", "Europe/Berlin")
    utc = json.loads(asked(framegate, output, sql, "-f", "json"))["rows"]  # of the output, which has none
    assert utc == [{"t": "2026-07-01T12:00:00+00:00", "h": 12}]


def test_times_are_in_the_outputs_zone_unless_told(framegate: Framegate, output: str) -> None:
    layout = Path(output, "layout.json")
    layout.write_text(layout.read_text().replace('"UTC"', '"America/New_York"'))
    sql = "SELECT TIMESTAMPTZ '2026-01-01 12:00:00+00' AS t"
    assert "2026-01-01T07:00:00-05:00" in asked(framegate, output, sql, "-f", "csv")
    assert "2026-01-01T12:00:00+00:00" in asked(framegate, output, sql, "-f", "csv", "--time-zone", "UTC")


@pytest.mark.parametrize("format", ["csv", "json", "markdown", "parquet"])
def test_a_file_of_the_output_that_changes_meanwhile_gives_each_row_once(
    framegate: Framegate, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """The first time, the stream ends after some rows as it does where a file has another version than was listed."""
    real, calls = views._run, list[int]()

    def run(opened: views.Views, sql: str) -> pa.RecordBatchReader:
        reader = real(opened, sql)
        calls.append(1)
        if len(calls) > 1:
            return reader

        def break_off() -> Iterator[pa.RecordBatch]:
            yield reader.read_next_batch()
            raise opened.files.keep(VersionChanged("it changed"))

        return pa.RecordBatchReader.from_batches(reader.schema, break_off())

    monkeypatch.setattr(views, "_run", run)
    path = tmp_path / "rows"
    asked(framegate, output, "SELECT range AS n FROM range(25000)", "-f", format, "--out", str(path))
    assert len(calls) == 2
    if format == "parquet":
        assert pq.read_table(path).column("n").to_pylist() == [*range(25000)]
    else:
        numbers = re.findall(r"\d+", path.read_text())
        assert numbers == [str(number) for number in range(25000)]
