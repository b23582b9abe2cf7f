"""`framegate audit` tells a whole output from a damaged one by its exit code, in a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from framegate.pipelines.audit.report import CHECKS
from framegate.schemas.tables import RESULTS

Framegate = Callable[..., Result]


def test_a_whole_output_exits_with_0(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    result = framegate("audit", output, "--json", str(tmp_path / "audit.json"))
    assert result.exit_code == 0, result.stdout
    assert "nothing is wrong" in result.stdout
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document["command"] == "audit"
    assert [row["check"] for row in document["rows"]] == list(CHECKS)
    assert {row["num_findings"] for row in document["rows"]} == {0}
    assert document["rows"][0]["num_checked"] == 8
    assert {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")} == before


@pytest.mark.parametrize("quick", [[], ["--quick"]])
def test_a_finding_is_a_sentence_and_exits_with_1(
    framegate: Framegate, output: str, tmp_path: Path, quick: list[str]
) -> None:
    Path(output, "notes.txt").write_text("mine")
    result = framegate("audit", output, "--json", str(tmp_path / "audit.json"), *quick)
    assert result.exit_code == 1
    assert "strays: notes.txt (4 bytes) is no name that Framegate gives: move it elsewhere" in result.stdout
    assert "1 findings" in result.stdout
    (row,) = [row for row in json.loads((tmp_path / "audit.json").read_text())["rows"] if row["num_findings"]]
    assert (row["check"], row["num_findings"], len(row["findings"])) == ("strays", 1, 1)


def test_of_many_findings_some_are_told_and_all_counted(framegate: Framegate, output: str) -> None:
    for number in range(30):
        Path(output, f"odd-{number}").touch()
    shown = framegate("audit", output).stdout
    assert shown.count("is no name that Framegate gives") == 20
    assert "strays: 10 more like these" in shown


def test_quick_does_not_read_files_whole(framegate: Framegate, output: str) -> None:
    (path,) = Path(output, "results").rglob("*.parquet")
    column = RESULTS.get_field_index("question")  # a text, of no part in a key
    place = pq.read_metadata(path).row_group(0).column(column).data_page_offset + 40
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert framegate("audit", output, "--quick").exit_code == 0
    assert framegate("audit", output).exit_code == 1


@pytest.mark.parametrize("target", ["nowhere", "nowhere.yaml"])
def test_what_cannot_start_exits_with_2(framegate: Framegate, tmp_path: Path, target: str) -> None:
    result = framegate("audit", str(tmp_path / target))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_a_job_file_stands_for_its_output(framegate: Framegate, output: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        f"input: {{videos: videos/}}\nmodel: {{name: ./model}}\noutput: {{uri: {output}}}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
    )
    assert framegate("audit", str(job)).exit_code == 0
