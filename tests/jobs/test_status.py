"""`framegate status` prints what `results.status` reads, and fails in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from framegate.pipelines.results.status import read_status
from framegate.schemas.config import OutputConfig

Framegate = Callable[..., Result]


def test_it_is_printed_and_written_as_json(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    result = framegate("status", output, "--runs", "2", "--json", str(tmp_path / "status.json"))
    assert result.exit_code == 0
    for shown in ("a" * 16, "not_video", "run-2", "0.5", "dead"):
        assert shown in result.stdout
    assert "run-1" not in result.stdout
    assert json.loads((tmp_path / "status.json").read_text()) == {
        "command": "status",
        "rows": read_status(OutputConfig(uri=output), max_attempts=3, num_runs=2),
    }
    assert {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")} == before


def test_a_job_file_stands_for_its_output_and_says_how_often_is_tried(
    framegate: Framegate, output: str, fill_failures: Callable, tmp_path: Path
) -> None:
    fill_failures(output, number=9, reason="storage", attempts=2)
    job = tmp_path / "job.yaml"
    for max_attempts, num_retried in ((2, 0), (3, 1)):
        job.write_text(
            f"input: {{videos: videos/}}\nmodel: {{name: ./model}}\noutput: {{uri: index}}\n"
            f"failures: {{max_attempts: {max_attempts}}}\n"
            "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
        )
        assert framegate("status", str(job), "--json", str(tmp_path / "status.json")).exit_code == 0
        (row,) = json.loads((tmp_path / "status.json").read_text())["rows"]
        assert {failure["reason"]: failure["num_retried"] for failure in row["failures"]}["storage"] == num_retried


def test_erased_videos_are_counted_without_a_name(framegate: Framegate, output: str) -> None:
    Path(output, "tombstones").mkdir()
    for number in range(2):
        Path(output, "tombstones", f"{number:032x}.json").write_text("{}")
    assert read_status(OutputConfig(uri=output), max_attempts=3, num_runs=2)[0]["num_videos_erased"] == 2
    assert "2 videos were erased" in framegate("status", output).stdout


def test_an_output_that_is_there_and_empty_says_so(framegate: Framegate, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    assert "holds nothing yet" in framegate("status", str(tmp_path / "index")).stdout


def test_a_missing_output_is_said_in_one_sentence(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("status", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no output at ")


def test_a_damaged_run_record_is_named(framegate: Framegate, output: str) -> None:
    Path(output, "runs", "run-3.json").write_text("{half")
    result = framegate("status", output)
    assert result.exit_code == 2
    assert "run-3.json is no run record" in result.stderr
