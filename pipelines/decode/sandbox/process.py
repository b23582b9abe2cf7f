"""The parent's side of a decoder process: starts it, exchanges messages, ends it whatever it does."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from framegate.pipelines.decode.sandbox import wire
from framegate.pipelines.decode.sandbox.deadlines import Deadline
from framegate.pipelines.decode.sandbox.frames_file import FramesFile
from framegate.schemas.errors import DecoderCrash, DecodeTimeout, MemoryLimit, VideoError

END_SECONDS = 2.0  # for a process that was told to end, or whose socket has closed
LAST_WORDS_BYTES = 4096
# A decoder of one video takes one, decord some more. The kernel's own limit (RLIMIT_NPROC) counts all processes of a
# user on the machine together, and none of root's.
MAX_THREADS = 64
COMMAND = (
    "import json, sys; told = json.loads(sys.argv[1]); sys.path[:] = told['sys_path']; "
    "from framegate.pipelines.decode.sandbox.child import main; main(told)"
)
# No credentials, no proxies, no home. decord wants a PATH to add to. Each arena of malloc reserves 64 MiB of address
# space: fewer of them.
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "",
}
_INHERITED = ("LD_LIBRARY_PATH",)  # without it, some builds of Python do not start


class ChildProcess:
    """One process with its socket, its frames and its life pipe. `kill`, `end` or garbage collection free them all."""

    def __init__(self, told: Mapping[str, Any], *, command: str = COMMAND) -> None:
        """`told`: what `child.main` is told, beside the descriptors. `command`: the Python it runs. Raises OSError."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self.frames = FramesFile()
            ours.callback(self.frames.close)
            self._connection, other_end = socket.socketpair()
            ours.callback(self._connection.close)
            theirs.callback(other_end.close)
            self._connection.setblocking(False)
            life_read, life_write = os.pipe()
            ours.callback(os.close, life_write)
            theirs.callback(os.close, life_read)
            self._words, words_write = os.pipe()
            ours.callback(os.close, self._words)
            theirs.callback(os.close, words_write)
            os.set_blocking(self._words, False)
            descriptors = {"socket": other_end.fileno(), "frames": self.frames.descriptor, "life_pipe": life_read}
            paths = [str(path) or os.getcwd() for path in sys.path]
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", command, json.dumps({**told, **descriptors, "sys_path": paths})],
                stdin=subprocess.DEVNULL,
                stdout=words_write,
                stderr=words_write,
                env=_ENVIRONMENT | {name: os.environ[name] for name in _INHERITED if name in os.environ},
                cwd="/",
                close_fds=True,
                pass_fds=tuple(descriptors.values()),
                start_new_session=True,
            )
            _hand_down_niceness(self._process.pid)
            self._end = weakref.finalize(self, _end, self._process, ours.pop_all(), os.getpid())
        self._last_words = b""
        self._poll = select.poll()
        self._poll.register(self._words, select.POLLIN)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Ended by us: there is nothing to talk to."""
        return not self._end.alive

    @property
    def is_alive(self) -> bool:
        """Neither killed nor ended by us, nor dead by itself."""
        return self._end.alive and not self._has_exited()

    def private_bytes(self) -> int | None:
        """What the process holds in memory of its own, without shared frames; None where the system does not say."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
                _, resident, shared, *_ = map(int, file.read().split())
        except (OSError, ValueError):
            return None
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")

    def _count_threads(self) -> int:
        """0 where the system does not say."""
        try:
            return os.stat(f"/proc/{self.pid}/task").st_nlink - 2
        except OSError:
            return 0

    def send(self, message: wire.Message, payload: bytes = b"", *, deadline: Deadline) -> None:
        """Only inside of `talking`, like `receive`."""
        wire.send(self._connection, message, payload, wait=lambda event: self._wait(event, deadline))

    def receive(self, *, deadline: Deadline) -> wire.Message:
        message, _ = wire.receive(self._connection, wait=lambda event: self._wait(event, deadline))
        return message

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """Around a question and its answer: if anything comes between, the process is ended, for good.

        Raises DecoderCrash or DecodeTimeout where the process has died or said what it must not say (`wire.Malformed`).
        """
        try:
            yield
        except wire.Malformed as error:
            self.kill()
            raise DecoderCrash(f"The decoder's process gave an answer that cannot be right ({error}).") from error
        except (EOFError, OSError) as error:
            raise self._autopsy() from error
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL to the process group; nothing of it is left."""
        self._end()

    def end(self) -> None:
        """Politely: the process sees that its socket closes, and frees what it has."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
            self._await_exit()
        self._end()

    def _wait(self, event: int, deadline: Deadline) -> None:
        """Until the socket is ready. Raises what `deadline` raises, EOFError where the process has died."""
        self._poll.register(self._connection, event)
        slice_seconds = deadline.slice_seconds
        while True:
            started = time.monotonic()
            ready = [descriptor for descriptor, _ in self._poll.poll(slice_seconds * 1000)]
            # What goes beyond the slice is our own delay: this process was not given a core.
            deadline.spend(min(time.monotonic() - started, slice_seconds))
            if self._count_threads() > MAX_THREADS:
                raise DecoderCrash(f"The decoder started more than {MAX_THREADS} threads.")
            if self._words in ready:
                self._listen()
            if self._connection.fileno() in ready:
                return
            if not ready and self._has_exited():  # and what it started holds its socket open
                raise EOFError("the process has died")

    def _listen(self) -> None:
        """Takes what the process writes to its terminal, so that it never waits for us, and keeps the end of it."""
        try:
            words = os.read(self._words, 1 << 16)
        except BlockingIOError:
            return
        if not words:  # it has closed them
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._words)
        self._last_words = (self._last_words + words)[-LAST_WORDS_BYTES:]

    def _has_exited(self) -> bool:
        """Without reaping it: until then, its number and that of its group are nobody else's."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _await_exit(self) -> bool:
        until = time.monotonic() + END_SECONDS
        while not (has_exited := self._has_exited()) and time.monotonic() < until:
            time.sleep(0.002)
        return has_exited

    def _autopsy(self) -> VideoError:
        """Ends what is left of the process, and says what became of it."""
        has_exited = self._await_exit()
        self._listen()
        self._end()
        code = self._process.returncode
        said = "".join(c if c.isprintable() else " " for c in self._last_words.decode(errors="replace")).strip()
        words = f"; the last it said: {said[-200:]}" if said else ""
        if not has_exited:
            return DecoderCrash(f"The decoder's process closed its connection{words}.")
        if code == -signal.SIGXCPU:
            return DecodeTimeout(f"The decoder used more CPU time than decode.video_seconds allows{words}.")
        if code == -signal.SIGABRT and "bad_alloc" in said:
            return MemoryLimit(f"Decoding needs more memory than decode.memory_mib allows{words}.")
        if code >= 0:
            return DecoderCrash(f"The decoder's process ended with exit code {code}{words}.")
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = "; the system may be out of memory" if code == -signal.SIGKILL else ""
        return DecoderCrash(f"The decoder's process died of {name}{hint}{words}.")


def _hand_down_niceness(pid: int) -> None:
    """The process has ours, but it only counts within its session, where Linux shares processors out to sessions first
    (`sched_autogroup_enabled`, where no control group does it)."""
    niceness = os.nice(0)
    if niceness > 0:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as file:
            file.write(str(niceness))


def _end(process: subprocess.Popen[bytes], resources: contextlib.ExitStack, parent_pid: int) -> None:
    """Ends the whole process group, reaps the process, closes our descriptors. Does not know the ChildProcess."""
    with resources:
        if os.getpid() == parent_pid:  # and not in a fork of it, whose copies of these objects are collected, too
            with contextlib.suppress(ProcessLookupError, PermissionError):  # a group of the dead
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
