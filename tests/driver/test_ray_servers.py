"""A Ray that is started here has the processes that a run needs, and no others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from framegate.pipelines.driver import replaced as replaced_module
from framegate.pipelines.driver.data_helpers import without_helpers
from framegate.pipelines.driver.ray_servers import only_needed_servers
from framegate.pipelines.driver.replaced import nothing, replaced

SCRIPT = """
import json, os, sys
from pathlib import Path

import pyarrow as pa

from framegate.pipelines.driver.cluster import start_ray
from framegate.pipelines.driver.data_helpers import is_one_machine, without_helpers
from framegate.pipelines.lab.bench.processes import family
from framegate.schemas.config import RayConfig

start_ray(RayConfig(decode_workers=1), num_cpus=4)
import ray
import ray.data
from ray._private.state import actors
from ray.data import ActorPoolStrategy, DataContext


class Double:
    def __call__(self, batch):
        return {"x": batch["x"] * 2}


DataContext.get_current().enable_progress_bars = False
with without_helpers():
    tables = [pa.table({"x": [n]}) for n in range(20)]
    pool = ActorPoolStrategy(min_size=1, max_size=2)
    doubled = ray.data.from_blocks(tables).map_batches(Double, compute=pool, num_cpus=0.5)
    found = sorted(row["x"] for row in doubled.iter_rows())
told = {"found": found, "is_one": is_one_machine()}
told["classes"] = sorted({actor["ActorClassName"] for actor in actors().values()})
below = family(os.getpid(), with_ray=True)
told["commands"] = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\\0", b" ").decode() for pid in below}
print(json.dumps(told), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def started() -> dict:
    """What a process with a Ray of its own has below it; that Ray is gone by now, its raylet killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline() or "{}")
    raylet = next(int(pid) for pid, command in told["commands"].items() if "raylet/raylet" in command)
    os.kill(raylet, signal.SIGKILL)
    process.communicate(timeout=60)
    return told


def test_ray_starts_its_store_its_raylet_and_workers_and_agents_that_do_nothing(started: dict) -> None:
    servers = [command for command in started["commands"].values() if "/ray/" in command or "_agent" in command]
    assert any("gcs_server" in command for command in servers)
    for name in ("dashboard.py", "monitor.py", "log_monitor.py", "agent.py --", "runtime_env/agent/main.py"):
        assert not [command for command in servers if name in command and "raylet/raylet" not in command], name
    agents = [command for command in started["commands"].values() if command.partition("idle_agent.py ")[1]]
    assert len([command for command in agents if "raylet/raylet" not in command]) == 2


def test_no_more_workers_wait_than_the_run_has_use_for(started: dict) -> None:
    """Ray would start one for each of the four processors."""
    raylet = next(command for command in started["commands"].values() if "raylet/raylet" in command)
    assert "--num_prestart_python_workers=2 " in raylet


def test_ray_data_works_without_its_helpers(started: dict) -> None:
    assert started["is_one"]
    assert started["found"] == [2 * n for n in range(20)]
    assert [name.partition("(")[0] for name in started["classes"]] == ["MapWorker"]


def test_agents_end_with_their_raylet(started: dict) -> None:
    agents = [pid for pid, command in started["commands"].items() if "idle_agent.py" in command]
    over_by = time.monotonic() + 20
    while (left := [pid for pid in agents if "idle_agent" in _command(pid)]) and time.monotonic() < over_by:
        time.sleep(0.1)
    assert not left


def _command(pid: str) -> str:
    try:
        return (Path("/proc") / pid / "cmdline").read_text()
    except OSError:
        return ""


def test_what_was_replaced_is_as_before() -> None:
    class Owner:
        @staticmethod
        def one() -> int:
            return 1

    with replaced(Owner, "one", staticmethod(nothing)):
        assert Owner.one() is None
    assert Owner.one() == 1
    with pytest.raises(AttributeError), replaced(Owner, "two", nothing):
        pass


@pytest.mark.parametrize("is_known", [True, False])
def test_of_a_ray_that_was_not_looked_at_nothing_is_spared(is_known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import node, services, utils

    monkeypatch.setattr(replaced_module, "KNOWN_RAY", ray.__version__ if is_known else "1.")
    before = node.Node.start_monitor, services.get_node, services.ConsolePopen, utils.set_sigterm_handler
    with only_needed_servers(num_workers=1, has_log_monitor=False), without_helpers():
        inside = node.Node.start_monitor, services.get_node, services.ConsolePopen, utils.set_sigterm_handler
    assert [one is other for one, other in zip(before, inside, strict=True)] == [
        not is_known,
        not is_known,
        False,
        False,
    ]
    after = node.Node.start_monitor, services.get_node, services.ConsolePopen, utils.set_sigterm_handler
    assert after == before
