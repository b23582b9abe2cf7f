"""Statements beside SELECT: those that read are run, and no form of them carries a write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs.queried import Framegate, asked


@pytest.mark.parametrize(
    "sql",
    [
        "PIVOT answers ON question_id USING count(*) GROUP BY video_id",
        "FROM (PIVOT answers ON question_id USING count(*) GROUP BY video_id)",
        "WITH a AS (FROM answers) PIVOT a ON question_id USING count(*) GROUP BY video_id",
        "/* a comment first */ PIVOT answers ON question_id USING count(*) GROUP BY video_id",
    ],
)
def test_pivot_finds_its_columns_itself(framegate: Framegate, output: str, sql: str) -> None:
    rows = json.loads(asked(framegate, output, sql, "-f", "json"))["rows"]
    assert sorted(rows, key=lambda row: row["video_id"]) == [
        {"video_id": f"{number:016x}", "colour": 2, "where": 2} for number in (1, 2)
    ]


def test_unpivot_summarize_describe_and_show(framegate: Framegate, output: str) -> None:
    sql = "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b INTO NAME n VALUE v"
    assert json.loads(asked(framegate, output, sql, "-f", "json"))["rows"] == [{"n": "a", "v": 1}, {"n": "b", "v": 2}]
    assert "num_answer_tokens" in asked(framegate, output, "SUMMARIZE answers", "-f", "csv")
    assert "num_answer_tokens" in asked(framegate, output, "DESCRIBE answers", "-f", "csv")
    for all_tables in ("SHOW TABLES", "DESCRIBE", "SHOW ALL TABLES"):
        assert {"answers", "failures"} <= set(
            asked(framegate, output, all_tables, "-f", "csv").replace(",", "\n").split()
        )


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t AS PIVOT answers ON question_id USING count(*)",
        "COPY (PIVOT answers ON question_id USING count(*)) TO '{canary}'",
        "INSERT INTO t PIVOT answers ON question_id USING count(*)",
        "PIVOT answers ON question_id USING count(*); DROP VIEW answers",
    ],
)
def test_a_pivot_that_writes_is_refused(framegate: Framegate, output: str, tmp_path: Path, sql: str) -> None:
    result = framegate("query", sql.format(canary=tmp_path / "canary"), "-o", output)
    assert result.exit_code == 2
    assert "exactly one SELECT or EXPLAIN" in result.stderr
    assert not (tmp_path / "canary").exists()


def test_a_pivot_cannot_carry_a_write_in_its_with(framegate: Framegate, output: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    sql = f"WITH x AS (COPY (SELECT 1) TO '{canary}') PIVOT answers ON question_id USING count(*)"
    assert framegate("query", sql, "-o", output).exit_code == 2
    assert not canary.exists()


def test_a_statement_that_is_no_unicode_is_refused(framegate: Framegate, output: str) -> None:
    result = framegate("query", "SELECT '\udcff'", "-o", output)
    assert result.exit_code == 2
    assert "no UTF-8" in result.stderr
