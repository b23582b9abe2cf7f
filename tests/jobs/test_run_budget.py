"""A run under a budget or a deadline on Ray: what it prints, its records, its exit code, and the nights after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import yaml

from framegate.jobs.run import run_job
from framegate.jobs.run_end import EXIT_DEADLINE
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.clock import now
from framegate.schemas.job import Job, load_job
from framegate.schemas.run import Deadline
from tests.flow.deepening import findings, rows

THOUGHT = 7  # tokens of a thought and the second box
ROW_TOKENS = 8 + 64 + 16


def write(ask):
    """All are unsure; a thought is three words and a box. In here: Ray's workers cannot import a test's module."""
    import math

    content = "A" if ask.question.type == "choice" else "yes"
    box = [("\\boxed{", -0.01), (content, math.log(0.9)), ("}", -0.01)]
    return [*box, ("<think>", -0.1), ("let", -0.1), ("me see", -0.2), ("</think>", -0.1), *box]


@pytest.fixture
def make_job(tmp_path: Path, model_folder: Path, make_video: Callable[..., Path]) -> Callable[..., Job]:
    """Six videos of two clips with two questions: 24 rows, all of which think."""

    for number in range(6):
        make_video(tmp_path / "videos" / f"{number}.mp4", seconds=4, shade=20 * number)

    def make(name: str = "index", **gate: object) -> Job:
        values = {
            "input": {"videos": "videos/"},
            "clips": {"seconds": 2},
            "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
            "questions": [
                {"id": "anyone", "text": "Is anyone there", "type": "yes_no"},
                {"id": "colour", "text": "Which colour is it", "type": "choice", "options": ["red", "blue"]},
            ],
            "gate": {"threshold": 0.99, "max_answer_tokens": 8, "max_thinking_tokens": 64, **gate},
            "model": {"name": str(model_folder)},
            "output": {"uri": name},
            "ray": {"decode_workers": 1, "reason_actors": {"min": 2, "max": 2}},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return load_job(path)

    return make


def by_reason(job: Job) -> dict[str, int]:
    reasons = [row["gate_reason"] for row in rows(job)]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


@pytest.mark.usefixtures("ray_cluster")
def test_nights_with_a_budget_come_to_what_a_run_without_one_gives(
    make_job: Callable[..., Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = partial(ScriptedEngine, write)
    tokens = 6 * THOUGHT
    job = make_job(budget={"thinking_tokens": tokens})
    file = tmp_path / "run.json"
    assert run_job(job, name="job.yaml", json_file=file, engine_factory=engine) == 0
    printed = capsys.readouterr().out
    first, second = json.loads(file.read_text())["rows"]
    assert (first["state"], first["defers"], first["num_answers"]) == ("complete", True, 24)
    assert first["num_thinking"] == 0, "the most that a unit may write is more than the budget"
    assert (second["command"], second["state"], second["stop_code"]) == ("deepen", "stopped", "budget")
    assert tokens <= second["num_deepened_tokens"] < tokens + 4 * THOUGHT, "less than one unit more, with two actors"
    left = 24 - second["num_deepened"]
    assert by_reason(job) == {"deferred": left, "unsure": second["num_deepened"]}
    assert f"its budget of {tokens} thinking tokens is spent; {left} answers stay deferred;" in printed
    assert "the next 'framegate run job.yaml' takes them up" in printed

    nights = 1
    while "deferred" in by_reason(job) and nights < 5:
        assert run_job(job, name="job.yaml", json_file=file, engine_factory=engine) == 0
        nights += 1
    assert 2 < nights <= 4
    assert run_job(job, name="job.yaml", json_file=file, engine_factory=engine) == 0
    assert len(json.loads(file.read_text())["rows"]) == 1, "nothing is deferred, and nothing is begun"

    other = make_job("other")
    assert run_job(other, name="other.yaml", engine_factory=engine) == 0
    assert rows(job) == rows(other)
    assert findings(job) == {}


@pytest.mark.usefixtures("ray_cluster")
def test_a_budget_with_room_thinks_at_once_and_keeps_within_it(make_job: Callable[..., Job]) -> None:
    tokens = 8 * ROW_TOKENS
    job = make_job(budget={"thinking_tokens": tokens})
    assert run_job(job, name="job.yaml", engine_factory=partial(ScriptedEngine, write)) == 0
    assert by_reason(job) == {"unsure": 24}
    records = [*read_runs(Output.at(job.config.output.uri)).values()]
    thought = records[0]["counts"]["num_thinking"]
    assert thought > 0
    assert sum(record["counts"]["num_deepened"] for record in records[1:]) == 24 - thought
    assert findings(job) == {}


@pytest.mark.usefixtures("ray_cluster")
def test_a_deadline_without_time_leaves_videos_and_one_with_time_thinks(make_job: Callable[..., Job]) -> None:
    engine = partial(ScriptedEngine, write)
    job = make_job()
    soon = Deadline(at=now() + timedelta(seconds=1), said="--for 1s")
    assert run_job(job, name="job.yaml", engine_factory=engine, deadline=soon) == EXIT_DEADLINE
    later = Deadline(at=now() + timedelta(hours=1), said="--for 1h")
    assert run_job(job, name="job.yaml", engine_factory=engine, deadline=later) == 0
    assert by_reason(job) == {"unsure": 24}
