"""`framegate status` prints what `results.status` reads, and fails in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.status import read_status
from framegate.schemas.clock import now
from framegate.schemas.config import OutputConfig
from tests.run_records import put_run

NIGHT = "2026-01-09T01:00:00+00:00"

Framegate = Callable[..., Result]


def test_it_is_printed_and_written_as_json(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    result = framegate("status", output, "--runs", "2", "--json", str(tmp_path / "status.json"))
    assert result.exit_code == 0
    for shown in ("a" * 16, "not_video", "run-2", "0.5", "dead"):
        assert shown in result.stdout
    assert "run-1" not in result.stdout
    written = json.loads((tmp_path / "status.json").read_text())
    assert written["rows"] == read_status(OutputConfig(uri=output), max_attempts=3, num_runs=2)
    assert (written["command"], written["header"]["run_id"], written["header"]["state"]) == ("status", "run-3", "dead")
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


def test_alarms_of_drift_are_said_and_those_of_an_earlier_run_with_its_name(
    framegate: Framegate, output: str, tmp_path: Path
) -> None:
    row = {
        "question_id": "door", "input": "camera", "value": "north", "measure": "think", "detail": None, "before": 0.1,
        "now": 0.6, "low": 0.2, "high": 0.7, "delta": 1e-6, "num_videos_before": 90, "num_videos": 12,
        "num_nights_before": 9, "num_nights": 1, "alarm": True,
    }  # fmt: skip
    alarms = [{**row, "value": f"camera {number}"} for number in range(9)]
    fields = {"state": "complete", "config_id": "a" * 16, "started_at": "2027-01-01T01:00:00+00:00"}
    put_run(Output.at(output), "run-7", **fields, drift=[*alarms, {**row, "alarm": False}], drift_look=4)
    told = tmp_path / "status.json"
    result = framegate("status", output, "--json", str(told))
    assert "drift: 9 alarms\n" in result.stdout
    assert "drift: door at camera=camera 7: rows that the gate is unsure of" in result.stdout
    assert "camera 8" not in result.stdout
    assert "drift: and 1 more" in result.stdout
    header = json.loads(told.read_text())["header"]
    assert (header["drift_run_id"], len(header["drift"]), header["drift"][0]) == ("run-7", 9, alarms[0])

    later = {**fields, "started_at": "2027-01-02T01:00:00+00:00"}
    put_run(Output.at(output), "run-8", **later, drift=None, drift_look=None)
    assert "drift: 9 alarms of run run-7\n" in framegate("status", output).stdout
    put_run(Output.at(output), "run-9", **{**later, "started_at": "2027-01-03T01:00:00+00:00"}, drift=[], drift_look=5)
    assert "drift:" not in framegate("status", output).stdout


def test_records_of_earlier_versions_say_nothing_of_drift(framegate: Framegate, output: str, tmp_path: Path) -> None:
    told = tmp_path / "status.json"
    assert "drift:" not in framegate("status", output, "--json", str(told)).stdout
    header = json.loads(told.read_text())["header"]
    assert (header["drift_run_id"], header["drift"]) == (None, None)


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


def test_the_last_run_comes_first_in_one_line_with_what_is_left_of_it(framegate: Framegate, output: str) -> None:
    lines = framegate("status", output).stdout.splitlines()
    assert lines[0].startswith("run run-3 is dead: it left no record of its end")
    assert lines[1] == "left: 3 videos; waiting for a seal: 1 units"
    assert lines[2] == "answers: 8, of them unparsed: 1 (12.5%)"
    assert lines[3] == "failures that stand: 3: not_video 2, truncated 1"


def test_a_start_that_failed_is_the_last_run_although_it_has_no_config_id(framegate: Framegate, output: str) -> None:
    put_run(Output.at(output), "run-4", state="failed", started_at=NIGHT, stop_reason="no such model", ended_at=NIGHT)
    result = framegate("status", output)
    assert "run run-4 failed at 2026-01-09 01:00 UTC" in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[0].endswith(": no such model")


def test_a_check_says_by_its_exit_code_whether_the_night_was_good(
    framegate: Framegate, output: str, tmp_path: Path
) -> None:
    result = framegate("status", output, "--check", "--json", str(tmp_path / "check.json"))
    assert result.exit_code == 1
    assert result.stdout.startswith("not ok: run run-3 is dead")
    document = json.loads((tmp_path / "check.json").read_text())
    assert (document["header"]["is_ok"], len(document["rows"])) == (False, 1)

    books = {"num_videos_answered": 97, "num_videos_failed": 3, "num_videos_left": 0, "counts": {"num_answers": 10}}
    at = now().isoformat()
    put_run(Output.at(output), "run-4", state="complete", started_at=at, ended_at=at, **books)
    assert framegate("status", output, "--check", "--max-age", "26h", "--max-failed", "3%").exit_code == 0
    result = framegate("status", output, "--check", "--max-failed", "2.5%", "--json", str(tmp_path / "check.json"))
    assert (result.exit_code, result.stdout) == (
        1, "not ok: 3 of 100 videos failed (3.0%) in run run-4; --max-failed allows 2.5%\n",
    )  # fmt: skip
    assert framegate("status", str(tmp_path / "nowhere"), "--check").exit_code == 2


def test_a_check_of_a_job_file_is_about_its_own_runs(framegate: Framegate, output: str, tmp_path: Path) -> None:
    job = tmp_path / "mine.yaml"
    job.write_text(
        f"input: {{videos: videos/}}\nmodel: {{name: ./model}}\noutput: {{uri: {output}}}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
    )
    at = now().isoformat()
    put_run(Output.at(output), "run-4", state="complete", job="mine.yaml", started_at=at, ended_at=at)
    put_run(Output.at(output), "run-5", state="failed", job="other.yaml", started_at=at, ended_at=at)
    assert framegate("status", str(job), "--check").exit_code == 0
    assert framegate("status", output, "--check").exit_code == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-age", "26h"), "--max-age is a limit of --check: give --check too"),
        (("--check", "--max-age", "a day"), "--max-age a day: give a length of time such as 30s, 90m, 26h or 2d"),
        (("--check", "--max-failed", "101%"), "--max-failed 101%: give a share from 0% to 100%"),
        (("--check", "--max-unparsed", "nan"), "--max-unparsed nan: give a share from 0% to 100%"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    framegate: Framegate, output: str, options: tuple[str, ...], said: str
) -> None:
    result = framegate("status", output, *options)
    assert result.exit_code == 2
    assert said in result.stderr
