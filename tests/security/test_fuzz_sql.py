"""SQL for `framegate query`: it reads the output and nothing else, and writes nothing (see `fuzzing`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from framegate.pipelines.results.views import query
from framegate.schemas.errors import FramegateError, QueryError
from tests.outputs import write_output
from tests.security.fuzzing import fuzzed

CANARY = "k4n4ry-5ec2e7"
ATTACKS = {
    "read-csv": "SELECT * FROM read_csv('{secret}')",
    "read-csv-auto": "SELECT * FROM read_csv_auto('{secret}', header = false)",
    "read-text": "SELECT content FROM read_text('{secret}')",
    "read-blob": "SELECT content FROM read_blob('{secret}')",
    "read-json": "SELECT * FROM read_json('{secret}')",
    "read-parquet": "SELECT * FROM read_parquet('{secret}')",
    "file-as-a-table": "SELECT * FROM '{secret}'",
    "file-as-a-quoted-name": 'FROM "{secret}"',
    "glob-of-a-folder": "SELECT * FROM glob('{folder}/*')",
    "sniff-csv": "FROM sniff_csv('{secret}')",
    "parquet-metadata": "FROM parquet_metadata('{secret}')",
    "file-uri": "SELECT * FROM read_text('file://{secret}')",
    "proc-environ": "SELECT content FROM read_blob('/proc/self/environ')",
    "http": "SELECT * FROM read_csv('http://127.0.0.1:9/a.csv')",
    "s3": "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "hugging-face": "SELECT * FROM 'hf://datasets/a/b.csv'",
    "copy-to": "COPY (SELECT 1) TO '{folder}/out.csv'",
    "copy-over-the-output": "COPY (SELECT 1 AS x) TO '{output}/results/x.parquet' (FORMAT parquet)",
    "copy-to-sealed": "COPY (SELECT 1) TO 'sealed://x.csv'",
    "copy-from": "COPY t FROM '{secret}'",
    "explain-analyze-copy": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
    "explain-copy": "EXPLAIN COPY (SELECT 1) TO '{folder}/out.csv'",
    "explain-analyze-read": "EXPLAIN ANALYZE SELECT * FROM read_csv('{secret}')",
    "attach": "ATTACH '{folder}/other.db'",
    "attach-sqlite": "ATTACH '{secret}' (TYPE sqlite)",
    "install": "INSTALL httpfs",
    "load": "LOAD '{folder}/evil.duckdb_extension'",
    "set-external-access": "SET enable_external_access = true",
    "set-then-select": "SET enable_external_access = true; SELECT * FROM read_csv('{secret}')",
    "reset": "RESET enable_external_access",
    "pragma": "PRAGMA enable_profiling = 'json'",
    "export-database": "EXPORT DATABASE '{folder}/out'",
    "import-database": "IMPORT DATABASE '{folder}'",
    "create-secret": "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "create-table": "CREATE TABLE t AS SELECT 1",
    "create-macro": "CREATE MACRO m() AS TABLE SELECT * FROM read_csv('{secret}')",
    "drop-view": "DROP VIEW answers",
    "delete": "DELETE FROM answers",
    "update": "UPDATE answers SET answer = 'yes'",
    "insert": "INSERT INTO answers SELECT * FROM answers",
    "checkpoint": "CHECKPOINT",
    "call": "CALL pragma_version()",
    "prepare": "PREPARE p AS SELECT 1",
    "two-statements": "SELECT 1; SELECT 2",
    "statement-in-a-comment": "SELECT 1 /* */; COPY (SELECT 1) TO '{folder}/out.csv' --",
    "query-function": "SELECT * FROM query('SELECT * FROM read_csv(''{secret}'')')",
    "query-table-function": "SELECT * FROM query_table(['{secret}'])",
    "json-execute": "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_csv(''{secret}'')'))",
    "with-clause": "WITH s AS (SELECT * FROM read_csv('{secret}')) SELECT * FROM s",
    "with-a-write": "WITH s AS (SELECT 1) INSERT INTO answers SELECT * FROM s",
    "scalar-subquery": "SELECT (SELECT content FROM read_text('{secret}')) AS x FROM answers",
    "lateral": "SELECT * FROM (VALUES ('{secret}')) AS v(p), LATERAL (SELECT * FROM read_text(v.p))",
    "python-variable": "SELECT * FROM CANARY_TABLE",
    "getenv": "SELECT getenv('CANARY_VARIABLE')",
    "pivot-of-a-file": "PIVOT (FROM read_csv('{secret}')) ON 1 USING count(*)",
    "summarize-a-file": "SUMMARIZE FROM read_csv('{secret}')",
    "describe-a-file": "DESCRIBE SELECT * FROM '{secret}'",
    "duckdb-secrets": "SELECT * FROM duckdb_secrets()",
    "no-unicode": "SELECT '\ud800'",
    "nothing": "-- nothing",
}
EMPTY = {
    "sealed-with-dots": "SELECT * FROM read_text('sealed://../secret.csv')",
    "sealed-and-an-absolute-path": "SELECT * FROM read_text('sealed://{secret}')",
    "sealed-star": "SELECT * FROM read_text('sealed://*') WHERE content LIKE '%k4n4ry%'",
    "glob-within": "SELECT * FROM glob('sealed://**')",
}
HARMLESS = {
    "select": "SELECT count(*) FROM answers",
    "explain": "EXPLAIN SELECT 1",
    "pivot": "PIVOT answers ON question_id USING count(*)",
}
PIECES = [
    "SELECT ", "FROM ", "* ", "1 ", "count(*) ", "answers ", "failures ", "WHERE ", "AND ", "JOIN ", "UNION ALL ", ", ",
    "(", ") ", "; ", "-- ", "/* ", "*/ ", "'", '"', "$$", "$x$", "\n", "WITH s AS (", "EXPLAIN ", "EXPLAIN ANALYZE ",
    "COPY (SELECT 1) TO ", "'{folder}/out.csv' ", "'{secret}' ", "read_csv('{secret}') ", "read_text('{secret}') ",
    "read_blob('/proc/self/environ') ", "read_parquet('{output}/**') ", "glob('{folder}/*') ",
    "ATTACH '{folder}/o.db' ",
    "INSTALL httpfs ", "LOAD httpfs ", "SET ", "PRAGMA ", "CALL ", "CREATE TABLE t AS ", "INSERT INTO answers ",
    "EXPORT DATABASE '{folder}/o' ", "query('FROM read_csv(''{secret}'')') ", "PIVOT ", "SUMMARIZE ", "DESCRIBE ",
    "VALUES (1) ", "LIMIT 1 ", "enable_external_access = true ", "sealed://", "AS x ", "getenv('CANARY_VARIABLE') ",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An output, a secret beside it, and a folder to work in."""
    folder = tmp_path_factory.mktemp("sql")
    write_output(str(folder / "index"))
    (folder / "secret.csv").write_text(f"a,b\n{CANARY},2\n")
    (folder / "work").mkdir()
    before = os.getcwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_VARIABLE", CANARY)
        patch.chdir(folder / "work")
        yield folder
    assert os.getcwd() == before


