"""Whatever a decoder does, the sandbox ends it with a reason, and nothing of it is left."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pipelines.decode.blocks import RangeFile
from pipelines.decode.reader import DECODERS, Decoder, open_reader
from pipelines.decode.sandbox import process
from pipelines.decode.sandbox.deadlines import Stopwatch
from pipelines.decode.sandbox.frames_file import FramesFile, room_bytes
from pipelines.decode.sandbox.slot import Sandbox
from pipelines.decode.sandbox.wire import Malformed
from schemas.config import DecodeConfig
from schemas.errors import (
    ConfigError,
    DecodeFailed,
    DecoderCrash,
    DecodeTimeout,
    MemoryLimit,
    StorageError,
    VersionChanged,
    VideoError,
)

HERE = Path(__file__).parent
MATROSKA = bytes.fromhex("1a45dfa3")
ALL_OF_IT = ("life_pipe", "rlimits", "no_new_privileges", "seccomp")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left of a process is read from /proc")


class Bytes:
    """A source in memory."""

    def __init__(self, data: bytes = MATROSKA) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.bytes_read = 0

    def read(self, start: int, end: int) -> bytes:
        self.bytes_read += end - start
        return self.data[start:end]


class FailsAfter(Bytes):
    """Storage that gives up after so many reads."""

    def __init__(self, data: bytes, num_reads: int, error: Exception) -> None:
        super().__init__(data)
        self.num_reads, self.error = num_reads, error

    def read(self, start: int, end: int) -> bytes:
        self.num_reads -= 1
        if self.num_reads < 0:
            raise self.error
        return super().read(start, end)


def is_running(pid: int) -> bool:
    """Not gone, and no zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


