"""Status says what an output holds, whether or not anything is sealed, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

from framegate.jobs.status import read_status
from framegate.jobs.target import find_target

Framegate = Callable[..., Result]

NO_COUNTS = dict.fromkeys(
    ("num_videos", "num_clips", "num_answers", "elapsed_seconds", "clips_per_second", "think_rate",
     "num_answer_tokens", "num_thinking_tokens")
)  # fmt: skip
EXPECTED: dict[str, Any] = {
    "config_id": "a" * 16,
    "model": "dock",
    "strategy": "gated",
    "num_videos": 2,
    "num_videos_left": 3,
    "num_clips": 4,
    "num_questions": 2,
    "num_answers": 8,
    "num_unparsed": 0,
    "think_rate": 0.5,
    "num_answer_tokens": 24,
    "num_thinking_tokens": 160,
    "num_failures": 3,
    "failures": [
        {"reason": "not_video", "num_failures": 2, "num_retried": 0, "num_given_up": 2},
        {"reason": "truncated", "num_failures": 1, "num_retried": 0, "num_given_up": 1},
    ],
    "num_units_not_sealed": 1,
    "num_videos_not_sealed": 1,
    "num_open_attempts": 1,
    "num_videos_erased": 0,
    "num_runs": 3,
    "runs": [
        {"run_id": "run-3", "started_at": "2026-01-03T00:00:00+00:00", "state": "killed or running", **NO_COUNTS},
        {
            "run_id": "run-2",
            "started_at": "2026-01-02T00:00:00+00:00",
            "state": "finished",
            "num_videos": 5,
            "num_clips": 4,
            "num_answers": 8,
            "elapsed_seconds": 12.5,
            "clips_per_second": 0.32,
            "think_rate": 0.5,
            "num_answer_tokens": 24,
            "num_thinking_tokens": 160,
        },
    ],
}


def read(output: str, *, max_attempts: int = 3, num_runs: int = 2) -> list[dict[str, Any]]:
    return read_status(find_target(output), max_attempts=max_attempts, num_runs=num_runs)


def remove(output: str, *folders: str) -> None:
    for folder in folders:
        for path in Path(output, folder).rglob("*"):
            if path.is_file():
                path.unlink()


def test_every_figure_of_an_output(output: str) -> None:
    assert read(output) == [EXPECTED]


def test_the_same_on_s3(s3_root: str, fill_output: Callable) -> None:
    fill_output(s3_root)
    assert read(s3_root) == [EXPECTED]


def test_it_is_printed_and_written_as_json(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    result = framegate("status", output, "--runs", "2", "--json", str(tmp_path / "status.json"))
    assert result.exit_code == 0
    for shown in ("a" * 16, "not_video", "run-2", "0.5", "killed or running"):
        assert shown in result.stdout
    assert "run-1" not in result.stdout
    assert json.loads((tmp_path / "status.json").read_text()) == {"command": "status", "rows": [EXPECTED]}
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


def test_the_states_of_runs(framegate: Framegate, output: str) -> None:
    Path(output, "runs", "run-4.json").write_text(
        json.dumps({"config_id": "a" * 16, "started_at": "2026-01-04", "is_complete": False, "is_stopped": False})
    )
    (row,) = read(output, num_runs=4)
    assert [run["state"] for run in row["runs"]] == ["incomplete", "killed or running", "finished", "stopped"]
    assert read(output, num_runs=0)[0]["runs"] == []


def test_a_run_that_has_only_begun_is_seen_in_the_journal(output: str) -> None:
    remove(output, "results", "failures", "configs")
    for number in (1, 2):
        Path(output, "runs", f"run-{number}.json").unlink()
        Path(output, "runs", f"run-{number}.begun.json").unlink()
    (row,) = read(output)
    assert (row["num_answers"], row["num_units_not_sealed"], row["think_rate"]) == (0, 1, None)
    assert (row["num_videos_left"], [run["state"] for run in row["runs"]]) == (3, ["killed or running"])


def test_a_run_that_was_killed_before_it_had_a_plan_has_all_its_videos_left(output: str) -> None:
    Path(output, "plans", "run-3.parquet").unlink()
    assert read(output)[0]["num_videos_left"] == 3


def test_a_video_is_left_of_a_killed_run_until_all_of_it_is_answered_or_failed(
    output: str, fill_unit: Callable
) -> None:
    assert read(output)[0]["num_videos_left"] == 3  # one of them has an answer to its first clip alone
    fill_unit(output, number=6, clip_index=0, question_hash="2" * 16)
    assert read(output)[0]["num_videos_left"] == 3
    for question_hash in ("1" * 16, "2" * 16):
        fill_unit(output, number=6, clip_index=1, clip_is_last=True, question_hash=question_hash)
    assert read(output)[0]["num_videos_left"] == 2


def test_the_videos_left_of_a_run_that_ended_are_its_own(output: str) -> None:
    Path(output, "runs", "run-3.json").write_text(
        json.dumps({"config_id": "a" * 16, "num_videos_left": 7, "is_stopped": True, "started_at": "2026-01-03"})
    )
    assert read(output)[0]["num_videos_left"] == 7


def test_erased_videos_are_counted_without_a_name(framegate: Framegate, output: str) -> None:
    Path(output, "tombstones").mkdir()
    for number in range(2):
        Path(output, "tombstones", f"{number:032x}.json").write_text("{}")
    assert read(output)[0]["num_videos_erased"] == 2
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
