"""A sandbox decodes as the decoder would in process, video after video, and is replaced when it is worn out."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import (
    StorageError,
    VersionChanged,
    VideoError,
)
from tests.decode.sandbox.sources import Bytes, FailsAfter, eventually, is_running, read_some


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_header_frames_and_byte_counts_are_those_of_the_decoder_in_process(film: bytes, decoder: str) -> None:
    pytest.importorskip(decoder if decoder == "decord" else "av")
    times = [0.0, 0.31, 0.32, 4.0, 9.95, 20.0]
    with (
        open_reader(decoder, RangeFile.of(film)) as expected,
        Sandbox(DecodeConfig(), [decoder]) as sandbox,
        sandbox.open(decoder, Bytes(film)) as reader,
    ):
        assert reader.header == expected.header
        for height, width in ((56, 84), (28, 28)):
            ours, theirs = (one.read(times, height=height, width=width) for one in (reader, expected))
            np.testing.assert_array_equal(ours.frames_THWC, theirs.frames_THWC)
            np.testing.assert_array_equal(ours.pts_seconds, theirs.pts_seconds)
            assert ours.has_ended is theirs.has_ended
        assert reader.count_bytes(times) == expected.count_bytes(times)
        assert len(reader.read([], height=28, width=28).pts_seconds) == 0


def test_frames_are_put_where_the_caller_wants_them_and_stay_when_the_next_come(
    pyav_sandbox: Sandbox, film: bytes
) -> None:
    out = np.zeros((3, 28, 28, 3), np.uint8)
    strided = np.zeros((3, 28, 28, 6), np.uint8)[..., ::2]
    with pyav_sandbox.open("pyav", Bytes(film)) as reader:
        first = reader.read([1.0, 2.0, 3.0], height=28, width=28, out=out)
        again = reader.read([1.0, 2.0, 3.0], height=28, width=28, out=strided)
        kept = first.frames_THWC.copy()
        reader.read([4.0, 5.0, 6.0], height=28, width=28)
        with pytest.raises(ValueError, match="out must be uint8"):
            reader.read([1.0], height=28, width=28, out=out)
    assert np.shares_memory(first.frames_THWC, out)
    assert np.shares_memory(again.frames_THWC, strided)
    np.testing.assert_array_equal(first.frames_THWC, kept)
    np.testing.assert_array_equal(again.frames_THWC, kept)


def test_one_process_opens_many_broken_files_with_the_errors_of_the_decoder_in_process(
    pyav_sandbox: Sandbox, film: bytes, tmp_path: Path, write_sound: Callable[[Path], Path]
) -> None:
    files = [
        b"",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n",
        b"words, and no video",
        write_sound(tmp_path / "sound.mp4").read_bytes(),
        film[:2000],
        film[:40] + bytes(4000),
        film,
    ]
    pids, reasons = set(), []
    for data in files:
        outcomes = []
        for open_video in (
            lambda data=data: pyav_sandbox.open("pyav", Bytes(data)),
            lambda data=data: open_reader("pyav", RangeFile.of(data)),
        ):
            try:
                with open_video() as reader:
                    outcomes.append((type(reader.header), repr(reader.header)))
            except VideoError as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]
        reasons.append(getattr(outcomes[0][0], "reason", "ok"))
        pids.add(pyav_sandbox.pid)
    assert reasons[:4] == ["empty", "playlist", "not_video", "no_video_stream"]
    assert reasons[-1] == "ok"
    assert len(pids) == 1, "an error that the decoder itself finds costs no process"


def test_two_sandboxes_decode_at_the_same_time(film: bytes) -> None:
    def work(seconds: float) -> tuple[int | None, list[float]]:
        with Sandbox(DecodeConfig()) as sandbox, sandbox.open("pyav", Bytes(film)) as reader:
            times = [reader.read([seconds], height=28, width=28).pts_seconds[0] for _ in range(20)]
            return sandbox.pid, times

    with ThreadPoolExecutor(2) as pool:
        (first_pid, first), (second_pid, second) = pool.map(work, [2.0, 7.0])
    assert first_pid != second_pid
    assert first == [2.0] * 20
    assert second == [7.0] * 20


@pytest.mark.parametrize("error", [VersionChanged("it is another one now"), StorageError("no"), OSError("a bug")])
def test_errors_of_storage_come_through_as_they_are_and_cost_no_process(
    pyav_sandbox: Sandbox, film: bytes, long_film: bytes, error: Exception
) -> None:
    pyav_sandbox.open("pyav", Bytes(film)).close()
    pid = pyav_sandbox.pid
    with pytest.raises(type(error)) as caught:
        pyav_sandbox.open("pyav", FailsAfter(film, 0, error))
    assert caught.value is error
    source = FailsAfter(long_film, 1000, error)
    with pyav_sandbox.open("pyav", source) as reader:
        source.num_reads = 0
        with pytest.raises(type(error)) as caught:
            reader.read([0.0, 9.0], height=28, width=28)
        assert caught.value is error
    with pyav_sandbox.open("pyav", Bytes(film)) as reader:
        assert reader.read([5.0], height=28, width=28).pts_seconds.tolist() == [5.0]
    assert pyav_sandbox.pid == pid


def test_storage_that_gives_too_little_is_an_error_of_storage(pyav_sandbox: Sandbox, film: bytes) -> None:
    source = Bytes(film)
    source.data = film[:1000]
    with pytest.raises(StorageError, match="were asked for"):
        pyav_sandbox.open("pyav", source)


def test_an_interrupt_while_storage_is_read_ends_the_process(pyav_sandbox: Sandbox, film: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        pyav_sandbox.open("pyav", FailsAfter(film, 0, KeyboardInterrupt()))  # type: ignore[arg-type]
    assert pyav_sandbox.pid is None


def test_a_process_is_replaced_after_so_many_videos(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Plain", recycle_videos=2)
    pids = []
    for _ in range(5):
        read_some(sandbox, "Plain")
        pids.append(sandbox.pid)
    first, second, third = pids[0], pids[2], pids[4]
    assert pids == [first, first, second, second, third]
    assert len({first, second, third}) == 3


def test_a_process_that_has_grown_is_replaced(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Leaks", recycle_rss_mib=64)
    pids = []
    for _ in range(3):
        read_some(sandbox, "Leaks")
        pids.append(sandbox.pid)
    assert pids[0] == pids[1] != pids[2]


def test_a_process_that_died_between_videos_is_no_videos_fault(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Plain")
    read_some(sandbox, "Plain")
    pid = sandbox.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: sandbox.pid is None)
    assert len(read_some(sandbox, "Plain")) == 1


def test_frames_in_shared_memory_are_no_growth(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Plain", recycle_rss_mib=64)
    with sandbox.open("Plain", Bytes()) as reader:
        huge = reader.read([1.0, 2.0], height=4000, width=4000)  # 92 MiB
        assert (huge.frames_THWC == 128).all()
        pid = sandbox.pid
    read_some(sandbox, "Plain")
    assert sandbox.pid == pid


def test_opening_a_second_video_closes_the_first(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Plain")
    first = sandbox.open("Plain", Bytes())
    second = sandbox.open("Plain", Bytes())
    with pytest.raises(ValueError, match="closed"):
        first.read([1.0], height=4, width=6)
    assert len(second.read([1.0], height=4, width=6).pts_seconds) == 1


def test_a_closed_sandbox_has_no_process_until_it_opens_again(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox("Plain")
    assert sandbox.pid is None
    sandbox.open("Plain", Bytes())
    pid = sandbox.pid
    assert pid is not None
    sandbox.close()
    sandbox.close()
    assert sandbox.pid is None
    assert not is_running(pid)
    assert len(read_some(sandbox, "Plain")) == 1


def test_a_forgotten_sandbox_takes_its_process_along(make_sandbox: Callable[..., Sandbox], film: bytes) -> None:
    sandbox = Sandbox(DecodeConfig())
    reader = sandbox.open("pyav", Bytes(film))
    pid = sandbox.pid
    assert pid is not None
    del sandbox, reader
    gc.collect()
    assert not is_running(pid)