def children() -> set[str]:
    """Numbers of all processes whose parent this one is, zombies among them."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def held() -> tuple[int, int, list[str], set[str]]:
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), sorted(os.listdir("/dev/shm")), children()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """After each test: as many descriptors and threads as before, no process, nothing new in /dev/shm."""
    before = held()
    yield
    assert eventually(lambda: held() == before), f"before: {before}, after: {held()}"


@pytest.fixture
def make_slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """`make_slot("HangsAtOpen", open_seconds=0.3)`: a sandbox for this fake, by its name."""
    slots = []
    monkeypatch.syspath_prepend(str(HERE))

    def make(*names: str, module: str = "fake_readers", **limits: object) -> Sandbox:
        for name in names:
            monkeypatch.setitem(DECODERS, name, Decoder(package="json", reader=f"{module}:{name}"))
        slots.append(Sandbox(DecodeConfig(**limits), names))
        return slots[-1]

    yield make
    for slot in slots:
        slot.close()


@pytest.fixture
def pyav_slot() -> Iterator[Sandbox]:
    with Sandbox(DecodeConfig()) as slot:
        yield slot


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory, write_film: Callable[..., Path]) -> bytes:
    """A film that is not read whole when it is opened: its frames are noise and take up space."""

    def noise(number: int, *, height: int, width: int) -> np.ndarray:
        return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)

    path = tmp_path_factory.mktemp("long") / "film.mp4"
    times = [number / 10 for number in range(100)]
    options = {"movflags": "faststart"}
    return write_film(path, times_seconds=times, height=128, width=192, drawing=noise, options=options).read_bytes()


def read_some(slot: Sandbox, name: str, times_seconds: Sequence[float] = (1.0,)) -> np.ndarray:
    with slot.open(name, Bytes()) as reader:
        return reader.read(times_seconds, height=4, width=6).frames_THWC


# ---- the same as in process


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_header_frames_and_byte_counts_are_those_of_the_decoder_in_process(film: bytes, decoder: str) -> None:
    pytest.importorskip(decoder if decoder == "decord" else "av")
    times = [0.0, 0.31, 0.32, 4.0, 9.95, 20.0]
    with (
        open_reader(decoder, RangeFile.of(film)) as expected,
        Sandbox(DecodeConfig(), [decoder]) as slot,
        slot.open(decoder, Bytes(film)) as reader,
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
    pyav_slot: Sandbox, film: bytes
) -> None:
    out = np.zeros((3, 28, 28, 3), np.uint8)
    strided = np.zeros((3, 28, 28, 6), np.uint8)[..., ::2]
    with pyav_slot.open("pyav", Bytes(film)) as reader:
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
    pyav_slot: Sandbox, film: bytes, tmp_path: Path, write_sound: Callable[[Path], Path]
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
            lambda data=data: pyav_slot.open("pyav", Bytes(data)),
            lambda data=data: open_reader("pyav", RangeFile.of(data)),
        ):
            try:
                with open_video() as reader:
                    outcomes.append((type(reader.header), repr(reader.header)))
            except VideoError as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]
        reasons.append(getattr(outcomes[0][0], "reason", "ok"))
        pids.add(pyav_slot.pid)
    assert reasons[:4] == ["empty", "playlist", "not_video", "no_video_stream"]
    assert reasons[-1] == "ok"
    assert len(pids) == 1, "an error that the decoder itself finds costs no process"


def test_two_slots_decode_at_the_same_time(film: bytes) -> None:
    def work(seconds: float) -> tuple[int | None, list[float]]:
        with Sandbox(DecodeConfig()) as slot, slot.open("pyav", Bytes(film)) as reader:
            times = [reader.read([seconds], height=28, width=28).pts_seconds[0] for _ in range(20)]
            return slot.pid, times

    with ThreadPoolExecutor(2) as pool:
        (first_pid, first), (second_pid, second) = pool.map(work, [2.0, 7.0])
    assert first_pid != second_pid
    assert first == [2.0] * 20
    assert second == [7.0] * 20


# ---- every vice has its reason


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
def test_a_vice_ends_in_its_reason_and_the_next_video_is_decoded(
    make_slot: Callable[..., Sandbox], name: str, limits: dict, error_class: type[VideoError], words: str
) -> None:
    slot = make_slot(name, "Plain", **limits)
    slot.open("Plain", Bytes()).close()
    pid = slot.pid
    assert pid is not None
    with pytest.raises(error_class, match=words):
        read_some(slot, name)
    is_of_no_use = error_class in (DecodeTimeout, DecoderCrash, MemoryLimit)
    assert is_running(pid) is not is_of_no_use
    assert (slot.pid is None) is is_of_no_use
    assert (read_some(slot, "Plain", [1.0, 2.0]) == 128).all()


def test_times_that_do_not_ascend_are_no_answer(make_slot: Callable[..., Sandbox]) -> None:
    with pytest.raises(DecoderCrash, match="do not ascend"):
        read_some(make_slot("GivesTimesThatGoBack"), "GivesTimesThatGoBack", [1.0, 2.0])


def test_who_reads_the_file_over_and_over_without_a_frame_hangs(make_slot: Callable[..., Sandbox]) -> None:
    source = Bytes(MATROSKA + bytes(20 << 20))  # more than a RangeFile keeps
    reader = make_slot("ReadsForever", frame_seconds=0.3).open("ReadsForever", source)
    with pytest.raises(DecodeTimeout, match="no frame"):
        reader.read([1.0], height=4, width=6)


@pytest.mark.parametrize("name", ["HangsAtClose", "AbortsAtClose"])
def test_a_decoder_that_cannot_close_has_given_its_frames(
    make_slot: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("pipelines.decode.sandbox.remote_reader.CLOSE_SECONDS", 0.3)
    slot = make_slot(name)
    assert len(read_some(slot, name)) == 1
    assert slot.pid is None


def test_frames_that_were_taken_away_are_no_answer() -> None:
    """Nor the SIGBUS that a parent would die of, had it mapped them."""
    with closing(FramesFile()) as frames:
        frames.grow(room_bytes(1, 400, 600))
        os.ftruncate(frames.descriptor, 5000)
        with pytest.raises(Malformed, match="not all there"):
            frames.copy_out(np.empty((1, 400, 600, 3), np.uint8), num_asked=1)


def test_processes_that_a_decoder_started_end_with_it(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Forking", module="fake_forking_reader")
    reader = slot.open("Forking", Bytes())
    grandchild = int(reader.header.codec)
    assert is_running(grandchild)
    with pytest.raises(DecoderCrash, match="exit code 3"):
        reader.read([1.0], height=4, width=6)
    assert eventually(lambda: not is_running(grandchild))


def test_a_dead_reader_says_so(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Exits", "Plain")
    reader = slot.open("Exits", Bytes())
    with pytest.raises(DecoderCrash):
        reader.read([1.0], height=4, width=6)
    with pytest.raises(DecoderCrash, match="opened again"):
        reader.read([1.0], height=4, width=6)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read([1.0], height=4, width=6)


# ---- a child that speaks another language

OPENED = {
    "kind": "opened",
    "tells_progress": True,
    "header": {
        "container": "matroska", "codec": "grey", "display_height": 4, "display_width": 6, "duration_seconds": 9.0,
        "fps": None, "num_streams": 1, "is_cut_short": False,
    },
}  # fmt: skip


def framed(message: object) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return len(data).to_bytes(4, "little") + bytes(8) + data


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
def test_an_answer_that_makes_no_sense_is_a_crash(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    said = framed({"kind": "ready", "isolation": []}) + framed(OPENED) + answer
    script = f"import json, os, sys, time; os.write(json.loads(sys.argv[1])['socket'], {said!r}); time.sleep(3600)"
    monkeypatch.setattr(process, "_COMMAND", script)
    with Sandbox(DecodeConfig()) as slot, slot.open("pyav", Bytes()) as reader:
        with pytest.raises(DecoderCrash, match="cannot be right"):
            reader.read([1.0], height=4, width=6)
        assert slot.pid is None


def test_a_process_that_does_not_start_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_COMMAND", "raise SystemExit('no such module')")
    with Sandbox(DecodeConfig()) as slot, pytest.raises(DecoderCrash, match=r"exit code 1.*no such module"):
        slot.open("pyav", Bytes())


def test_a_python_that_is_not_there_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Sandbox(DecodeConfig()) as slot, pytest.raises(DecoderCrash, match="cannot be started"):
        slot.open("pyav", Bytes())


def test_decoders_that_are_not_there_are_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        Sandbox(DecodeConfig(), ["vlc"])
    monkeypatch.setitem(DECODERS, "vlc", Decoder(package="a_package_that_is_not_there", reader="nowhere:Reader"))
    with Sandbox(DecodeConfig(), ["vlc"]) as slot:
        with pytest.raises(ConfigError, match="none of this slot's"):
            slot.open("pyav", Bytes())
        with pytest.raises(ConfigError, match="a_package_that_is_not_there"):
            slot.open("vlc", Bytes())


# ---- storage


@pytest.mark.parametrize("error", [VersionChanged("it is another one now"), StorageError("no"), OSError("a bug")])
def test_errors_of_storage_come_through_as_they_are_and_cost_no_process(
    pyav_slot: Sandbox, film: bytes, long_film: bytes, error: Exception
) -> None:
    pyav_slot.open("pyav", Bytes(film)).close()
    pid = pyav_slot.pid
    with pytest.raises(type(error)) as caught:
        pyav_slot.open("pyav", FailsAfter(film, 0, error))
    assert caught.value is error
    source = FailsAfter(long_film, 1000, error)
    with pyav_slot.open("pyav", source) as reader:
        source.num_reads = 0
        with pytest.raises(type(error)) as caught:
            reader.read([0.0, 9.0], height=28, width=28)
        assert caught.value is error
    with pyav_slot.open("pyav", Bytes(film)) as reader:
        assert reader.read([5.0], height=28, width=28).pts_seconds.tolist() == [5.0]
    assert pyav_slot.pid == pid


def test_storage_that_gives_too_little_is_an_error_of_storage(pyav_slot: Sandbox, film: bytes) -> None:
    source = Bytes(film)
    source.data = film[:1000]
    with pytest.raises(StorageError, match="were asked for"):
        pyav_slot.open("pyav", source)


def test_an_interrupt_while_storage_is_read_ends_the_process(pyav_slot: Sandbox, film: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        pyav_slot.open("pyav", FailsAfter(film, 0, KeyboardInterrupt()))  # type: ignore[arg-type]
    assert pyav_slot.pid is None


# ---- deadlines


def stopwatch(counter: list[int], **limits: float) -> Stopwatch:
    return Stopwatch(DecodeConfig(**limits), lambda: str(counter[0]).encode())


def test_a_deadline_between_frames_begins_anew_with_each_frame() -> None:
    counter = [0]
    watch = stopwatch(counter, frame_seconds=10)
    watch.begin("frame")
    for counter[0] in range(50):
        watch.spend(9)
    with pytest.raises(DecodeTimeout, match="no frame for 10 seconds"):
        watch.spend(11)


def test_opening_has_one_deadline_whatever_progress_there_is() -> None:
    counter = [0]
    watch = stopwatch(counter, open_seconds=10)
    for counter[0] in range(3):
        watch.spend(3)
    with pytest.raises(DecodeTimeout, match="open_seconds"):
        watch.spend(3)


def test_a_decoder_that_says_nothing_has_the_time_of_all_its_frames() -> None:
    watch = stopwatch([0], frame_seconds=10)
    watch.begin("frame", num_frames=5)
    watch.spend(49)
    with pytest.raises(DecodeTimeout, match=r"no frame for 50 seconds .*frame_seconds is 10"):
        watch.spend(2)


def test_the_time_of_all_reads_counts_for_the_video() -> None:
    watch = stopwatch([0], frame_seconds=10, video_seconds=25)
    for _ in range(3):
        watch.begin("frame")
        watch.spend(8)
    watch.begin("frame")
    with pytest.raises(DecodeTimeout, match="video_seconds"):
        watch.spend(8)


def test_slow_storage_is_not_the_decoders_fault(make_slot: Callable[..., Sandbox]) -> None:
    class Slow(Bytes):
        def read(self, start: int, end: int) -> bytes:
            time.sleep(1.5)
            return super().read(start, end)

    slot = make_slot("Plain", open_seconds=1.2, video_seconds=1.2)
    assert slot.open("Plain", Slow()).header.codec == "grey"


# ---- a process for many videos, but not for ever


def test_a_process_is_replaced_after_so_many_videos(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Plain", recycle_videos=2)
    pids = []
    for _ in range(5):
        read_some(slot, "Plain")
        pids.append(slot.pid)
    first, second, third = pids[0], pids[2], pids[4]
    assert pids == [first, first, second, second, third]
    assert len({first, second, third}) == 3


def test_a_process_that_has_grown_is_replaced(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Leaks", recycle_rss_mib=64)
    pids = []
    for _ in range(3):
        read_some(slot, "Leaks")
        pids.append(slot.pid)
    assert pids[0] == pids[1] != pids[2]


def test_frames_in_shared_memory_are_no_growth(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Plain", recycle_rss_mib=64)
    with slot.open("Plain", Bytes()) as reader:
        reader.read([1.0, 2.0], height=4000, width=4000)  # 92 MiB
        pid = slot.pid
    read_some(slot, "Plain")
    assert slot.pid == pid


def test_opening_a_second_video_closes_the_first(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Plain")
    first = slot.open("Plain", Bytes())
    second = slot.open("Plain", Bytes())
    with pytest.raises(ValueError, match="closed"):
        first.read([1.0], height=4, width=6)
    assert len(second.read([1.0], height=4, width=6).pts_seconds) == 1


def test_a_closed_slot_has_no_process_until_it_opens_again(make_slot: Callable[..., Sandbox]) -> None:
    slot = make_slot("Plain")
    assert slot.pid is None
    slot.open("Plain", Bytes())
    pid = slot.pid
    assert pid is not None
    slot.close()
    slot.close()
    assert slot.pid is None
    assert not is_running(pid)
    assert len(read_some(slot, "Plain")) == 1


def test_a_forgotten_slot_takes_its_process_along(make_slot: Callable[..., Sandbox], film: bytes) -> None:
    slot = Sandbox(DecodeConfig())
    reader = slot.open("pyav", Bytes(film))
    pid = slot.pid
    assert pid is not None
    del slot, reader
    gc.collect()
    assert not is_running(pid)


def test_a_killed_parent_leaves_no_child_even_one_that_hangs_in_native_code() -> None:
    script = """
