"""Attacks by a cluster: to have a run join one that anybody may use."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from framegate.pipelines.driver import joining
from framegate.pipelines.driver.joining import check_cluster, named_cluster
from framegate.schemas.config import RayConfig
from framegate.schemas.errors import ConfigError, FramegateError

ASKS_NOTHING = "asks for no token: whoever reaches it can run code there"
NONE_HERE = "asks for a token, and there is none here"
ANOTHER = "does not take the token that is here"
NO_ADDRESS = "names no cluster that can be joined"
UP_SECONDS = 60.0
# Variables of a process beside what `join` knows of the clusters; what it is told.
JOINS = [
    pytest.param({}, "open", ASKS_NOTHING, id="open-cluster-named-by-the-job"),
    pytest.param({"RAY_ADDRESS": "{open}"}, None, "(RAY_ADDRESS) asks for no token", id="open-cluster-in-RAY_ADDRESS"),
    pytest.param({"RAY_ADDRESS": "auto"}, None, "(RAY_ADDRESS) asks", id="open-cluster-found-by-auto"),
    pytest.param({"RAY_ADDRESS": "auto"}, "auto", "(ray.address) asks", id="open-cluster-named-auto-by-the-job"),
    pytest.param(
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "{token}"},
        "open",
        ASKS_NOTHING,
        id="open-cluster-with-a-token-here",
    ),
    pytest.param({"RAY_AUTH_MODE": "disabled"}, "open", ASKS_NOTHING, id="open-cluster-with-tokens-turned-off-here"),
    pytest.param({}, "closed", NONE_HERE, id="closed-cluster-without-a-token"),
    pytest.param({"RAY_AUTH_TOKEN_PATH": "/dev/null"}, "closed", NONE_HERE, id="closed-cluster-with-an-empty-token"),
    pytest.param({"RAY_AUTH_TOKEN": "f" * 64}, "closed", ANOTHER, id="closed-cluster-with-another-token"),
    pytest.param(
        {"RAY_AUTH_TOKEN": "f" * 64, "RAY_AUTH_MODE": "disabled"}, "closed", ANOTHER, id="closed-cluster-mode-disabled"
    ),
    pytest.param({}, "nobody", "could not be reached at 127.0.0.1:", id="nobody-answers"),
    pytest.param({}, "silent", "could not be reached at 127.0.0.1:", id="somebody-listens-and-says-nothing"),
    pytest.param({}, "garbage", "could not be reached at 127.0.0.1:", id="somebody-answers-who-is-no-ray"),
    pytest.param({}, "ray://127.0.0.1:10001", NO_ADDRESS, id="ray-client"),
    pytest.param({}, "redis://:hunter2@127.0.0.1:6379", NO_ADDRESS, id="a-password-in-the-address"),
    pytest.param({}, "http://127.0.0.1:8265", NO_ADDRESS, id="a-dashboard"),
    pytest.param({}, "--version", NO_ADDRESS, id="an-option-as-address"),
    pytest.param({}, "127.0.0.1:6379\n--x", NO_ADDRESS, id="an-address-with-a-newline"),
    pytest.param({"RAY_ADDRESS": "127.0.0.1;id:1"}, None, NO_ADDRESS, id="a-shell-command-in-RAY_ADDRESS"),
]


@dataclass(frozen=True)
class Clusters:
    """Two that run on this machine, and three addresses at which none does."""

    open: str
    closed: str
    token: str
    nobody: str
    silent: str
    garbage: str
    temp: Path  # RAY_TMPDIR in which Ray's note names the open one


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    token = "c" * 64
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name, contextlib.ExitStack() as here:
        folder = Path(name)
        ports = {"open": _free_port(), "closed": _free_port()}
        secured = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        for kind, variables in (("open", {}), ("closed", secured)):
            here.enter_context(_cluster(folder / kind, ports[kind], variables))
        at = {kind: f"127.0.0.1:{port}" for kind, port in ports.items()}
        for kind in at:
            _wait_for(folder / kind / "log")
        note = folder / "ray" / "ray_current_cluster"
        note.parent.mkdir()
        note.write_text(at["open"])
        yield Clusters(
            **at,
            token=token,
            nobody=f"127.0.0.1:{_free_port()}",
            silent=here.enter_context(_server(b"")),
            garbage=here.enter_context(_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")),
            temp=folder,
        )


@pytest.fixture
def join(clusters: Clusters, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., bool]:
    """`check_cluster` in an environment of its own, outside of any Ray."""
    monkeypatch.setattr(joining, "_is_joined", lambda: False)
    monkeypatch.setattr(joining, "MAX_ASK_SECONDS", 20.0)
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else Ray takes loopback for this machine's address
    monkeypatch.setenv("RAY_TMPDIR", str(clusters.temp))

    def check(address: str | None, variables: dict[str, str] | None = None, **options: object) -> bool:
        for name, value in (variables or {}).items():
            monkeypatch.setenv(name, value.replace("{token}", clusters.token).replace("{open}", clusters.open))
        if address in ("silent", "garbage"):
            monkeypatch.setattr(joining, "MAX_ASK_SECONDS", 4.0)
        named = getattr(clusters, address, address) if address else None
        must_answer = bool(options.pop("must_answer", True))
        return check_cluster(RayConfig.model_validate({"address": named, **options}), must_answer=must_answer)

    return check


@pytest.mark.parametrize(("variables", "address", "sentence"), JOINS)
def test_a_cluster_is_refused(
    variables: dict[str, str], address: str | None, sentence: str, join: Callable[..., bool]
) -> None:
    with pytest.raises(FramegateError) as refused:
        join(address, variables)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not [word for word in ("hunter2", "f" * 64, ";id") if word in str(refused.value)]


@pytest.mark.parametrize(
    ("variables", "address", "options", "wants_token"),
    [
        pytest.param({}, "open", {"trust_cluster": True}, False, id="open-and-trusted"),
        pytest.param({"RAY_AUTH_TOKEN": "{token}"}, "closed", {}, True, id="closed-with-its-token"),
        pytest.param({"RAY_AUTH_TOKEN": "{token}", "RAY_AUTH_MODE": "token"}, "closed", {}, True, id="and-mode"),
        pytest.param({}, "nobody", {"must_answer": False}, False, id="a-plan-where-it-cannot-be-reached"),
        pytest.param({"RAY_ADDRESS": "local"}, None, {}, False, id="RAY_ADDRESS-local-starts-one-here"),
        pytest.param({"RAY_ADDRESS": "{open}"}, "local", {}, False, id="ray.address-local-starts-one-here"),
    ],
)
def test_a_cluster_is_accepted(
    variables: dict[str, str], address: str | None, options: dict, wants_token: bool, join: Callable[..., bool]
) -> None:
    assert join(address, variables, **options) is wants_token


@pytest.mark.parametrize("place", ["~/.ray/auth_token", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_in_a_file_opens_its_cluster(
    place: str, join: Callable[..., bool], clusters: Clusters, tmp_path: Path
) -> None:
    file = tmp_path / (".ray/auth_token" if place[0] == "~" else "token")
    file.parent.mkdir(exist_ok=True)
    file.write_text(clusters.token)
    assert join("closed", {} if place[0] == "~" else {place: str(file)})


@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_commands_end_with_2_and_do_nothing(command: str, clusters: Clusters, tmp_path: Path) -> None:
    job = _write_job(tmp_path, clusters.open)
    done = _framegate([command, str(job)], tmp_path)
    assert done.returncode == 2
    assert ASKS_NOTHING in done.stderr
    assert "ray.trust_cluster: true" in done.stderr
    left = {path.relative_to(tmp_path / "index").parts[0] for path in (tmp_path / "index").rglob("*")}
    assert left <= {"runs", "layout.json"}


@pytest.mark.parametrize(
    ("kind", "trusted", "can_join"),
    [
        pytest.param("open", True, True, id="an-open-one-that-is-trusted"),
        pytest.param("closed", False, True, id="a-closed-one-with-its-token"),
        pytest.param("open", False, False, id="an-open-one-that-changed-since-the-plan"),
    ],
)
def test_ray_is_joined_for_real(kind: str, trusted: bool, can_join: bool, clusters: Clusters, tmp_path: Path) -> None:
    """A cluster is asked once more in the moment in which it is joined."""
    script = f"""
