"""A run tells how far it is and how it ended, and its exit code says what a scheduler must know."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import Result

from framegate.jobs.progress import ProgressDisplay, Shown, describe, duration
from framegate.jobs.run import run_job
from framegate.jobs.run_end import EXIT_INCOMPLETE
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.config import Cost
from framegate.schemas.counts import Counts
from framegate.schemas.errors import EngineError
from framegate.schemas.job import load_job
from framegate.schemas.run import Pace, Phase, Progress

Framegate = Callable[..., Result]
engine = functools.partial(ScriptedEngine)


@pytest.fixture
def write_job(tmp_path: Path, model_folder: Path, make_video: Callable[..., Path]) -> Callable[..., Path]:
    """`write_job(input=...)`: a job over three videos of 4 s in 2 s clips, and a text file named like one."""

    def write(**parts: object) -> Path:
        for number in range(3):
            make_video(tmp_path / "videos" / f"{number}.mp4", shade=40 * number)
        (tmp_path / "videos" / "notes.mp4").write_text("not a video")
        values = {
            "input": {"videos": "videos/"},
            "clips": {"seconds": 2},
            "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
            "questions": [
                {"id": "anyone", "text": "Is anyone there", "type": "yes_no"},
                {"id": "colour", "text": "Which colour is it", "type": "choice", "options": ["red", "blue"]},
            ],
            "model": {"name": str(model_folder)},
            "output": {"uri": "index"},
            "ray": {"decode_workers": 1},
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump({**values, **parts}))
        return path

    return write


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_answers_everything_and_a_second_one_has_nothing_to_do(
    write_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], framegate: Framegate
) -> None:
    path = write_job()
    job = load_job(path)
    plan = framegate("plan", str(path), "--json", str(tmp_path / "plan.json"))
    assert plan.exit_code == 0, plan.output
    (planned,) = json.loads((tmp_path / "plan.json").read_text())["rows"]
    assert not (tmp_path / "index").exists()
    assert (planned["num_videos"], planned["num_planned"], planned["num_unreadable"]) == (4, 4, 1)
    assert (planned["estimated_clips"], planned["estimated_rows"]) == (6, 12)
    assert planned["estimated_video_tokens"] == 6 * 4

    assert run_job(job, name="job.yaml", json_file=tmp_path / "run.json", engine_factory=engine) == 0
    printed = capsys.readouterr().out
    assert "not_video" in printed
    assert "framegate query" in printed
    (row,) = json.loads((tmp_path / "run.json").read_text())["rows"]
    assert (row["num_clips"], row["num_answers"], row["num_failures"]) == (6, 12, 1)
    assert (row["num_videos_answered"], row["num_videos_failed"], row["num_videos_left"]) == (3, 1, 0)
    assert row["config_id"] == planned["config_id"]

    assert run_job(job, name="job.yaml", json_file=tmp_path / "run.json", engine_factory=engine) == 0
    (again,) = json.loads((tmp_path / "run.json").read_text())["rows"]
    assert (again["num_videos_skipped"], again["num_answers"], again["num_clips"]) == (4, 0, 0)
    sql = "SELECT count(*) AS rows, count(DISTINCT (video_id, clip_index, question_hash)) AS keys FROM answers"
    document = json.loads(framegate("query", sql, "--job", str(path), "-f", "json").stdout)
    assert document["rows"] == [{"rows": 12, "keys": 12}]
    framegate("plan", str(path), "--json", str(tmp_path / "plan.json"))
    assert json.loads((tmp_path / "plan.json").read_text())["rows"][0]["num_planned"] == 0


@pytest.mark.usefixtures("ray_cluster")
def test_a_limit_leaves_the_rest_for_the_next_run(write_job: Callable[..., Path], tmp_path: Path) -> None:
    job = load_job(write_job())
    figures = []
    for _ in range(2):
        assert run_job(job, name="job.yaml", limit=2, json_file=tmp_path / "run.json", engine_factory=engine) == 0
        (row,) = json.loads((tmp_path / "run.json").read_text())["rows"]
        figures.append((row["num_videos_answered"] + row["num_videos_failed"], row["num_videos_skipped"]))
    assert figures == [(2, 0), (2, 2)]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as on a terminal: a shell starts its background jobs, such as a test run, with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ray_cluster", "interruptible")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_says_so_keeps_what_it_has_and_goes_on_later(
    signal_number: int,
    write_job: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent: list[int] = []

    class StopsAfterOneUnit(ProgressDisplay):
        def update(self, progress: Progress) -> None:
            super().update(progress)
            if not sent:
                sent.append(signal_number)
                os.kill(os.getpid(), signal_number)

    job = load_job(write_job())
    display = StopsAfterOneUnit(Console())
    assert run_job(job, name="job.yaml", engine_factory=engine, display=display) == 128 + signal_number
    assert signal.getsignal(signal_number) is not signal.SIG_IGN
    assert "run 'framegate run job.yaml' again to go on" in capsys.readouterr().out
    assert run_job(job, name="job.yaml", json_file=tmp_path / "run.json", engine_factory=engine) == 0
    (row,) = json.loads((tmp_path / "run.json").read_text())["rows"]
    assert row["is_complete"]
    assert row["num_videos_answered"] + row["num_videos_failed"] + row["num_videos_skipped"] == 4


def test_a_plan_counts_what_each_question_may_write(
    write_job: Callable[..., Path], tmp_path: Path, framegate: Framegate
) -> None:
    questions = [{"id": "never", "text": "Is it?", "think": "never"}, {"id": "auto", "text": "What is it?"}]
    for strategy, num_auto in (("gated", 10 + 100 + len("</think>\\boxed{") + 10), ("direct", 10)):
        gate = {"strategy": strategy, "max_answer_tokens": 10, "max_thinking_tokens": 100}
        path = write_job(questions=questions, gate=gate)
        plan = framegate("plan", str(path), "--json", str(tmp_path / "plan.json"))
        assert plan.exit_code == 0, plan.output
        (planned,) = json.loads((tmp_path / "plan.json").read_text())["rows"]
        assert (planned["estimated_clips"], planned["max_generated_tokens"]) == (6, 6 * (10 + num_auto))


@pytest.mark.usefixtures("ray_cluster")
def test_the_json_file_tells_of_the_run_from_its_start_to_its_end(
    write_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "run.json", []
    replace = os.replace

    def replaced(source: str | Path, target: str | Path) -> None:
        replace(source, target)
        if target == path:
            seen.append(json.loads(path.read_text())["rows"][0])

    monkeypatch.setattr("framegate.jobs.printing.os.replace", replaced)
    job = load_job(write_job())
    assert run_job(job, name="job.yaml", json_file=path, engine_factory=engine) == 0
    assert list(dict.fromkeys(row["state"] for row in seen)) == ["starting", "running", "complete"]
    assert (seen[0]["phase"], seen[0]["job"], seen[0]["pid"]) == ("starting", "job.yaml", os.getpid())
    assert (seen[-1]["state"], seen[-1]["num_answers"], seen[-1]["is_complete"]) == ("complete", 12, True)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []

    with pytest.raises(EngineError):
        run_job(load_job(write_job(model={"name": "./no-such-model"})), name="job.yaml", json_file=path)
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["state"], "no-such-model" in row["stop_reason"]) == ("failed", True)


def test_the_json_file_tells_of_a_run_that_could_not_even_store_a_record(
    write_job: Callable[..., Path], framegate: Framegate, tmp_path: Path
) -> None:
    path = write_job(output={"uri": "/proc/nowhere/index"})
    assert framegate("run", str(path), "--json", str(tmp_path / "run.json")).exit_code == 2
    (row,) = json.loads((tmp_path / "run.json").read_text())["rows"]
    assert (row["state"], row["stop_code"]) == ("failed", "error")
    assert "/proc/nowhere/index" in row["stop_reason"]


def _broken_engine() -> ScriptedEngine:
    raise EngineError("the model cannot be loaded: its weights are half")


@pytest.mark.usefixtures("ray_cluster")
def test_a_model_that_cannot_be_loaded_ends_the_run_before_any_row(
    write_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_job(load_job(write_job()), name="job.yaml", engine_factory=_broken_engine) == EXIT_INCOMPLETE
    assert "its weights are half; run 'framegate run job.yaml' again" in capsys.readouterr().err
    assert not (tmp_path / "index" / "results").exists()
    assert not list((tmp_path / "index" / "attempts").rglob("*-*"))


REFUSALS = [
    ({"input": {"videos": "nowhere/"}}, "nowhere"),
    ({"input": {"videos": "videos/*.mkv"}}, "*.mkv"),
    ({"questions": "bank.yaml"}, "bank.yaml does not exist"),
    ({"questions": [{"id": "q", "text": "What", "type": "colour"}]}, "type must be one of"),
    ({"model": {"name": "./no-such-model"}}, "no-such-model"),
    ({"frames": {"fbs": 2}}, "did you mean frames.fps"),
    ({"frames": {"decoder": "opencv"}}, "decoder"),
]
UNWRITABLE = ({"output": {"uri": "/proc/nowhere/index"}}, "/proc/nowhere/index")


@pytest.mark.parametrize(
    ("command", "parts", "said"),
    [("run", *UNWRITABLE), *((command, *refusal) for command in ("run", "plan") for refusal in REFUSALS)],
)
def test_what_cannot_work_is_refused_in_one_sentence_before_any_work(
    command: str, parts: dict, said: str, write_job: Callable[..., Path], framegate: Framegate, tmp_path: Path
) -> None:
    result = framegate(command, str(write_job(**parts)))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "index" / "results").exists()


def test_a_missing_bucket_is_refused_before_any_work(
    s3_endpoint: str, write_job: Callable[..., Path], framegate: Framegate
) -> None:
    for parts in ({"input": {"videos": "s3://no-such-bucket/*.mp4"}}, {"output": {"uri": "s3://no-such-bucket/x"}}):
        result = framegate("run", str(write_job(**parts)))
        assert result.exit_code == 2, result.output
        assert "no-such-bucket" in result.stderr


def test_a_missing_job_file_is_refused(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("run", str(tmp_path / "job.yaml"))
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_progress_says_videos_clips_rows_rate_think_rate_and_time_left() -> None:
    counts = Counts(num_clips=12, num_answers=48, num_unparsed=3, num_failures=2, num_thinking=15)
    pace = Pace(num_rows=25, seconds=10, num_rows_left=450)
    progress = Progress(num_videos_planned=40, num_videos_begun=4, counts=counts, elapsed_seconds=20, pace=pace)
    how_well = "clips 12  rows 50  2.5 rows/s  think 31%  failed 2  unparsed 3"
    assert describe(Shown(progress, 180, Cost(amount=1234.5, currency="EUR"))) == (
        f"videos 4/40  ETA 3 min  cost 1,234.50 EUR  {how_well}"
    )
    assert describe(Shown(progress)) == f"videos 4/40  ETA -  {how_well}"
    assert describe(Shown(progress.at(pace=None, counts=Counts(num_unparsed=None)))) == (
        "videos 4/40  ETA -  clips 0  rows 0  - rows/s  think 0%  failed 0  unparsed -"
    )


def test_the_cost_so_far_is_told_before_there_is_a_row() -> None:
    loading = Progress(phase=Phase.LOADING, num_videos_planned=3, elapsed_seconds=60)
    assert describe(Shown(loading, cost=Cost(amount=0.04, currency="USD", is_least=True))) == (
        "loading, 60 s: starting workers and loading the model, cost at least 0.04 USD"
    )


@pytest.mark.parametrize(("seconds", "said"), [(None, "-"), (0, "0 s"), (89, "89 s"), (120, "2 min"), (9000, "2.5 h")])
def test_time_is_said_in_its_fitting_unit(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def _progress(num_videos_begun: int) -> Progress:
    counts = Counts(num_clips=3, num_answers=6)
    return Progress(num_videos_planned=4, num_videos_begun=num_videos_begun, counts=counts, elapsed_seconds=2)


def test_a_terminal_shows_two_live_lines_of_at_most_80_columns() -> None:
    screen = io.StringIO()
    counts = Counts(num_clips=123_456, num_answers=987_648, num_unparsed=1234, num_failures=567, num_thinking=400_000)
    pace = Pace(num_rows=24_000, seconds=900, num_rows_left=240_000)
    progress = Progress(
        num_videos_planned=3000, num_videos_begun=2100, counts=counts, elapsed_seconds=30_000, pace=pace
    )
    price = lambda seconds: Cost(amount=seconds / 3600 * 20, currency="EUR")  # noqa: E731
    with ProgressDisplay(Console(file=screen, force_terminal=True, width=80), price=price) as display:
        assert not display.has_begun
        display.update(progress)
        assert display.has_begun
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).splitlines()]
    assert any(re.search(r"━+ *  videos 2,100/3,000  ETA 2.5 h  cost 166.67 EUR$", line) for line in lines), lines
    assert "clips 123,456  rows 988,215  26.7 rows/s  think 41%  failed 567  unparsed 1,234" in lines


def test_a_log_is_not_flooded() -> None:
    log = io.StringIO()
    with ProgressDisplay(Console(file=log, force_terminal=False, width=120)) as display:
        for number in range(1, 4):
            display.update(_progress(number))
    assert log.getvalue() == ""