import json, os, signal, sys, threading
sys.path[:] = json.loads(sys.argv[1])
from pipelines.decode.reader import DECODERS, Decoder
from pipelines.decode.sandbox.slot import Sandbox
from schemas.config import DecodeConfig
class Source:
    size_bytes, bytes_read = 4, 0
    def read(self, start, end):
        return bytes.fromhex("1a45dfa3")[start:end]
DECODERS["fake"] = Decoder(package="json", reader="fake_readers:HangsInNativeCode")
slot = Sandbox(DecodeConfig(), ["fake"])
reader = slot.open("fake", Source())
threading.Timer(0.3, lambda: print(slot.pid, *slot.isolation, flush=True)).start()
reader.read([1.0], height=4, width=6)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps([str(HERE), *(path or os.getcwd() for path in sys.path)])],
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


# ---- what the child may not do


@pytest.fixture
def attempt(make_slot: Callable[..., Sandbox]) -> Callable[[str], str]:
    """`attempt("open /etc/passwd")`: the outcome in the child as text, or the name of the OSError."""
    slot = make_slot("Attempts")

    def attempt(what: str) -> str:
        return slot.open("Attempts", Bytes(MATROSKA + what.encode())).header.codec

    attempt.slot = slot  # type: ignore[attr-defined]
    return attempt


def test_the_child_has_no_files_no_network_no_programs_and_no_environment(
    attempt: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    secret = tmp_path / "secret"
    secret.write_text("hush")
    assert "AWS" not in attempt("environment")
    assert "hush" not in attempt("environment")
    assert attempt("thread") == "'it ran'", "decoders need threads"
    isolation = attempt.slot.isolation  # type: ignore[attr-defined]
    if "seccomp" not in isolation:
        pytest.skip(f"system calls cannot be filtered here; in force: {isolation}")
    assert isolation == ALL_OF_IT
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
    with Sandbox(DecodeConfig()) as slot:
        for path in real_videos:
            outcomes = []
            data = path.read_bytes()
            for reader in (slot.open("pyav", Bytes(data)), open_reader("pyav", RangeFile.of(data))):
                with reader:
                    outcomes.append((reader.header, reader.read([0.5], height=56, width=56).frames_THWC.tobytes()))
            assert outcomes[0] == outcomes[1], path.name
