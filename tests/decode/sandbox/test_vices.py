"""Whatever a decoder does, the sandbox ends it with a reason, and nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.errors import (
    DecodeFailed,
    DecoderCrash,
    DecodeTimeout,
    MemoryLimit,
    VideoError,
)
from tests.decode.sandbox.sources import MATROSKA, Bytes, children, eventually, is_running, read_some


@pytest.mark.parametrize(
    ("name", "limits", "error_class", "words"),
    [
        ("HangsAtOpen", {"open_seconds": 0.3}, DecodeTimeout, "within 0.3 seconds.*open_seconds"),
        ("HangsInRead", {"frame_seconds": 0.3}, DecodeTimeout, "no frame for 0.3 seconds.*frame_seconds"),
        ("HangsInNativeCode", {"frame_seconds": 0.3}, DecodeTimeout, "no frame for 0.3 seconds"),
        ("IgnoresSignals", {"frame_seconds": 0.3}, DecodeTimeout, "no frame for 0.3 seconds"),
        ("NeverEnds", {"video_seconds": 0.3}, DecodeTimeout, "more than 0.3 seconds.*video_seconds"),
        ("UsesUpItsCpuTime", {}, DecodeTimeout, "CPU time"),
        ("Aborts", {}, DecoderCrash, r"SIGABRT.*free\(\): invalid pointer"),
        ("AbortsAtOpen", {}, DecoderCrash, "SIGABRT"),
        ("Segfaults", {}, DecoderCrash, "SIGSEGV"),
        ("Exits", {}, DecoderCrash, "exit code 7"),
        ("ClosesItsSocket", {}, DecoderCrash, "closed its connection"),
        ("WantsMemory", {"memory_mib": 256}, MemoryLimit, "memory_mib"),
        ("WantsMemoryInFFmpeg", {}, MemoryLimit, "memory_mib"),
        ("Raises", {}, DecodeFailed, "unforeseen way .ValueError: a matrix is singular"),
        ("RaisesEndOfFile", {}, DecodeFailed, "unforeseen way .EOFError"),
        ("GivesWrongShapes", {}, DecodeFailed, r"shape \(2, 3, 5, 3\)"),
        ("GivesTooMany", {}, DecodeFailed, r"shape \(6, 4, 6, 3\)"),
        ("LiesInItsHeader", {}, DecoderCrash, "cannot be right.*display_height"),
    ],
)
def test_a_vice_ends_in_its_reason(
    make_sandbox: Callable[..., Sandbox], name: str, limits: dict, error_class: type[VideoError], words: str
) -> None:
    sandbox = make_sandbox(name, **limits)
    before = children()
    with pytest.raises(error_class, match=words):
        read_some(sandbox, name)
    is_of_no_use = error_class in (DecodeTimeout, DecoderCrash, MemoryLimit)
    assert children() - before == (set() if is_of_no_use else {str(sandbox.pid)})
    assert (sandbox.pid is None) is is_of_no_use


def test_after_each_kind_of_end_the_next_video_is_decoded(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Plain", "HangsInRead", "Aborts", "WantsMemoryInFFmpeg", "Raises", frame_seconds=0.3)
    for name in ("HangsInRead", "Aborts", "WantsMemoryInFFmpeg", "Raises"):
        with pytest.raises(VideoError):
            read_some(sandbox, name)
        with sandbox.open("Plain", Bytes()) as reader:
            assert reader.header.codec == "grey"


def test_times_that_do_not_ascend_are_no_answer(make_sandbox: Callable[..., Sandbox]) -> None:
    with pytest.raises(DecoderCrash, match="do not ascend"):
        read_some(make_sandbox("GivesTimesThatGoBack"), "GivesTimesThatGoBack", [1.0, 2.0])


def test_who_reads_the_file_over_and_over_without_a_frame_hangs(make_sandbox: Callable[..., Sandbox]) -> None:
    source = Bytes(MATROSKA + bytes(20 << 20))  # more than a RangeFile keeps
    reader = make_sandbox("ReadsForever", frame_seconds=0.3).open("ReadsForever", source)
    with pytest.raises(DecodeTimeout, match=r"no frame|over and over"):  # whichever comes first
        reader.read([1.0], height=4, width=6)


@pytest.mark.parametrize("name", ["HangsAtClose", "AbortsAtClose"])
def test_a_decoder_that_cannot_close_has_given_its_frames(
    make_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("framegate.pipelines.decode.sandbox.remote_reader.CLOSE_SECONDS", 0.3)
    sandbox = make_sandbox(name)
    assert len(read_some(sandbox, name)) == 1
    assert sandbox.pid is None


def test_processes_that_a_decoder_started_end_with_it(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Forking", module="fake_forking_reader")
    reader = sandbox.open("Forking", Bytes())
    grandchild = int(reader.header.codec)
    assert is_running(grandchild)
    with pytest.raises(DecoderCrash, match="exit code 3"):
        reader.read([1.0], height=4, width=6)
    assert eventually(lambda: not is_running(grandchild))


def test_a_dead_reader_says_so(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Exits", "Plain")
    reader = sandbox.open("Exits", Bytes())
    with pytest.raises(DecoderCrash):
        reader.read([1.0], height=4, width=6)
    with pytest.raises(DecoderCrash, match="opened again"):
        reader.read([1.0], height=4, width=6)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read([1.0], height=4, width=6)
