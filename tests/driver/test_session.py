"""The session folder of a Ray that a process started goes with it, unless a worker died or its logs are wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys
from framegate.pipelines.driver.cluster import start_ray
from framegate.pipelines.driver.session import end_own_session
from framegate.schemas.config import RayConfig

does, keep = sys.argv[1], sys.argv[2] == "keep"
start_ray(RayConfig(), num_cpus=2)
import ray

folder = ray._private.worker._global_node.get_session_dir_path()

@ray.remote(max_restarts=1, max_task_retries=1)
class Worker:
    def work(self, does, mark):
        print("the worker was here", flush=True)
        if does == "ends slowly":
            import atexit, time
            atexit.register(time.sleep, 60)
        if does == "dies" and not os.path.exists(mark):
            open(mark, "w").close()
            os._exit(70)
        return os.getpid()

worker = Worker.remote()
pid = ray.get(worker.work.remote(does, sys.argv[3]))
stays = end_own_session(keep=keep)
print(json.dumps({"folder": folder, "stays": stays, "pid": pid, "again": end_own_session(keep=keep)}))
"""


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    # Below /tmp itself: Ray's sockets have paths of 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def run_script(ray_folder: Path, tmp_path: Path) -> Callable[..., dict]:
    def run(does: str, keep: str = "") -> dict:
        environment = {**os.environ, "RAY_TMPDIR": str(ray_folder)}
        command = [sys.executable, "-c", SCRIPT, does, keep, str(tmp_path / "died")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def ends_soon(pid: int) -> bool:
    """Whether a process that was ended is gone; on a busy machine the system takes a moment for that."""
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def test_the_folder_goes_when_all_is_well_and_no_other_one(run_script: Callable[..., dict], ray_folder: Path) -> None:
    other = ray_folder / "ray" / "session_of_another"
    other.mkdir(parents=True)
    told = run_script("works")
    assert (told["stays"], told["again"]) == (None, None)
    assert ray_folder in Path(told["folder"]).parents
    assert ends_soon(told["pid"])
    assert [path.name for path in ray_folder.iterdir()] == ["ray"]
    assert [path.name for path in other.parent.iterdir()] == ["session_of_another"]


def test_a_worker_that_takes_long_to_end_is_not_waited_for(run_script: Callable[..., dict]) -> None:
    told = run_script("ends slowly")
    assert told["stays"] is None
    assert ends_soon(told["pid"])


@pytest.mark.parametrize(("does", "keep"), [("dies", ""), ("works", "keep")])
def test_the_folder_stays_where_a_worker_died_or_it_is_to_be_kept(
    does: str, keep: str, run_script: Callable[..., dict]
) -> None:
    told = run_script(does, keep)
    assert told["stays"] == told["folder"]
    said = "".join(path.read_text() for path in (Path(told["folder"]) / "logs").glob("worker-*.out"))
    assert said.count("the worker was here") == (2 if does == "dies" else 1)
