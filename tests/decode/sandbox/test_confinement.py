"""What a decoder's process may not do, and that it dies with its parent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed
from tests.decode.sandbox.sources import MATROSKA, Bytes, eventually, is_running

ALWAYS = {"life_pipe", "rlimits", "no_new_privileges", "no_capabilities", "seccomp"}


@pytest.fixture
def attempt(make_sandbox: Callable[..., Sandbox]) -> Callable[[str], str]:
    """`attempt("open /etc/passwd")`: the outcome in the child as text, or the name of the OSError."""
    sandbox = make_sandbox("Attempts")

    def attempt(what: str) -> str:
        with pytest.raises(DecodeFailed) as caught:
            sandbox.open("Attempts", Bytes(MATROSKA + what.encode()))
        return str(caught.value)

    attempt.sandbox = sandbox  # type: ignore[attr-defined]
    return attempt


def test_a_killed_parent_leaves_no_child_even_one_that_hangs_in_native_code() -> None:
    script = """
import json, os, signal, sys, threading
sys.path[:] = json.loads(sys.argv[1])
from framegate.pipelines.decode.readers.reader import DECODERS, Decoder
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed
class Source:
    size_bytes, bytes_read = 4, 0
    def read(self, start, end):
        return bytes.fromhex("1a45dfa3")[start:end]
DECODERS["fake"] = Decoder(package="json", reader="fake_readers:HangsInNativeCode")
sandbox = Sandbox(DecodeConfig(), ["fake"])
reader = sandbox.open("fake", Source())
threading.Timer(0.3, lambda: print(sandbox.pid, *sandbox.isolation, flush=True)).start()
reader.read([1.0], height=4, width=6)
"""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            json.dumps([str(Path(__file__).parent), *(path or os.getcwd() for path in sys.path)]),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid, *isolation = parent.stdout.readline().split()
        assert is_running(int(pid))
        parent.kill()
    assert "life_pipe" in isolation
    assert eventually(lambda: not is_running(int(pid)))


def test_the_child_has_no_files_no_network_no_programs_and_no_environment(
    attempt: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    secret = tmp_path / "secret"
    secret.write_text("hush")
    assert attempt("environment") == "[]"
    assert attempt("thread") == "'it ran'", "decoders need threads"
    isolation = attempt.sandbox.isolation  # type: ignore[attr-defined]
    if "seccomp" not in isolation:
        pytest.skip(f"system calls cannot be filtered here; in force: {isolation}")
    assert set(isolation) >= ALWAYS
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        refused = (
            f"open {secret}",
            f"create {tmp_path / 'new'}",
            f"stat {secret}",
            f"list {tmp_path}",
            f"unlink {secret}",
            f"connect {server.getsockname()[1]}",
            "socketpair",
            "run",
            "exec",
            "fork",
            f"kill {os.getpid()}",
        )
        outcomes = {what: attempt(what) for what in refused}
        assert set(outcomes.values()) == {"PermissionError"}, outcomes
        with pytest.raises(BlockingIOError):
            server.accept()
    assert os.listdir(tmp_path) == ["secret"]


def test_all_real_videos_are_decoded_behind_the_filter_as_without_it(real_videos: list[Path]) -> None:
    """Other codecs, 10 bits, pictures between pictures: none of them needs a call that is refused."""
    with Sandbox(DecodeConfig()) as sandbox:
        for path in real_videos:
            outcomes = []
            data = path.read_bytes()
            for reader in (sandbox.open("pyav", Bytes(data)), open_reader("pyav", RangeFile.of(data))):
                with reader:
                    outcomes.append((reader.header, reader.read([0.5], height=56, width=56).frames_THWC.tobytes()))
            assert outcomes[0] == outcomes[1], path.name
