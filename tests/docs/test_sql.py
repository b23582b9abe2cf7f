"""SQL in the pages runs, over a real output."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import duckdb
import pytest

from framegate.pipelines.results.terms import QueryTerms
from framegate.pipelines.results.views import open_views, select
from tests.docs.pages import PAGES, code_blocks
from tests.docs.test_commands import COMMANDS

QUERIES = [
    (page, next(w for w in shlex.split(text)[1:] if " " in w), re.findall(r"--with (\w+)=\S+", text))
    for page, text in COMMANDS
    if "query" in text[:6] and '"' in text and '"..."' not in text and "--rules" not in text
]
CONDITIONS = [(page, re.findall(r'--where "([^"]+)"', text)[0]) for page, text in COMMANDS if "--where" in text]
PLAIN = [
    (page, block)
    for page, content in PAGES.items()
    for block in code_blocks(content)
    if block.startswith("SELECT") and "read_parquet" in block
]


@pytest.mark.parametrize(("page", "sql", "tables"), QUERIES)
def test_each_query_runs(outputs: tuple[Path, ...], tmp_path: Path, page: str, sql: str, tables: list[str]) -> None:
    """Tables of a person's own have a label for each video."""
    labels = tmp_path / "labels.csv"
    labels.write_text("video_uri,label\ns3://cameras/1.mp4,forklift\n")
    terms = QueryTerms(files=dict.fromkeys(tables, str(labels)))
    with open_views(str(outputs[1]), {}, terms=terms) as connection:
        assert select(connection, sql).num_columns


@pytest.mark.parametrize(("page", "condition"), CONDITIONS)
def test_each_condition_is_one(outputs: tuple[Path, ...], page: str, condition: str) -> None:
    with open_views(str(outputs[1]), {}) as connection:
        assert select(connection, f"SELECT count(*) FROM answers WHERE {condition}").num_rows == 1


@pytest.mark.parametrize(("page", "sql"), PLAIN)
def test_sql_over_plain_files_runs(outputs: tuple[Path, ...], page: str, sql: str) -> None:
    assert "s3://index/cameras/" in sql
    assert duckdb.sql(sql.replace("s3://index/cameras", str(outputs[1]))).to_arrow_table().num_rows
