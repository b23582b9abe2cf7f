"""A decoder that misbehaves as the end of the file tells it to; any other file it decodes as PyAV does.

Imported in the decoder's process by this name, so it knows no other module of the tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time

import numpy as np

from framegate.pipelines.decode.readers.pyav import PyavReader
from framegate.pipelines.decode.readers.reader import Selection

MARK = b"\nMISBEHAVE "
WORD_BYTES = 32


def misbehaving(film: bytes, word: str) -> bytes:
    """A film that makes `ObeysTheFile` do what `word` says, in opening (`open_...`) or in reading."""
    return film + MARK + word.encode().ljust(WORD_BYTES)


def hang_with_the_lock() -> None:
    """In native code that never gives the interpreter back, deaf to all signals that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        _LIBRARY.pause()


def spin() -> None:
    while True:
        pass


def crash() -> None:
    ctypes.string_at(1)


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(0)


def leave_politely() -> None:
    sys.exit(0)


def hoard() -> None:
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 16)


def ask_for_too_much() -> None:
    np.ones((1 << 20, 1 << 20), np.uint8)


def recurse() -> None:
    recurse()


def babble() -> None:
    """Noise into every descriptor there is: what was meant for the parent cannot be told from it."""
    for descriptor in range(256):
        try:
            os.write(descriptor, b"\xff\xfe\x00garbage" * 500)
        except OSError:
            continue
    time.sleep(3600)


def chatter() -> None:
    """Endless lines where warnings go; the decoder itself is fine."""
    for _ in range(20_000):
        os.write(2, b"[h264] something is odd about this macroblock, and about the next one as well\n")


def open_a_file() -> None:
    with open("/etc/hostname", "rb") as file:
        file.read()


def call_someone() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 9))


def start_a_program() -> None:
    os.posix_spawn("/bin/true", ["true"], {})


_LIBRARY = ctypes.PyDLL(None)  # unlike CDLL, it keeps the interpreter's lock during calls
ACTIONS = {
    action.__name__: action
    for action in (
        hang_with_the_lock, spin, crash, abort, leave, leave_politely, hoard, ask_for_too_much, recurse, babble,
        chatter, open_a_file, call_someone, start_a_program,
    )
}  # fmt: skip


class ObeysTheFile(PyavReader):
    def __init__(self, file, **values) -> None:
        file.seek(max(0, file.size_bytes - len(MARK) - WORD_BYTES))
        tail = file.read(len(MARK) + WORD_BYTES)
        self._word = tail[len(MARK) :].strip().decode() if tail.startswith(MARK) else ""
        if self._word.startswith("open_and_"):
            ACTIONS[self._word.removeprefix("open_and_")]()
        super().__init__(file, **values)

    def read(self, times_seconds, *, height, width, out=None) -> Selection:
        if self._word in ACTIONS and times_seconds[0] >= 2:  # the second clip
            ACTIONS[self._word]()
        frames_THWC, pts_seconds, has_ended = super().read(times_seconds, height=height, width=width, out=out)
        if self._word == "count_wrongly":
            pts_seconds = np.arange(1000.0)
        elif self._word == "wrong_shape":
            frames_THWC = np.zeros((len(pts_seconds), 3, 3, 3), np.uint8)
        elif self._word == "wrong_times":
            pts_seconds = pts_seconds[::-1].copy()
        elif self._word == "no_times":
            pts_seconds = np.full(len(pts_seconds), np.nan)
        elif self._word == "one_by_one":
            time.sleep(1.0)
        return Selection(frames_THWC, pts_seconds, has_ended)
