"""A real run on Ray with secrets all around it, watched from outside while it works, and all that it leaves.

The job reads S3 and the web, fails at some videos, and is told of, queried and audited afterwards. Its environment is
one that asks Ray to listen everywhere and to let everybody in.

There are two S3 servers. Clients find the key of the first one in the environment by themselves. The second one is
opened by what jobs refer to: `secret: ${env:INDEX_SECRET}`. The first run reads the first server and writes to the
second, and the second run the other way round. Others refer to a wrong secret, or to a variable that is not set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import s3fs

from framegate.pipelines.driver.joining import _ask
from framegate.pipelines.lab.bench.processes import family
from framegate.pipelines.lab.bench.s3_server import s3_server
from tests.sockets import Listener, listeners
from tests.watched_archive import Secrets, write_archive
from tests.web_server import WebServer

NOBODY = 65534
LONG_SECONDS = 120.0
DONE = [
    ["run", "job.yaml", "-v", "--json", "run.json"],
    ["run", "turned.yaml", "--log-format", "json"],
    ["plan", "job.yaml"],
    ["status", "job.yaml", "--json", "status.json"],
    ["report", "job.yaml", "--out", "report.html"],
    ["query", "-j", "job.yaml", "SELECT * FROM answers"],
    ["query", "-j", "job.yaml", "SELECT * FROM failures", "--format", "csv"],
    ["audit", "job.yaml", "--json", "audit.json"],
    ["audit", "turned.yaml"],
]
REFUSED = [
    *([command, "wrong.yaml"] for command in ("plan", "run")),
    *([command, "denied.yaml"] for command in ("plan", "run", "status", "audit")),
    ["query", "-j", "denied.yaml", "SELECT * FROM answers"],
    ["run", "denied-input.yaml", "--log-format", "json"],
    ["run", "unset.yaml"],
]
COMMANDS = [*DONE, *REFUSED]
# The commands one after the other, as if typed; the engine waits for a file, so that the run can be looked at.
SCRIPT = """
import os, sys, time
from pathlib import Path

import framegate.pipelines.flow as flow
from framegate.jobs.cli import app
from framegate.pipelines.reason.engines.scripted import ScriptedEngine


def make(*_args, **_options):
    folder = os.getcwd()

    def wait(_asks):
        Path(folder, "asked").touch()
        over_by = time.monotonic() + 120
        while not Path(folder, "go").exists() and time.monotonic() < over_by:
            time.sleep(0.02)

    return lambda: ScriptedEngine(before_step=wait)


flow.make_engine_factory = make
import json
for number, command in enumerate(json.loads(sys.argv[1])):
    for stream in (sys.stdout, sys.stderr):
        print(f"-- {command}", file=stream, flush=True)
    try:
        code = app(command, standalone_mode=False)
    except SystemExit as error:
        code = error.code
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = getattr(error, "exit_code", "raised")
    print(f"-- exit {number} {code or 0}", flush=True)
"""
# What somebody else on this machine gets of a folder and of the sockets in it.
STRANGER = """
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
private, session, sockets = sys.argv[1], sys.argv[2], sys.argv[3:]
got = []
for folder in (private, session, session + "/logs", session + "/sockets"):
    try:
        os.listdir(folder)
        got.append(folder)
    except OSError:
        pass
    try:
        open(folder + "/planted", "w")
        got.append("written: " + folder)
    except OSError:
        pass
for path in sockets:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        got.append(path)
    except OSError:
        pass
try:
    os.rename(private, private + "-mine")
    got.append("renamed")
except OSError:
    pass
