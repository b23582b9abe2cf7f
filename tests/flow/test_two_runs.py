"""Two processes on one output: the second is refused or waits, shards share the work, and nothing is there twice."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app
from framegate.jobs.log import EXIT_ANOTHER_RUN
from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import AnotherRun
from framegate.schemas.job import Job
from framegate.schemas.keys import id_numbers
from framegate.schemas.run import RunSummary, Shard

# Says that it is at work after its first unit, and goes on when it is told to.
SCRIPT = """
import pickle, sys
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
job, shard = pickle.loads(open(sys.argv[1], "rb").read())
first = [True]
def wait(progress):
    if first:
        first.clear()
        print("at work", flush=True)
        sys.stdin.readline()
flow.run(job, engine_factory=ScriptedEngine, in_process=True, run_id="first", shard=shard, on_progress=wait)
"""


@contextmanager
def at_work(job: Job, tmp_path: Path, shard: Shard | None = None) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, which has committed a unit and waits for a line."""
    (tmp_path / "job.pickle").write_bytes(pickle.dumps((job, shard)))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "job.pickle")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "at work\n"
            yield process
        finally:
            process.kill()


def run(job: Job, **options: Any) -> RunSummary:
    return flow.run(job, **{"engine_factory": ScriptedEngine, "in_process": True, **options})


def num_answers(job: Job) -> tuple[int, int]:
    """Answers in the sealed tables, and how many keys they have."""
    sql = "SELECT count(*), count(DISTINCT (video_id, clip_index, question_hash)) FROM read_parquet(?)"
    found = duckdb.connect().execute(sql, [f"{job.config.output.uri}/results/**/*.parquet"]).fetchone()
    assert found is not None
    return found


def test_the_second_run_is_refused_and_names_the_first(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job()
    with at_work(job, tmp_path) as first:
        with pytest.raises(
            AnotherRun, match=rf"run first is at work on .*: process {first.pid} on .*, last heard of at"
        ):
            run(job, run_id="second")
        assert read_runs(Output.open(job.config.output))["second"]["stop_code"] == "refused"
        assert not Path(job.config.output.uri, "plans", "second.parquet").exists()
        first.communicate("go on\n")
        assert first.returncode == 0
    assert run(job).num_videos_skipped == 5
    assert num_answers(job) == (12, 12)


def test_a_waiting_run_begins_when_the_first_has_ended_and_finds_its_work_done(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job(run={"second": "wait", "heartbeat_seconds": 0.2})
    with at_work(job, tmp_path) as first:

        def hear(fields: Any) -> None:
            if fields["state"] == "starting" and fields["heartbeat"]["number"] == 4 and first.stdin:
                first.stdin.write("go on\n")  # this one has waited for some heartbeats
                first.stdin.flush()

        summary = run(job, on_record=hear)
        assert (summary.num_videos_skipped, summary.counts.num_answers) == (5, 0)
        assert first.wait(60) == 0
    assert num_answers(job) == (12, 12)


def test_a_run_that_was_killed_is_in_nobodys_way_at_once(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job()
    with at_work(job, tmp_path) as first:
        first.kill()
        first.wait()
        assert run(job).is_complete
    assert num_answers(job) == (12, 12)


def test_a_run_that_froze_loses_its_place_and_doubles_nothing_when_it_wakes(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job(run={"second": "wait", "heartbeat_seconds": 0.2})
    with at_work(job, tmp_path) as first:
        first.send_signal(signal.SIGSTOP)
        assert run(job, run_id="second").is_complete
        first.send_signal(signal.SIGCONT)
        first.communicate("go on\n")
        assert first.returncode == 0
    runs = read_runs(Output.open(job.config.output))
    assert {run_id: record["state"] for run_id, record in runs.items()} == {"first": "complete", "second": "complete"}
    assert num_answers(job) == (12, 12)
    assert audit(Output.open(job.config.output)).is_clean


def test_two_runs_beside_each_other_do_all_of_it_and_the_first_of_each_unit_stays(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job(run={"second": "beside"})
    with at_work(job, tmp_path) as first:
        assert run(job).is_complete
        first.communicate("go on\n")
        assert first.returncode == 0
    assert num_answers(job) == (12, 12)
    assert audit(Output.open(job.config.output)).is_clean


def shards_of(job: Job) -> list[Shard]:
    """All shards of an array: the first of them, and another one, have videos. Ids are other ones in each folder."""
    ids = id_numbers(flow.plan(job).videos.column("video_id"))
    of = next(of for of in range(2, 100) if len(set(ids % of)) > 1)
    first = int(ids[0] % of)
    return [Shard(number=(first + k) % of + 1, of=of) for k in range(of)]


def test_shards_share_the_work_and_each_has_its_own_books(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job()
    mine, *others = shards_of(job)
    with at_work(job, tmp_path, mine) as first:
        done = [run(job, shard=shard) for shard in others]
        with pytest.raises(AnotherRun, match=f"run first, shard {mine}, is at work"):
            run(job, shard=mine)
        with pytest.raises(AnotherRun):
            run(job)
        first.communicate("go on\n")
        assert first.returncode == 0
    record = read_runs(Output.open(job.config.output))["first"]
    here = record["num_videos_answered"] + record["num_videos_failed"]
    elsewhere = sum(summary.num_videos_answered + summary.num_videos_failed for summary in done)
    assert min(here, elsewhere) > 0
    assert here + elsewhere == 5
    assert record["num_videos_elsewhere"] == elsewhere
    assert done[0].num_videos_elsewhere + done[0].num_videos_skipped >= here  # one was done when that one began
    assert (record["shard"], record["state"]) == (str(mine), "complete")
    assert all(summary.is_complete for summary in done)
    assert num_answers(job) == (12, 12)
    assert audit(Output.open(job.config.output)).is_clean


def test_a_shard_with_a_limit_takes_of_its_own_part(make_job: Callable[..., Job]) -> None:
    job = make_job()
    mine, *others = shards_of(job)
    first = run(job, shard=mine, limit=1, run_id="first")
    assert first.num_videos_answered + first.num_videos_failed == 1
    rest = [run(job, shard=shard) for shard in (*others, mine)]
    assert 1 + sum(summary.num_videos_answered + summary.num_videos_failed for summary in rest) == 5


def test_the_command_has_an_exit_code_of_its_own(
    make_job: Callable[..., Job], tmp_path: Path, archive: Path, model_folder: Path
) -> None:
    job = make_job(questions=[{"id": "red", "text": "Is it red?", "type": "yes_no"}])
    path = tmp_path / "job.yaml"
    values = {
        "input": {"videos": str(archive)},
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
        "model": {"name": str(model_folder)},
        "output": {"uri": job.config.output.uri},
    }
    path.write_text(json.dumps(values))
    with at_work(job, tmp_path):
        result: Result = CliRunner().invoke(app, ["run", str(path), "--json", str(tmp_path / "run.json")])
    assert result.exit_code == EXIT_ANOTHER_RUN == 4, result.output
    (row,) = json.loads((tmp_path / "run.json").read_text())["rows"]
    assert (row["state"], row["stop_code"]) == ("failed", "refused")
    for shard in ("0/3", "4/3", "3", "a/b"):
        result = CliRunner().invoke(app, ["run", str(path), "--shard", shard])
        assert result.exit_code == 2
        assert f"--shard {shard}: give K/N" in result.stderr
