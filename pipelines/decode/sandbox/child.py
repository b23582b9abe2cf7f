"""The main loop of a decoder process: it opens a video, asks for bytes by range, and fills the shared frames file.

It first imports all modules it will need, then confines itself, and only then touches a video. One video at a time. It
ends when the other end of its socket closes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import DECODERS, Decoder, Reader, reader_class, sniff_file
from framegate.pipelines.decode.sandbox import wire
from framegate.pipelines.decode.sandbox.confinement import allow_cpu_seconds, confine
from framegate.pipelines.decode.sandbox.frames_file import MappedFrames
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import ConfigError, DecodeFailed, FramegateError, MemoryLimit

# Python and numpy import these at their first use, which is too late here.
LATE_MODULES = ("encodings.utf_16_be", "encodings.utf_16_le", "numpy.ma")
# A decoder may read a file more than once (to index it, to seek in it). One that reads it more often than this, without
# a frame, counts as hanging.
MAX_READ_ROUNDS = 4


class Aborted(Exception):
    """The parent cannot give the bytes that were asked for; the video is over."""


def main(told: Mapping[str, Any]) -> None:
    """`told`: what the parent wrote into the arguments, see `process.ChildProcess`."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    connection = socket.socket(fileno=told["socket"])
    connection.setblocking(True)
    limits = DecodeConfig(**told["limits"])
    DECODERS.update({name: Decoder(**entry) for name, entry in told["decoders"].items()})
    try:
        classes = {name: _import_all(name) for name in told["decoders"]}
    except ConfigError as error:
        wire.send(connection, {"kind": "refused", "message": str(error)})
        return
    frames = MappedFrames(told["frames"])
    confinement = confine(life_pipe=told["life_pipe"], memory_bytes=limits.memory_mib << 20, without=told["without"])
    wire.send(connection, {"kind": "ready", **confinement._asdict()})
    _Server(connection, frames, limits, classes).serve()


class _Server:
    """Answers the parent, one request after the other."""

    def __init__(
        self,
        connection: socket.socket,
        frames: MappedFrames,
        limits: DecodeConfig,
        classes: Mapping[str, Callable[..., Reader]],
    ) -> None:
        self._connection = connection
        self._frames = frames
        self._limits = limits
        self._classes = classes
        self._reader: Reader | None = None
        self._is_aborted = False
        self._patience_bytes = 0

    def serve(self) -> None:
        requests = {"open": self._open, "read": self._read, "count_bytes": self._count_bytes, "close": self._close}
        while True:
            request, payload = self._receive()
            try:
                answer = requests[request["kind"]](request, payload)
            except Exception as error:
                answer = _describe(error)
            if self._is_aborted:
                answer = {"kind": "aborted"}
            self._send(answer)

    def _open(self, request: wire.Message, payload: bytes) -> wire.Message:
        self._close(request, payload)
        allow_cpu_seconds(self._limits.video_seconds)
        self._is_aborted = False
        self._size_bytes: int = request["size_bytes"]
        self._be_patient()
        file = RangeFile(self._fetch, self._size_bytes)
        container = sniff_file(file)
        self._reader = self._classes[request["decoder"]](file, container=container, limits=self._limits)
        tells_progress = hasattr(self._reader, "progress")
        if tells_progress:
            self._reader.progress = self._be_patient  # type: ignore[attr-defined]
        header = dataclasses.asdict(self._reader.header)
        return {"kind": "opened", "tells_progress": tells_progress, "header": header}

    def _read(self, request: wire.Message, payload: bytes) -> wire.Message:
        self._be_patient()
        times_seconds = np.frombuffer(payload, np.float64).tolist()
        height, width = request["height"], request["width"]
        pts_seconds, out = self._frames.arrays(len(times_seconds), height, width, size_bytes=request["room_bytes"])
        assert self._reader is not None, "the parent reads from open videos only"
        selection = self._reader.read(times_seconds, height=height, width=width, out=out)
        num_frames, frames_THWC = len(selection.pts_seconds), selection.frames_THWC
        if frames_THWC.shape != out[:num_frames].shape or frames_THWC.dtype != np.uint8:
            raise DecodeFailed(
                f"The decoder gave frames of shape {frames_THWC.shape} and {num_frames} times where at most "
                f"{out.shape} were asked for."
            )
        pts_seconds[:num_frames] = selection.pts_seconds
        if frames_THWC.ctypes.data != out.ctypes.data:  # a reader may have arrays of its own
            out[:num_frames] = frames_THWC
        return {
            "kind": "frames",
            "num_frames": num_frames,
            "has_ended": bool(selection.has_ended),
            "is_letterboxed": bool(selection.is_letterboxed),
        }

    def _count_bytes(self, request: wire.Message, payload: bytes) -> wire.Message:
        self._be_patient()
        assert self._reader is not None, "the parent asks about open videos only"
        num_bytes = self._reader.count_bytes(np.frombuffer(payload, np.float64).tolist())
        return {"kind": "counted", "is_known": num_bytes is not None, "num_bytes": int(num_bytes or 0)}

    def _close(self, request: wire.Message, payload: bytes) -> wire.Message:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        return {"kind": "closed"}

    def _fetch(self, start: int, end: int) -> bytes:
        if self._is_aborted:  # some decoders go on after a failed read
            raise Aborted
        self._send({"kind": "fetch", "start": start, "end": end})
        answer, data = self._receive()
        if answer["kind"] != "bytes":
            self._is_aborted = True
            raise Aborted
        self._patience_bytes -= len(data)
        if self._patience_bytes > 0:
            self._frames.tick()
        return data

    def _send(self, message: wire.Message) -> None:
        try:
            wire.send(self._connection, message)
        except OSError:
            os._exit(0)

    def _receive(self) -> tuple[wire.Message, bytes]:
        """Ends the process where the parent has gone or has had enough, also from within a decoder."""
        try:
            return wire.receive(self._connection, max_payload_bytes=wire.MAX_PAYLOAD_BYTES)
        except (EOFError, OSError):
            os._exit(0)

    def _be_patient(self) -> None:
        """There is a new frame, or a new request: the decoder may read again before the next is due."""
        self._patience_bytes = MAX_READ_ROUNDS * self._size_bytes
        self._frames.tick()


def _import_all(decoder: str) -> Callable[..., Reader]:
    """Also what packages import only when they meet a certain kind of stream: no file can be opened later."""
    reader = reader_class(decoder)
    for name in LATE_MODULES:
        importlib.import_module(name)
    # One reader may use the packages of two: decord's asks PyAV for sizes and times.
    for name in {entry.package for entry in DECODERS.values()} & set(sys.modules):
        path = getattr(sys.modules[name], "__path__", ())
        for part in pkgutil.walk_packages(path, name + ".", onerror=lambda name: None):
            if not part.name.endswith("__main__"):
                with contextlib.suppress(
                    Exception
                ):  # parts for packages that are not here; readers have what they need
                    importlib.import_module(part.name)
    return reader


def _describe(error: Exception) -> wire.Message:
    """The answer that stands for an error, the same that a reader in process would raise."""
    if _is_out_of_memory(error):
        error = MemoryLimit("Decoding needs more memory than decode.memory_mib allows.")
    elif not isinstance(error, FramegateError):
        error = DecodeFailed(f"The decoder failed in an unforeseen way ({type(error).__name__}: {error}).")
    reason = getattr(error, "reason", DecodeFailed.reason)
    return {"kind": "error", "reason": reason, "message": str(error)[: wire.MAX_TEXT_CHARACTERS]}


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Also where a reader has made an error of its own out of it."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        error = error.__cause__ or error.__context__
    return False