print(json.dumps(got))
"""


@dataclass
class Watched:
    """What was seen of a run, and what it left."""

    secrets: Secrets
    folder: Path
    private: Path
    session: Path
    commands: set[str]  # command lines of all of its processes, over all of its time
    listening: list[Listener]  # of all of its processes, in the middle of it
    modes: dict[str, int]
    stranger_got: list[str] | None  # None: this machine lets nobody become another user
    answers: dict[str, str]  # what its control store says to whom
    own_token: str
    stdout: str
    stderr: str
    codes: dict[int, str]
    objects: dict[str, bytes]  # below both outputs
    seen_by_web: list[tuple[str, str, str | None]]
    num_failures: int


@pytest.fixture(scope="session")
def watched_run(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[Watched]:
    """One for all tests: it takes half a minute of a busy machine."""
    folder, canaries = tmp_path_factory.mktemp("watched"), Secrets()
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as short:  # Ray's sockets have paths of 107 bytes at most
        environment = _environment(canaries, folder, Path(short))
        of_second = environment | {"AWS_ACCESS_KEY_ID": "index", "AWS_SECRET_ACCESS_KEY": canaries.referred}
        with (
            s3_server(tmp_path_factory.mktemp("own-s3"), environment=environment) as endpoint,
            s3_server(tmp_path_factory.mktemp("second-s3"), environment=of_second) as second,
            WebServer(signature=f"X-Amz-Signature={canaries.signature}") as web,
        ):
            environment["AWS_ENDPOINT_URL"] = endpoint
            files = [
                s3fs.S3FileSystem(endpoint_url=endpoint, key="watched", secret=canaries.aws, skip_instance_cache=True),
                s3fs.S3FileSystem(endpoint_url=second, key="index", secret=canaries.referred, skip_instance_cache=True),
            ]
            write_archive(folder, canaries, files, second, web, model_folder)
            yield _watch(folder, canaries, environment, Path(short), files, web)


def _environment(canaries: Secrets, folder: Path, short: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "RAY_TMPDIR": str(short),
        "COLUMNS": "400",
        "AWS_ACCESS_KEY_ID": "watched",
        "AWS_SECRET_ACCESS_KEY": canaries.aws,
        "AWS_REGION": "us-east-1",
        "INDEX_KEY": "index",
        "INDEX_SECRET": canaries.referred,
        "WRONG_SECRET": canaries.wrong,
        "DATABASE_PASSWORD": canaries.environment,
        "HF_TOKEN": canaries.environment,
        "HF_HUB_OFFLINE": "1",
        # What would open Ray to others.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN": canaries.token_elsewhere,
    }


def _watch(
    folder: Path, canaries: Secrets, environment: dict[str, str], short: Path, files: list[Any], web: WebServer
) -> Watched:
    command = [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS)]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err, umask=0)
    seen: set[str] = set()
    over = threading.Event()
    looking = threading.Thread(target=_look, args=(process.pid, seen, over))
    looking.start()
    try:
        _until((folder / "asked").exists, process)
        below = family(process.pid, with_ray=True)
        listening = listeners(below)
        raylet = next(pid for pid in below if "raylet/raylet" in _command(pid))
        [private] = [path for path in short.iterdir() if path.is_dir()]
        session = (private / "ray" / "session_latest").resolve()
        own_token = _variable(raylet, "RAY_AUTH_TOKEN")
        modes = {"private": private.stat().st_mode & 0o777, "owner": private.stat().st_uid}
        answers = _ask_as_others(_option(raylet, "--gcs-address"), own_token, canaries, environment)
        stranger = _as_stranger(private, session)
        (folder / "go").touch()
        process.wait(timeout=LONG_SECONDS)
    finally:
        over.set()
        looking.join()
        process.kill()
        process.wait()
    stdout = (folder / "stdout").read_text(errors="replace")
    codes = dict(line[8:].split() for line in stdout.splitlines() if line.startswith("-- exit "))
    objects = {
        f"{number}/{path}": server.cat_file(path)
        for number, server in enumerate(files)
        for path in server.find("watched/index")
    }
    return Watched(
        secrets=canaries,
        folder=folder,
        private=private,
        session=session,
        commands=seen,
        listening=listening,
        modes=modes,
        stranger_got=stranger,
        answers=answers,
        own_token=own_token,
        stdout=stdout,
        stderr=(folder / "stderr").read_text(errors="replace"),
        codes={int(number): code for number, code in codes.items()},
        objects=objects,
        seen_by_web=list(web.requests),
        num_failures=sum("/failures/" in path for path in objects),
    )


def _ask_as_others(address: str, own_token: str, canaries: Secrets, environment: dict[str, str]) -> dict[str, str]:
    plain = {name: value for name, value in environment.items() if not name.startswith("RAY_")}
    plain["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else Ray takes loopback for this machine's address
    shown = {
        "no token": {"RAY_AUTH_MODE": "disabled"},
        "wrong token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        "token of another cluster": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": canaries.token_elsewhere},
        "own token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": own_token},
    }
    return {name: _ask(address, {**plain, **variables})[0] for name, variables in shown.items()}


def _as_stranger(private: Path, session: Path) -> list[str] | None:
    if os.getuid() != 0:
        return None
    sockets = [str(path) for path in (session / "sockets").iterdir()]
    assert sockets
    command = [sys.executable, "-I", "-S", "-c", STRANGER, str(private), str(session), *sockets]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _look(pid: int, seen: set[str], over: threading.Event) -> None:
    while not over.wait(0.03):
        seen.update(command for member in family(pid, with_ray=True) if (command := _command(member)))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _option(pid: int, name: str) -> str:
    return next(part.partition("=")[2] for part in _command(pid).split() if part.startswith(f"{name}="))


def _variable(pid: int, name: str) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(part[len(name) + 1 :].decode() for part in variables if part.startswith(f"{name}=".encode()))


def _until(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    over_by = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert process.poll() is None, "the run has ended"
        assert time.monotonic() < over_by, "the run stands still"
        time.sleep(0.05)
