"""Machines that lack a mechanism: what is refused there, what goes on all the same, and what is said of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framegate.pipelines.decode.readers.reader import DECODERS, Decoder
from framegate.pipelines.decode.sandbox.sandbox import Sandbox, measure_isolation
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import ConfigError, DecodeFailed, SandboxError
from tests.decode.sandbox.sources import MATROSKA, Bytes
from tests.security.weak_machine import LANDLOCK, SECCOMP, UNSHARE

HERE = Path(__file__).parent
REFUSAL = (
    "decoders cannot be confined on this machine so that they reach no file, no network and no environment: seccomp is "
    "not to be had"
)
on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setitem(DECODERS, "hostile", Decoder(package="json", reader="hostile_readers:Hostile"))
    made: list[Sandbox] = []

    def make(*without: str, sandbox: object = True) -> Sandbox:
        made.append(Sandbox(DecodeConfig.model_validate({"sandbox": sandbox}), ["hostile"], without=without))
        return made[-1]

    yield make
    for each in made:
        each.close()


def obey(sandbox: Sandbox, *order: object) -> str:
    with pytest.raises(DecodeFailed) as caught:
        sandbox.open("hostile", Bytes(MATROSKA + json.dumps(order).encode()))
    return str(caught.value)


@pytest.mark.parametrize(
    "without",
    [
        pytest.param(["landlock"], id="a-kernel-before-5.13"),
        pytest.param(["namespaces"], id="a-container-without-user-namespaces"),
        pytest.param(["landlock", "namespaces", "no_capabilities"], id="a-machine-with-seccomp-alone"),
    ],
)
def test_where_seccomp_is_there_the_rest_may_be_missing(make: Callable[..., Sandbox], without: list[str]) -> None:
    sandbox = make(*without)
    in_force = sandbox.start()
    assert "seccomp" in in_force
    assert not set(without) & set(in_force)
    assert obey(sandbox, "read_file", "/etc/passwd") == "EPERM"
    assert obey(sandbox, "read_file", "/proc/{parent}/environ") == "EPERM"
    assert obey(sandbox, "connect", 2, 1) == "EPERM"


@pytest.mark.parametrize(
    "without",
    [
        pytest.param(["seccomp"], id="no-seccomp"),
        pytest.param(["seccomp", "landlock"], id="no-seccomp-and-no-landlock"),
        pytest.param(["seccomp", "landlock", "namespaces"], id="nothing-at-all"),
    ],
)
def test_without_seccomp_nothing_is_decoded_and_no_video_is_marked(
    make: Callable[..., Sandbox], without: list[str]
) -> None:
    sandbox = make(*without)
    source = Bytes(MATROSKA + b'["environment"]')
    with pytest.raises(SandboxError, match=REFUSAL) as caught:
        sandbox.open("hostile", source)
    assert source.bytes_read == 0
    assert sandbox.pid is None
    assert "decode.sandbox: weak" in str(caught.value)
    assert "(not: " in str(caught.value)


@pytest.mark.parametrize(
    ("without", "order", "outcome"),
    [
        pytest.param([], ["read_file", "/etc/passwd"], "ENOENT", id="files-are-gone-with-the-root"),
        pytest.param([], ["read_file", "/proc/{parent}/environ"], "ENOENT", id="the-parents-environment-is-gone"),
        pytest.param([], ["call", 101, 16, "parent", 0, 0], "EPERM", id="the-parent-cannot-be-traced"),
        pytest.param([], ["read_memory_of_parent"], "EPERM", id="the-parent-cannot-be-read"),
        pytest.param([], ["call", 165, "none", "/", "tmpfs", 0, None], "EPERM", id="nothing-can-be-mounted"),
        pytest.param(["namespaces"], ["read_file", "/etc/passwd"], "EACCES", id="landlock-alone-keeps-files"),
        pytest.param(
            ["namespaces"], ["read_file", "/proc/1/environ"], "EACCES", id="landlock-alone-keeps-environments"
        ),
    ],
)
@on_x86
def test_weak_is_as_strong_as_the_machine_lets_it_be(
    make: Callable[..., Sandbox], without: list[str], order: list[object], outcome: str
) -> None:
    sandbox = make("seccomp", *without, sandbox="weak")
    needed = {"landlock"} if without else {"namespaces", "landlock"}
    if missing := needed - set(sandbox.start()):
        pytest.skip(f"this machine has no {', '.join(missing)}")
    assert obey(sandbox, *order) == outcome


def test_weak_on_a_machine_with_nothing_decodes_and_says_so(make: Callable[..., Sandbox]) -> None:
    sandbox = make("seccomp", "landlock", "namespaces", sandbox="weak")
    assert not {"seccomp", "landlock", "namespaces"} & set(sandbox.start())
    assert obey(sandbox, "read_file", "/etc/hostname") != "EPERM", "what weak gives up is not hidden"


def test_what_is_left_out_by_name_must_be_known() -> None:
    with pytest.raises(ConfigError, match="no mechanism is called apparmor; known: life_pipe"):
        Sandbox(DecodeConfig(), without=["apparmor"])


def test_where_the_sandbox_is_off_nothing_is_in_force() -> None:
    assert measure_isolation(DecodeConfig(sandbox=False), ("pyav",)) == ()


@pytest.mark.parametrize("value", [pytest.param("strong"), pytest.param("Weak"), pytest.param(1), pytest.param(None)])
def test_a_misspelled_sandbox_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=f"{value!r} is none of: true, false, weak"):
        DecodeConfig.model_validate({"sandbox": value})


PROBE = """
import sys
from framegate.jobs.cli import main
sys.argv = ["framegate", "probe", "-v", {film!r}]
main()
"""
RUN = """
import json, sys
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import SandboxError
from framegate.schemas.job import parse_job
try:
    summary = flow.run(parse_job(json.loads({job!r})), engine_factory=ScriptedEngine, in_process=True, run_id="r1")
    print("answers", summary.counts.num_answers)
