"""A run on a machine that is not as one would like it: no home, no time zones, another's Ray, a long TMPDIR."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model

NO_HOMES: dict[str, str | None] = {"not writable": "/dev/null/home", "empty": "", "unset": None}

NOBODY_KNOWN = """
import os, pwd, sys, runpy
os.environ.pop("HOME", None)
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown  # as where a container is started with a user's number alone
assert os.path.expanduser("~") == "~"
sys.argv = sys.argv[1:]
runpy.run_module("framegate.pipelines.lab.bench.faults.child", run_name="__main__")
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    # Below /tmp itself: Ray's sockets have paths of 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Answers a small archive in a process of its own, with these variables; None takes one away."""
    archive, model = make_archive(tmp_path / "videos"), make_model(tmp_path / "model")

    def start(
        variables: Mapping[str, str | None],
        *,
        in_process: bool,
        prelude: str | None = None,
        around: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        job = {
            "input": {"videos": str(archive[0].parent)},
            "clips": {"seconds": 2},
            "frames": {"fps": 2, "max_frames": 4},
            "questions": QUESTIONS,
            "model": {"name": str(model)},
            "output": {"uri": str(tmp_path / "index"), "partition_by": ["written_at.date"]},
            "ray": {"decode_workers": 1},
        }
        spec = json.dumps({"job": job, "action": "run", "in_process": in_process, "uris": []})
        module = "framegate.pipelines.lab.bench.faults.child"
        command = ["-m", module, spec] if prelude is None else ["-c", prelude, module, spec]
        named = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
        environment = {name: value for name, value in named.items() if not name.startswith("XDG_")}
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return subprocess.run(
            [*around, sys.executable, *command], env=environment, cwd=work, capture_output=True, text=True, timeout=300
        )

    return start


def check_answered(tmp_path: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-3000:]
    rows = sum(pq.read_metadata(path).num_rows for path in (tmp_path / "index" / "results").rglob("*.parquet"))
    assert rows > 0
    assert [*(tmp_path / "work").iterdir()] == [], "nothing is written where the run was started"


@pytest.mark.parametrize("home", NO_HOMES.values(), ids=[*NO_HOMES])
def test_without_a_home(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]], home: str | None) -> None:
    check_answered(tmp_path, run({"HOME": home}, in_process=True))


def test_as_a_user_that_the_machine_does_not_know(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    check_answered(tmp_path, run({}, in_process=True, prelude=NOBODY_KNOWN))


def test_without_a_database_of_time_zones(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    check_answered(tmp_path, run({"PYTHONTZPATH": "/nonexistent"}, in_process=True))


def test_without_any_database_of_time_zones_on_the_machine(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """As on a slim image: Python has a package for them, and Arrow none."""
    hide = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = 'mount -t tmpfs tmpfs /usr/share/zoneinfo && exec "$@"'
    if not shutil.which("unshare") or subprocess.run([*hide, script, "-", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    done = run({"PYTHONTZPATH": "/nonexistent"}, in_process=True, around=[*hide, script, "-"])
    check_answered(tmp_path, done)
    folders = {path.name[:18] for path in (tmp_path / "index" / "results").glob("*/*")}
    assert folders == {"written_at_date=20"}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
def test_zones_are_known_without_a_database_of_the_machine(zone: str) -> None:
    code = f"from framegate.schemas.clock import find_zone; print(find_zone({zone!r}))"
    environment = {**os.environ, "PYTHONTZPATH": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == zone, done.stderr


def test_on_ray_with_no_home_and_beside_a_ray_of_somebody_else(
    tmp_path: Path, short_folder: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Ray notes in its folder which cluster was started last, and joins it unless it is told not to."""
    note = short_folder / "ray" / "ray_current_cluster"
    note.parent.mkdir()
    note.write_text("127.0.0.1:9")  # nobody answers there: who joins it fails
    variables = {"RAY_TMPDIR": str(short_folder), "RAY_ADDRESS": None}
    looks = "from ray._private.services import find_bootstrap_address; print(find_bootstrap_address(None))"
    seen = subprocess.run(
        [sys.executable, "-c", looks],
        env={**{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}, "RAY_TMPDIR": str(short_folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert seen.stdout.strip() == "127.0.0.1:9", "this Ray looks for it elsewhere: the test says nothing"
    check_answered(tmp_path, run({**variables, "HOME": "/dev/null/home"}, in_process=False))


def test_a_folder_too_long_for_sockets_is_told_with_a_remedy(
    short_folder: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    long = short_folder / ("a-folder-for-temporary-files-" * 4)
    long.mkdir()
    done = run({"RAY_TMPDIR": str(long)}, in_process=False)
    assert done.returncode != 0
    assert "set RAY_TMPDIR to a short folder, such as /tmp, and run again" in done.stderr
