"""SQL over the output gives the right rows in every form, and can reach nothing else."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from framegate.pipelines.results.views import open_views, select
from framegate.schemas.errors import ObjectNotFound, QueryError
from framegate.schemas.tables import FAILURES

Framegate = Callable[..., Result]
THINK_RATES = (
    "SELECT question_id, avg(thinking::int) AS think_rate, avg(num_thinking_tokens) FROM answers GROUP BY 1 ORDER BY 1"
)


def rows_of(framegate: Framegate, output: str, sql: str) -> list[dict]:
    result = framegate("query", sql, "--output", output, "--format", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["command"] == "query"
    return document["rows"]


def test_think_rates_by_question(framegate: Framegate, output: str) -> None:
    assert rows_of(framegate, output, THINK_RATES) == [
        {"question_id": "colour", "think_rate": 0.0, "avg(num_thinking_tokens)": 0.0},
        {"question_id": "where", "think_rate": 1.0, "avg(num_thinking_tokens)": 40.0},
    ]


def test_failures_by_reason(framegate: Framegate, output: str) -> None:
    sql = "SELECT reason, count(*) AS n FROM failures GROUP BY 1 ORDER BY n DESC"
    assert rows_of(framegate, output, sql) == [{"reason": "not_video", "n": 2}, {"reason": "truncated", "n": 1}]


def test_a_failure_stands_until_something_came_of_it(framegate: Framegate, output: str) -> None:
    sql = "SELECT video_uri, reason, attempts FROM failures ORDER BY 1"
    assert rows_of(framegate, output, sql) == [
        {"video_uri": "s3://cameras/v3.mp4", "reason": "not_video", "attempts": 1},
        {"video_uri": "s3://cameras/v4.mp4", "reason": "not_video", "attempts": 1},
        {"video_uri": "s3://cameras/v5.mp4", "reason": "truncated", "attempts": 2},
    ]


def test_the_history_keeps_what_was_overcome(framegate: Framegate, output: str) -> None:
    sql = "SELECT reason, count(*) AS n FROM failure_history GROUP BY 1 ORDER BY 1"
    assert rows_of(framegate, output, sql) == [
        {"reason": "engine_error", "n": 1},
        {"reason": "not_video", "n": 2},
        {"reason": "storage", "n": 2},
        {"reason": "truncated", "n": 1},
    ]


def test_without_answers_the_last_of_each_key_stands(framegate: Framegate, output: str) -> None:
    for path in Path(output, "results").rglob("*.parquet"):
        path.unlink()
    sql = (
        "SELECT video_uri, clip_index, question_id, reason FROM failures WHERE video_uri < 's3://cameras/v3' ORDER BY 1"
    )
    assert rows_of(framegate, output, sql) == [
        {"video_uri": "s3://cameras/v1.mp4", "clip_index": 0, "question_id": "where", "reason": "engine_error"},
        {"video_uri": "s3://cameras/v2.mp4", "clip_index": 1, "question_id": None, "reason": "storage"},
    ]


@pytest.mark.parametrize(
    ("clip_index", "hours", "stands"),
    [(0, -1, False), (1, -1, False), (2, -1, True), (None, -1, False), (1, 1, True), (None, 1, True)],
)
def test_a_video_without_frames_stands_unless_a_later_run_went_on_from_there(
    framegate: Framegate, output: str, fill_failures: Callable, clip_index: int | None, hours: int, stands: bool
) -> None:
    """Videos 1 and 2 have answers for clips 0 and 1, written at noon."""
    fill_failures(output, number=1, reason="decode_timeout", attempts=1, hours_ago=-hours, clip_index=clip_index)
    sql = "SELECT count(*) AS n FROM failures WHERE reason = 'decode_timeout'"
    assert rows_of(framegate, output, sql) == [{"n": int(stands)}]


def test_the_same_on_s3(framegate: Framegate, s3_root: str, fill_output: Callable) -> None:
    fill_output(s3_root)
    rows = rows_of(framegate, s3_root, THINK_RATES)
    assert [row["think_rate"] for row in rows] == [0.0, 1.0]
    assert rows_of(framegate, s3_root, "SELECT count(*) AS n FROM failures") == [{"n": 3}]


def test_a_table_is_for_people(framegate: Framegate, output: str) -> None:
    result = framegate("query", THINK_RATES, "-o", output)
    assert result.exit_code == 0
    assert "think_rate" in result.stdout
    assert "colour" in result.stdout


def test_csv_is_for_spreadsheets(framegate: Framegate, output: str) -> None:
    sql = "SELECT video_id, answer, thinking, written_at FROM answers ORDER BY 1, thinking LIMIT 1"
    result = framegate("query", sql, "-o", output, "-f", "csv")
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        ["video_id", "answer", "thinking", "written_at"],
        [f"{1:016x}", "", "false", "2026-01-02T03:04:05+00:00"],
    ]


def test_values_keep_their_types_in_json(framegate: Framegate, output: str) -> None:
    sql = "SELECT 1 AS i, 1.5::DECIMAL(4,2) AS d, sum(num_thinking_tokens) AS s, NULL AS n, 'nan'::DOUBLE AS x, [1, 2] AS l, 1 AS i FROM answers"  # fmt: skip # noqa: E501
    assert rows_of(framegate, output, sql) == [
        {"i": 1, "d": 1.5, "s": 160, "n": None, "x": None, "l": [1, 2], "i_1": 1}
    ]


def test_rows_also_go_to_a_file(framegate: Framegate, output: str, tmp_path: Path) -> None:
    framegate("query", "SELECT 1 AS one", "-o", output, "--json", str(tmp_path / "rows.json"))
    assert json.loads((tmp_path / "rows.json").read_text()) == {"command": "query", "rows": [{"one": 1}]}


def test_explain_prints_the_plan_as_it_is(framegate: Framegate, output: str) -> None:
    result = framegate("query", "EXPLAIN SELECT sum(num_answer_tokens) FROM answers", "-o", output)
    assert result.exit_code == 0
    assert "READ_PARQUET" in result.stdout


def test_columns_carry_their_meaning(framegate: Framegate, output: str) -> None:
    sql = "SELECT comment FROM duckdb_columns() WHERE table_name = 'answers' AND column_name = 'thinking'"
    assert rows_of(framegate, output, sql) == [{"comment": "whether the model thought"}]
    sql = "SELECT table_name, count(comment) AS n FROM duckdb_columns() WHERE table_name LIKE 'fail%' GROUP BY 1"
    by_view = {row["table_name"]: row["n"] for row in rows_of(framegate, output, sql)}
    assert by_view["failures"] == by_view["failure_history"] == len(FAILURES) + 1  # config_id, of the path


def test_manifest_columns_are_there_whatever_their_types(
    framegate: Framegate, output: str, fill_tables: Callable
) -> None:
    fill_tables(output, 1, inputs={"input_dock": 3})
    fill_tables(output, 2, inputs={"input_dock": "north", "input_fps": 2.5})
    sql = "SELECT input_dock, avg(input_fps) AS fps, count(*) AS n FROM answers GROUP BY 1 ORDER BY 1 NULLS FIRST"
    assert rows_of(framegate, output, sql) == [
        {"input_dock": None, "fps": None, "n": 8},
        {"input_dock": "3", "fps": None, "n": 8},
        {"input_dock": "north", "fps": 2.5, "n": 8},
    ]


WRITES = [
    "CREATE TABLE t AS SELECT 1",
    "INSERT INTO answers SELECT * FROM answers",
    "DELETE FROM answers",
    "DROP VIEW answers",
    "CREATE OR REPLACE TEMP VIEW failures AS SELECT 1",
    "COPY (SELECT 1) TO '{canary}'",
    "COPY answers TO '{output}/results/x.parquet' (FORMAT parquet)",
    "ATTACH '{canary}.db'",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "INSTALL httpfs",
    "CALL pragma_version()",
    "EXPORT DATABASE '{canary}'",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW answers",
    "",
    "/* nothing */",
]


@pytest.mark.parametrize("sql", WRITES)
def test_anything_but_one_select_is_refused(framegate: Framegate, output: str, tmp_path: Path, sql: str) -> None:
    before = _bytes_below(tmp_path)
    result = framegate("query", sql.format(canary=tmp_path / "canary", output=output), "-o", output)
    assert result.exit_code == 2
    assert "exactly one SELECT or EXPLAIN" in result.stderr
    assert _bytes_below(tmp_path) == before


ESCAPES = [
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM read_parquet('{output}/results/*/*.parquet')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM parquet_metadata('{output}/results/*/*.parquet')",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{secret}'')'))",
    "WITH x AS (COPY (SELECT 1) TO '{secret}') SELECT * FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{secret}'",
    "SELECT getenv('AWS_SECRET_ACCESS_KEY')",
    "SELECT * FROM rows_of",
    "SELECT load_extension('httpfs')",
]


@pytest.mark.parametrize("sql", ESCAPES)
def test_no_select_reads_or_writes_beyond_the_output(
    framegate: Framegate, output: str, tmp_path: Path, sql: str
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary\n1\n")
    before = _bytes_below(tmp_path)
    result = framegate("query", sql.format(secret=secret, folder=tmp_path, output=output), "-o", output)
    assert result.exit_code == 2, result.output
    assert "canary\n" not in result.output
    assert _bytes_below(tmp_path) == before


def test_what_a_statement_makes_in_memory_is_gone_with_it_and_touches_no_file(output: str, tmp_path: Path) -> None:
    before = _bytes_below(tmp_path)
    with open_views(output, {}) as connection, pytest.raises(QueryError):
        select(connection, "EXPLAIN ANALYZE DELETE FROM answers")
    assert _bytes_below(tmp_path) == before


def test_wrong_sql_is_one_sentence_with_duckdbs_hint(framegate: Framegate, output: str) -> None:
    result = framegate("query", "SELECT question FROM answer", "-o", output)
    assert result.exit_code == 2
    assert "answer does not exist" in result.stderr
    assert 'Did you mean "answers' in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_output_without_failures_has_an_empty_view(framegate: Framegate, output: str) -> None:
    for path in Path(output, "failures").rglob("*.parquet"):
        path.unlink()
    assert rows_of(framegate, output, "SELECT count(*) AS n FROM failures WHERE reason = 'empty'") == [{"n": 0}]


def test_a_missing_output_is_said_in_one_sentence(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("query", "SELECT 1", "-o", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert "there is no output at" in result.stderr
    with pytest.raises(ObjectNotFound), open_views(str(tmp_path / "nowhere"), {}):
        pass


def test_a_foreign_file_in_results_is_named(framegate: Framegate, output: str) -> None:
    Path(output, "results", "notes.parquet").write_text("not Parquet")
    result = framegate("query", "SELECT 1", "-o", output)
    assert result.exit_code == 2
    assert "notes.parquet is no whole Parquet file" in result.stderr


def test_the_output_is_found_by_option_job_environment_or_demo(
    framegate: Framegate, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT count(*) AS n FROM answers"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FRAMEGATE_OUTPUT", raising=False)
    nowhere = framegate("query", sql)
    assert nowhere.exit_code == 2
    assert "give --output URI or --job JOB.yaml, or set FRAMEGATE_OUTPUT" in nowhere.stderr

    monkeypatch.setenv("FRAMEGATE_OUTPUT", output)
    assert "8" in framegate("query", sql).stdout
    monkeypatch.delenv("FRAMEGATE_OUTPUT")

    job = tmp_path / "job.yaml"
    job.write_text(
        "input: {videos: videos/}\nmodel: {name: ./model}\noutput: {uri: index}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
    )
    assert "8" in framegate("query", sql, "--job", str(job)).stdout
    assert framegate("query", sql, "--job", str(job), "-o", output).exit_code == 2

    (tmp_path / "demo").mkdir()
    os.symlink(output, tmp_path / "demo" / "index")
    assert "8" in framegate("query", sql).stdout


@pytest.mark.parametrize("command", [["query", "SELECT 1 AS one", "-o"], ["status"]])
def test_reading_results_loads_neither_torch_nor_ray(command: list[str], output: str) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from framegate.jobs.cli import app\n"
        f"result = CliRunner().invoke(app, {[*command, output]!r}); assert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'transformers', 'ray', 'av', 'decord'} & set(sys.modules); assert not heavy, heavy"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _bytes_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