@pytest.mark.parametrize("name", ATTACKS)
def test_sql_that_leaves_the_output_is_refused(name: str, home: Path) -> None:
    with unchanged(home), pytest.raises(QueryError) as caught:
        query(str(home / "index"), {}, filled(ATTACKS[name], home))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("name", EMPTY)
def test_names_that_are_none_of_the_output_lead_to_no_rows(name: str, home: Path) -> None:
    with unchanged(home):
        assert query(str(home / "index"), {}, filled(EMPTY[name], home)).num_rows == 0


@pytest.mark.parametrize("name", HARMLESS)
def test_sql_that_reads_the_output_is_let_through(name: str, home: Path) -> None:
    with unchanged(home):
        assert query(str(home / "index"), {}, filled(HARMLESS[name], home)).num_rows >= 1


@given(sql=st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), min_size=1, max_size=10).map("".join))
@example(sql="EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv' ")
@example(sql="SELECT * FROM read_text('{secret}') ")
@fuzzed(60)
def test_any_sql_reads_the_output_alone_and_writes_nothing(sql: str, home: Path) -> None:
    with unchanged(home):
        try:
            rows = query(str(home / "index"), {}, filled(sql, home))
        except FramegateError as error:
            check_sentence(error)
            return
    assert CANARY not in str(rows.to_pylist())


def check_sentence(error: Exception) -> None:
    assert str(error)
    assert f"{CANARY},2" not in str(error)


class unchanged:
    """Within it no file below a folder is made, written or removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before = self._files()

    def __exit__(self, *_: object) -> None:
        assert self._files() == self._before

    def _files(self) -> dict[str, tuple[int, int]]:
        found = (path for path in self._folder.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def filled(sql: str, home: Path) -> str:
    for name, path in (("secret", home / "secret.csv"), ("folder", home / "work"), ("output", home / "index")):
        sql = sql.replace(f"{{{name}}}", str(path))
    return sql
