"""`framegate deepen` as a person types it: what it would do, what it did, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from framegate.jobs.deepen_work import deepen_job
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.pipelines.results.deepenable import Chosen
from framegate.schemas.job import load_job

Framegate = Callable[..., Result]


def make_engine() -> ScriptedEngine:
    # Defined in here, so that it travels to Ray's workers by value: they cannot import a test's modules.
    def script(ask: Ask) -> Sequence[Written]:
        content = "yes" if ask.question.type == "yes_no" else "3"
        confidence = 0.98 if ask.clip.start_seconds else 0.999
        thought: list[Written] = [("<think>", 0.0), ("hm", 0.0), ("</think>", 0.0)]
        first: list[Written] = [("\\boxed{", 0.0), (content, math.log(confidence)), ("}", 0.0)]
        return [*first, *thought, ("\\boxed{", 0.0), ("no", -0.1), ("}", 0.0)]

    return ScriptedEngine(script)


@pytest.fixture
def job_file(tmp_path: Path, model_folder: Path, make_video: Callable[..., Path]) -> Path:
    """Two videos of two clips, three questions, all answered and let go."""
    for number in range(2):
        make_video(tmp_path / "videos" / f"{number}.mp4", seconds=4, shade=40 * number)
    job: dict[str, Any] = {
        "input": {"videos": "videos/"},
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": [
            {"id": "red", "text": "Is it red?", "type": "yes_no"},
            {"id": "count", "text": "How many?", "type": "number"},
            {"id": "lit", "text": "Is it lit?", "type": "yes_no", "think": "never"},
        ],
        "model": {"name": str(model_folder)},
        "output": {"uri": "index"},
        "gate": {"threshold": 0.9},
        "ray": {"decode_workers": 1},
        "decode": {"sandbox": False},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    flow.run(load_job(path), engine_factory=make_engine, in_process=True)
    return path


def dry(framegate: Framegate, job_file: Path, *options: str) -> dict[str, Any]:
    told = job_file.parent / "plan.json"
    result = framegate("deepen", str(job_file), "--dry-run", "--json", str(told), *options)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(told.read_text())["rows"]
    for name, value in row.items():
        assert name in result.stdout
        assert value is None or name == "config_id" or f"{value:,}" in result.stdout
    return row


def test_a_dry_run_says_what_would_be_done_and_does_nothing(framegate: Framegate, job_file: Path) -> None:
    before = {path: path.read_bytes() for path in (job_file.parent / "index").rglob("*") if path.is_file()}
    row = dry(framegate, job_file, "--threshold", "0.99")
    assert (row["num_rows"], row["num_clips"], row["num_videos"], row["num_without_tokens"]) == (4, 2, 2, 0)
    assert (row["expected_thinking_tokens"], row["max_thinking_tokens"], row["num_audited"]) == (None, 4 * 1024, 0)
    everything = dry(framegate, job_file, "--where", "true")
    assert (everything["num_rows"], everything["num_never"], everything["num_gone"]) == (8, 4, 0)
    assert dry(framegate, job_file, "--question", "red", "--question", "count", "--limit", "1")["num_rows"] == 4
    assert dry(framegate, job_file)["num_rows"] == 0, "the threshold is the job's own"
    after = {path: path.read_bytes() for path in (job_file.parent / "index").rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--threshold", "2"), "less than or equal to 1"),
        (("--where", "camera ="), "--where 'camera =' is no condition in SQL"),
        (("--where", "no_such_column = 1"), "no_such_column"),
        (("--question", "doors"), "--question doors: no answer here is of a question with that id"),
        (("--until", "06:00", "--for", "2h"), "give one of them"),
    ],
)
def test_what_cannot_be_is_refused(
    framegate: Framegate, job_file: Path, options: tuple[str, ...], sentence: str
) -> None:
    result = framegate("deepen", str(job_file), "--dry-run", *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())


def test_an_output_without_answers_is_refused(framegate: Framegate, job_file: Path) -> None:
    job = yaml.safe_load(job_file.read_text())
    job_file.write_text(yaml.safe_dump({**job, "output": {"uri": "elsewhere"}}))
    result = framegate("deepen", str(job_file), "--dry-run", "--threshold", "0.99")
    assert result.exit_code == 2


@pytest.mark.usefixtures("ray_cluster")
def test_it_says_what_it_did_and_status_shows_it(
    framegate: Framegate, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = job_file.parent / "deepen.json"
    how = {"threshold": 0.99, "name": "job.yaml", "json_file": told, "engine_factory": make_engine}
    assert deepen_job(load_job(job_file), Chosen(), **how) == 0
    printed = capsys.readouterr().out
    assert "rows deepened" in printed
    document = json.loads(told.read_text())
    assert document["command"] == "deepen"
    (row,) = document["rows"]
    assert (row["command"], row["num_deepened"], row["num_videos_answered"], row["num_videos_left"]) == (
        "deepen", 4, 2, 0,
    )  # fmt: skip
    assert row["num_deepened_tokens"] == 4 * 6
    assert dry(framegate, job_file, "--threshold", "0.99")["num_rows"] == 0
    assert dry(framegate, job_file, "--where", "true")["expected_thinking_tokens"] == 4 * 6
    shown = framegate("status", str(job_file)).stdout
    assert f"deepening {row['run_id']} is complete" in shown
    assert "4 rows deepened" in shown
    sql = "SELECT question_id, answer, answer_first FROM current WHERE deepened_run_id IS NOT NULL ORDER BY ALL"
    answers = json.loads(framegate("query", sql, "--job", str(job_file), "-f", "json").stdout)["rows"]
    assert {(one["question_id"], one["answer"]) for one in answers} == {("red", "no"), ("count", "3")}
