"""Status says what an output holds, whether or not anything is sealed, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from jobs.status import read_status

Framegate = Callable[..., Result]

EXPECTED = {
    "config_id": "a" * 16,
    "model": "dock",
    "strategy": "gated",
    "num_videos": 2,
    "num_clips": 4,
    "num_questions": 2,
    "num_answers": 8,
    "num_unparsed": 0,
    "think_rate": 0.5,
    "num_answer_tokens": 24,
    "num_thinking_tokens": 160,
    "num_failures": 3,
    "failures_by_reason": {"not_video": 2, "truncated": 1},
    "num_units_not_sealed": 1,
    "num_runs": 2,
    "last_run": {
        "run_id": "run-2",
        "started_at": "2026-01-02",
        "is_complete": True,
        "is_stopped": False,
        "num_videos_left": 0,
        "elapsed_seconds": 12.5,
    },
}


def test_every_figure_of_an_output(output: str) -> None:
    assert read_status(output, {}) == [EXPECTED]


def test_the_same_on_s3(s3_bucket: str, fill_output: Callable) -> None:
    fill_output(f"{s3_bucket}/index")
    assert read_status(f"{s3_bucket}/index", {}) == [EXPECTED]


def test_it_is_printed_and_written_as_json(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")}
    result = framegate("status", output, "--json", str(tmp_path / "status.json"))
    assert result.exit_code == 0
    for shown in ("a" * 16, "not_video", "run-2", "0.5"):
        assert shown in result.stdout
    assert json.loads((tmp_path / "status.json").read_text()) == {"command": "status", "rows": [EXPECTED]}
    assert {path: path.stat().st_mtime_ns for path in Path(output).rglob("*")} == before


def test_a_job_file_stands_for_its_output(framegate: Framegate, output: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "input: {videos: videos/}\nmodel: {name: ./model}\noutput: {uri: index}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
    )
    assert "run-2" in framegate("status", str(job)).stdout


def test_a_run_that_has_only_begun_is_seen_in_the_journal(output: str) -> None:
    for folder in ("results", "failures", "runs", "configs"):
        for path in Path(output, folder).rglob("*"):
            if path.is_file():
                path.unlink()
    (row,) = read_status(output, {})
    assert (row["num_answers"], row["num_units_not_sealed"], row["think_rate"], row["last_run"]) == (0, 1, None, None)


def test_a_missing_output_is_said_in_one_sentence(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("status", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no output at ")


def test_a_damaged_run_record_is_named(framegate: Framegate, output: str) -> None:
    Path(output, "runs", "run-3.json").write_text("{half")
    result = framegate("status", output)
    assert result.exit_code == 2
    assert "run-3.json is no run record" in result.stderr