from framegate.pipelines.driver.cluster import start_ray
from framegate.schemas.config import RayConfig
start_ray(RayConfig(address={getattr(clusters, kind)!r}, trust_cluster={trusted}))
import ray
print("joined", ray.cluster_resources()["CPU"])
"""
    variables = {"RAY_AUTH_TOKEN": clusters.token} if kind == "closed" else {}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=_environment(tmp_path) | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ("joined 1.0" in done.stdout) is can_join, done.stderr[-2000:]
    assert (ASKS_NOTHING in done.stderr) is not can_join


def test_a_started_one_is_not_named() -> None:
    assert named_cluster(RayConfig(address="local")) is None
    with pytest.raises(ConfigError):
        check_cluster(RayConfig(address="nonsense"))


def _write_job(folder: Path, address: str) -> Path:
    (folder / "videos").mkdir()
    (folder / "videos" / "a.mp4").write_bytes(b"nothing")
    job = {
        "input": {"videos": str(folder / "videos")},
        "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
        "model": {"name": "dock"},
        "output": {"uri": str(folder / "index")},
        "ray": {"address": address},
    }
    (folder / "job.yaml").write_text(json.dumps(job))
    return folder / "job.yaml"


def _framegate(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from framegate.jobs.cli import app; app()", *arguments]
    return subprocess.run(command, env=_environment(folder), capture_output=True, text=True, timeout=120, cwd=folder)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    return {**kept, "HOME": str(folder), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@contextlib.contextmanager
def _cluster(folder: Path, port: int, variables: dict[str, str]) -> Iterator[None]:
    """As somebody starts one by hand, on loopback; ended by its process ids."""
    folder.mkdir()
    options = [
        f"--port={port}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}", "--include-dashboard=false",
        "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0", "--num-cpus=1", "--block",
    ]  # fmt: skip
    script = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
    with (folder / "log").open("wb") as log:
        head = subprocess.Popen(
            [sys.executable, "-c", script, "start", "--head", *options],
            env=_environment(folder) | variables, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        from framegate.pipelines.lab.bench.processes import family

        members = family(head.pid, with_ray=True)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        head.wait()


def _wait_for(log: Path) -> None:
    over_by = time.monotonic() + UP_SECONDS
    while "Ray runtime started" not in log.read_text(errors="replace"):
        assert time.monotonic() < over_by, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)


def _free_port() -> int:
    """Below those of clients: who tries such a port until somebody listens can come to be connected with itself."""
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def _server(answer: bytes) -> Iterator[str]:
    """Accepts everybody, and says the same to each."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    held.append(line)
                    with contextlib.suppress(OSError):
                        line.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for line in held:
            line.close()