except SandboxError as error:
    print("refused:", error)
"""


def run_on(machine: tuple[int, ...], script: Path) -> subprocess.CompletedProcess[str]:
    numbers = ",".join(map(str, machine))
    command = [sys.executable, str(HERE / "weak_machine.py"), numbers, str(script)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


@on_x86
def test_a_real_machine_without_seccomp_refuses_to_probe(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    script = tmp_path / "probe.py"
    script.write_text(PROBE.format(film=str(make_video(tmp_path / "film.mp4"))))
    done = run_on((SECCOMP, LANDLOCK, UNSHARE), script)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {REFUSAL} (Operation not permitted); run where")
    assert done.stdout == ""


@on_x86
def test_a_real_machine_without_landlock_probes_and_says_what_is_in_force(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    script = tmp_path / "probe.py"
    script.write_text(PROBE.format(film=str(make_video(tmp_path / "film.mp4"))))
    done = run_on((LANDLOCK, UNSHARE), script)
    assert done.returncode == 0, done.stderr
    assert "sandbox: life_pipe, rlimits, no_new_privileges, no_capabilities, seccomp (not: namespaces, landlock)\n" in (
        done.stdout
    )


@on_x86
@pytest.mark.parametrize(
    ("machine", "value", "said", "in_force"),
    [
        pytest.param((SECCOMP,), True, "refused: ", None, id="strict-without-seccomp"),
        pytest.param((SECCOMP, LANDLOCK, UNSHARE), "weak", "answers ", {"rlimits"}, id="weak-with-nothing"),
        pytest.param((LANDLOCK, UNSHARE), True, "answers ", {"rlimits", "seccomp"}, id="strict-with-seccomp-alone"),
    ],
)
def test_a_run_is_refused_before_work_or_its_record_says_what_was_in_force(
    tmp_path: Path,
    make_video: Callable[..., Path],
    model_folder: Path,
    machine: tuple[int, ...],
    value: object,
    said: str,
    in_force: set[str] | None,
) -> None:
    make_video(tmp_path / "videos" / "film.mp4", seconds=2)
    job = {
        "input": {"videos": str(tmp_path / "videos")},
        "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
        "model": {"name": str(model_folder)},
        "output": {"uri": str(tmp_path / "index")},
        "frames": {"fps": 2, "max_frames": 4},
        "decode": {"sandbox": value},
    }
    script = tmp_path / "run.py"
    script.write_text(RUN.format(job=json.dumps(job)))
    done = run_on(machine, script)
    assert done.stdout.startswith(said), (done.stdout, done.stderr)
    record = json.loads((tmp_path / "index" / "runs" / "r1.json").read_text())
    if in_force is None:
        assert (record["state"], record["stop_code"], record["sandbox"]) == ("failed", "error", None)
        assert record["stop_reason"].startswith(REFUSAL)
        assert not (tmp_path / "index" / "journal").exists()
        assert not (tmp_path / "index" / "failures").exists()
    else:
        assert record["state"] == "complete"
        assert set(record["sandbox"]) & {"rlimits", "seccomp", "landlock", "namespaces"} == in_force
