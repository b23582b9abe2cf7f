"""What a decoder's process may say, and what is made of it when it says something else."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from framegate.pipelines.decode.readers.reader import DECODERS, Decoder
from framegate.pipelines.decode.sandbox.frames_file import KEPT_BYTES, FramesFile, room_bytes
from framegate.pipelines.decode.sandbox.process import ChildProcess
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.pipelines.decode.sandbox.wire import Malformed
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import (
    ConfigError,
    DecoderCrash,
    SandboxError,
)
from tests.decode.sandbox.sources import Bytes

READY = {"kind": "ready", "in_force": ["seccomp"], "missing": {}}
OPENED = {
    "kind": "opened",
    "tells_progress": True,
    "header": {
        "container": "matroska", "codec": "grey", "display_height": 4, "display_width": 6, "duration_seconds": 9.0,
        "fps": None, "num_streams": 1, "is_cut_short": False, "gaps": [[-1.0, 2.0], [4.0, 10.0]],
        "rotation": 90, "created_seconds": 1.8e9,
    },
}  # fmt: skip


def framed(message: object) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return len(data).to_bytes(4, "little") + bytes(8) + data


def test_frames_that_were_taken_away_are_no_answer() -> None:
    """Nor the SIGBUS that a parent would die of, had it mapped them."""
    with closing(FramesFile()) as frames:
        frames.grow(room_bytes(1, 400, 600))
        os.ftruncate(frames.descriptor, 5000)
        with pytest.raises(Malformed, match="not all there"):
            frames.copy_out(np.empty((1, 400, 600, 3), np.uint8), num_asked=1)


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff" * 4096,
        len(b"{}").to_bytes(4, "little") + (1 << 40).to_bytes(8, "little") + b"{}",
        *map(
            framed,
            [
                b"{",
                b"[]",
                b"[" * 60_000,
                b"\xff\xfe",
                {},
                {"kind": 7},
                {"kind": "aborted"},
                {"kind": "opened"},
                {"kind": "frames"},
                {"kind": "frames", "num_frames": -1, "has_ended": True},
                {"kind": "frames", "num_frames": 2, "has_ended": True},
                {"kind": "frames", "num_frames": True, "has_ended": True},
                {"kind": "frames", "num_frames": 1e400, "has_ended": True},
                {"kind": "frames", "num_frames": 1, "has_ended": "no"},
                {"kind": "fetch", "start": -1, "end": 2},
                {"kind": "fetch", "start": 2, "end": 1},
                {"kind": "fetch", "start": 0, "end": 10**12},
                {"kind": "fetch", "start": "0", "end": "2"},
                {"kind": "fetch", "start": float("nan"), "end": float("inf")},
                {"kind": "error", "reason": "not_video"},
                {"kind": "error", "reason": "not_video", "message": "x" * 5000},
            ],
        ),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_crash(answer: bytes) -> None:
    said = framed(READY) + framed(OPENED) + answer
    script = f"import json, os, sys, time; os.write(json.loads(sys.argv[1])['socket'], {said!r}); time.sleep(3600)"
    start = partial(ChildProcess, command=script)
    with Sandbox(DecodeConfig(), start_process=start) as sandbox, sandbox.open("pyav", Bytes()) as reader:
        with pytest.raises(DecoderCrash, match="cannot be right"):
            reader.read([1.0], height=4, width=6)
        assert sandbox.pid is None


@pytest.mark.parametrize(
    "gaps",
    [None, {}, [3.0], [[1.0]], [[1.0, 2.0, 3.0]], [["1", "2"]], [[2.0, 1.0]], [[0.0, 5.0], [4.0, 9.0]], [[0.0, 1e400]],
     [[k, k + 0.5] for k in range(1001)]],
)  # fmt: skip
def test_gaps_that_make_no_sense_are_a_crash(gaps: object) -> None:
    opened = {**OPENED, "header": {**OPENED["header"], "gaps": gaps}}
    said = framed(READY) + framed(opened)
    script = f"import json, os, sys, time; os.write(json.loads(sys.argv[1])['socket'], {said!r}); time.sleep(3600)"
    start = partial(ChildProcess, command=script)
    with (
        Sandbox(DecodeConfig(), start_process=start) as sandbox,
        pytest.raises(DecoderCrash, match="cannot be right"),
    ):
        sandbox.open("pyav", Bytes())


def test_a_process_that_does_not_start_is_no_fault_of_a_video() -> None:
    start = partial(ChildProcess, command="raise SystemExit('no such module')")
    with (
        Sandbox(DecodeConfig(), start_process=start) as sandbox,
        pytest.raises(SandboxError, match=r"exit code 1.*no such module"),
    ):
        sandbox.open("pyav", Bytes())


def test_a_python_that_is_not_there_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Sandbox(DecodeConfig()) as sandbox, pytest.raises(SandboxError, match="cannot be started"):
        sandbox.open("pyav", Bytes())


def test_decoders_that_are_not_there_are_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        Sandbox(DecodeConfig(), ["vlc"])
    monkeypatch.setitem(DECODERS, "vlc", Decoder(package="a_package_that_is_not_there", reader="nowhere:Reader"))
    with Sandbox(DecodeConfig(), ["vlc"]) as sandbox:
        with pytest.raises(ConfigError, match="was not made for the decoder 'pyav'"):
            sandbox.open("pyav", Bytes())
        with pytest.raises(ConfigError, match="a_package_that_is_not_there"):
            sandbox.open("vlc", Bytes())


def test_what_a_huge_read_took_is_given_back() -> None:
    with closing(FramesFile()) as frames:
        frames.grow(2 * KEPT_BYTES)
        frames.shrink()
        assert os.fstat(frames.descriptor).st_size == frames.size_bytes == KEPT_BYTES
