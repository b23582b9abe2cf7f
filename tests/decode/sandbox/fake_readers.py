"""Decoders as nobody wants them, each with one vice. The child of a sandbox imports this file by its name.

All claim to be what `Plain` is: a reader of grey frames, one for each time that is asked for.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np

from framegate.pipelines.decode.readers.reader import Selection, VideoHeader
from framegate.schemas.errors import DecodeFailed

HOARD = []


def sandbox_socket() -> int:
    """The descriptor of the child's end; a hostile decoder reads what the process was told when it started."""
    return json.loads(sys.argv[1])["socket"]


class Plain:
    def __init__(self, file, *, container, limits):
        self.file = file
        self.header = VideoHeader(
            container=container, codec="grey", display_height=4, display_width=6, duration_seconds=60.0, fps=25.0
        )

    def read(self, times_seconds, *, height, width, out=None):
        self.misbehave()
        frames_THWC = np.full((len(times_seconds), height, width, 3), 128, np.uint8)
        return Selection(frames_THWC, np.array(times_seconds, np.float64), False)

    def misbehave(self):
        pass

    def count_bytes(self, times_seconds):
        return self.header.num_streams if len(times_seconds) else None

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class HangsAtOpen(Plain):
    def __init__(self, file, *, container, limits):
        time.sleep(3600)


class HangsInRead(Plain):
    def misbehave(self):
        time.sleep(3600)


class HangsInNativeCode(Plain):
    """Holding the GIL, so that no Python signal handler and no other thread of it runs."""

    def misbehave(self):
        import ctypes

        ctypes.PyDLL(None).sleep(3600)


class HangsAtClose(Plain):
    def close(self):
        time.sleep(3600)


class IgnoresSignals(Plain):
    def misbehave(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(3600)


class ReadsForever(Plain):
    """Round and round through the file, without a frame."""

    def misbehave(self):
        while True:
            self.file.seek(0)
            while self.file.read(1 << 20):
                pass


class NeverEnds(Plain):
    """Gives word of frames again and again, but no end of them."""

    def progress(self):
        raise AssertionError("the sandbox puts its own in place of this")

    def misbehave(self):
        while True:
            time.sleep(0.01)
            self.progress()


class Aborts(Plain):
    def misbehave(self):
        os.write(2, b"free(): invalid pointer\n")
        os.abort()


class AbortsAtOpen(Plain):
    def __init__(self, file, *, container, limits):
        os.abort()


class AbortsAtClose(Plain):
    def close(self):
        os.abort()


class Segfaults(Plain):
    def misbehave(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class Exits(Plain):
    def misbehave(self):
        os._exit(7)


class UsesUpItsCpuTime(Plain):
    def misbehave(self):
        os.kill(os.getpid(), signal.SIGXCPU)


class Raises(Plain):
    def misbehave(self):
        raise ValueError("a matrix is singular")


class RaisesEndOfFile(Plain):
    """As PyAV does: an EOFError that has nothing to do with the socket."""

    def misbehave(self):
        raise EOFError("end of file")


class WantsMemory(Plain):
    def misbehave(self):
        while True:
            HOARD.append(bytearray(64 << 20))


class WantsMemoryInFFmpeg(Plain):
    """FFmpeg says ENOMEM, and a reader makes an error of its own out of it."""

    def misbehave(self):
        try:
            raise OSError(12, "Cannot allocate memory")
        except OSError as error:
            raise DecodeFailed("The file cannot be decoded (Cannot allocate memory).") from error


class Leaks(Plain):
    """40 MiB for each read, written to, so that they are really there."""

    def misbehave(self):
        HOARD.append(np.ones(40 << 20, np.uint8))


class ClosesItsSocket(Plain):
    def misbehave(self):
        os.close(sandbox_socket())
        time.sleep(3600)


class LiesInItsHeader(Plain):
    def __init__(self, file, *, container, limits):
        self.header = VideoHeader(
            container=container, codec="grey", display_height=-4, display_width=6, duration_seconds=1.0
        )


class GivesWrongShapes(Plain):
    def read(self, times_seconds, *, height, width, out=None):
        return Selection(np.zeros((2, 3, 5, 3), np.uint8), np.zeros(2), False)


class GivesTooMany(Plain):
    def read(self, times_seconds, *, height, width, out=None):
        num_frames = len(times_seconds) + 5
        return Selection(np.zeros((num_frames, height, width, 3), np.uint8), np.arange(float(num_frames)), False)


class GivesTimesThatGoBack(Plain):
    def read(self, times_seconds, *, height, width, out=None):
        return super().read(times_seconds[::-1], height=height, width=width)


def attempt(what: str) -> object:
    """What a decoder under foreign command might try; the outcome as far as there is one."""
    name, _, argument = what.partition(" ")
    if name == "open":
        with open(argument, "rb") as file:
            return file.read(10)
    if name == "create":
        return os.open(argument, os.O_CREAT | os.O_WRONLY)
    if name == "stat":
        return os.stat(argument).st_size
    if name == "list":
        return os.listdir(argument)
    if name == "unlink":
        return os.unlink(argument)
    if name == "connect":
        with socket.socket() as connection:
            return connection.connect(("127.0.0.1", int(argument)))
    if name == "socketpair":
        return socket.socketpair()
    if name == "run":
        return subprocess.run([sys.executable, "-c", "pass"], check=False).returncode
    if name == "exec":
        return os.execv(sys.executable, [sys.executable, "-c", "pass"])
    if name == "fork":
        pid = os.fork()
        if pid == 0:
            time.sleep(3600)
        return pid
    if name == "kill":
        return os.kill(int(argument), 0)
    if name == "thread":
        thread = threading.Thread(target=lambda: HOARD.append("it ran"))
        thread.start()
        thread.join()
        return HOARD.pop()
    if name == "environment":
        return sorted(os.environ)
    raise AssertionError(f"no attempt is called {name}")


class Attempts(Plain):
    """Tries what the file says after its first four bytes, and gives the outcome as the message of an error."""

    def __init__(self, file, *, container, limits):
        file.seek(4)
        try:
            outcome = repr(attempt(file.read().decode()))
        except OSError as error:
            outcome = type(error).__name__
        raise DecodeFailed(outcome)
