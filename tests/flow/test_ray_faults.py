"""Ray under faults: a worker, an actor or a node dies in the middle, and the run goes on without losing or doubling."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from framegate.pipelines import flow
from framegate.pipelines.failpoints import FAIL_AT
from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.job import Job

NODE_DIES = """
import json, os, pickle, signal, sys, time
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # loopback only; Ray reads it when it is imported
import ray as ray_module
from ray.cluster_utils import Cluster
from framegate.pipelines import flow
from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model
from framegate.pipelines.failpoints import FAIL_AT
from framegate.pipelines.reason.engines.scripted import ScriptedEngine

class Slow(ScriptedEngine):
    def step(self):
        time.sleep(0.1)
        return super().step()

job = pickle.load(open(sys.argv[1], "rb"))
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
cluster.connect()  # before the other node is there: the driver stays on the head
node = cluster.add_node(num_cpus=2)
ray = job.config.ray.model_copy(update={"address": cluster.address})
job = type(job)(config=job.config.model_copy(update={"ray": ray}), questions=job.questions)
seen = []

def on_progress(progress):
    if not seen:
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)  # its workers end with it
    seen.append(progress.counts.num_answers)

summary = flow.run(job, engine_factory=lambda: Slow(), on_progress=on_progress)
print(json.dumps({"is_complete": summary.is_complete, "answers": summary.counts.num_answers, "first": seen[0]}))
ray_module.shutdown()  # the driver leaves before the head does, as it would with a cluster of its own
cluster.shutdown()
"""


def keys(job: Job, table: str = "results") -> Counter[tuple]:
    rows = duckdb.sql(f"SELECT video_uri, clip_index, question_id FROM '{job.config.output.uri}/{table}/**/*.parquet'")
    return Counter(rows.fetchall())


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_that_dies_is_started_again_and_no_row_is_lost(make_job: Callable[..., Job], tmp_path: Path) -> None:
    died = tmp_path / "died"

    class DiesOnce(ScriptedEngine):
        def step(self) -> object:
            finished = super().step()
            if not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return finished

    job = make_job()
    summary = flow.run(job, engine_factory=lambda: DiesOnce())
    assert died.exists()
    assert summary.is_complete
    assert (summary.num_videos_answered, summary.num_videos_failed, summary.counts.num_answers) == (3, 2, 12)
    assert set(keys(job).values()) == {1}


@pytest.mark.usefixtures("ray_cluster")
def test_a_unit_that_kills_its_actor_each_time_is_given_up_and_the_others_are_answered(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()

    class DiesOfTheThirdClip(ScriptedEngine):
        def add(self, ask: Ask) -> None:
            if ask.clip.start_seconds == 4:
                (deaths / str(os.getpid())).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            super().add(ask)

    job = make_job(failures={"max_attempts": 2})
    summary = flow.run(job, engine_factory=lambda: DiesOfTheThirdClip())
    assert summary.is_complete
    assert len(list(deaths.iterdir())) == 2
    assert summary.counts.num_answers == 2 * (2 + 1)
    reasons = duckdb.sql(
        f"SELECT reason, count(*) FROM '{job.config.output.uri}/failures/**/*.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert reasons == [("actor_crash", 6), ("empty", 1), ("not_video", 1)]
    assert flow.run(job, engine_factory=ScriptedEngine).num_videos_skipped == 5
    again = flow.run(job, engine_factory=ScriptedEngine, retry_failed=True)
    assert (again.counts.num_answers, again.num_videos_answered) == (6, 1)
    assert set(keys(job).values()) == {1}


def test_a_node_that_dies_takes_no_row_with_it(
    make_job: Callable[..., Job], make_video: Callable[..., Path], archive: Path, tmp_path: Path
) -> None:
    for number in range(12):
        make_video(archive / f"more{number:02d}.mp4", seconds=2, shade=number)
    job = make_job(ray={"decode_workers": 3, "reason_actors": {"min": 2, "max": 2}})
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(job))
    done = subprocess.run(
        [sys.executable, "-c", NODE_DIES, str(tmp_path / "job.pickle")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # Ray tells of the dead node beside it.
    [told] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"is_complete"')]
    assert told["first"] < 36, "the node died when all was done"
    assert (told["is_complete"], told["answers"]) == (True, 2 * (6 + 12))
    assert set(keys(job).values()) == {1}


def test_videos_that_kill_their_decode_worker_are_given_up(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "videos")
    job = {
        "input": {"videos": [str(archive[1]), str(archive[2])]},
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": QUESTIONS,
        "model": {"name": str(make_model(tmp_path / "model"))},
        "output": {"uri": str(tmp_path / "index")},
        "failures": {"max_attempts": 1},
    }
    spec = json.dumps({"job": job, "action": "run", "in_process": False})
    command = [sys.executable, "-m", "framegate.pipelines.lab.bench.faults.child", spec]
    # Every decode worker dies of its first unit, again and again.
    environment = {**os.environ, FAIL_AT: "decode.unit"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = duckdb.sql(
        f"SELECT reason, attempts, count(*) FROM '{tmp_path}/index/failures/**/*.parquet' GROUP BY ALL"
    ).fetchall()
    assert found == [("actor_crash", 1, 2)]
