"""A reader whose decoder works in another process: it asks for frames, and serves the bytes that the decoder asks for.

Every answer is checked before it is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from framegate.pipelines.decode.readers.blocks import MAX_FETCH_BYTES
from framegate.pipelines.decode.readers.reader import MAX_SIDE_PIXELS, Selection, Source, VideoHeader
from framegate.pipelines.decode.sandbox import wire
from framegate.pipelines.decode.sandbox.answers import check_times, take_error, take_header
from framegate.pipelines.decode.sandbox.deadlines import FixedDeadline, VideoDeadlines
from framegate.pipelines.decode.sandbox.frames_file import room_bytes
from framegate.pipelines.decode.sandbox.process import ChildProcess
from framegate.pipelines.decode.sandbox.served import Served
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecoderCrash, MemoryLimit, StorageError, VideoError

CLOSE_SECONDS = 10.0
_MAX_WHOLE = 1 << 53

T = TypeVar("T")


class SandboxedReader:
    """One open video; see `Reader`. Its methods also raise StorageError, where the source does.

    After DecodeTimeout, DecoderCrash and MemoryLimit the process is gone, and the reader with it.
    """

    header: VideoHeader

    def __init__(self, child: ChildProcess, decoder: str, source: Source, limits: DecodeConfig) -> None:
        """Raises VideoError, StorageError."""
        self._child = child
        self._source = source
        self._limits = limits
        self._served = Served(limits, size_bytes=source.size_bytes)
        self._deadlines = VideoDeadlines(limits, child.frames.progress)
        self._is_closed = False
        self._source_error: Exception | None = None
        request = {"kind": "open", "decoder": decoder, "size_bytes": source.size_bytes}

        def take(answer: wire.Message) -> tuple[VideoHeader, bool]:
            return take_header(answer, limits), wire.take_truth(answer, "tells_progress")

        self.header, self._tells_progress = self._ask(request, b"", "opened", take)

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        self._check_usable()
        times = np.array(times_seconds, np.float64)
        shape = (len(times), height, width, 3)
        if times.ndim != 1 or times.nbytes > wire.MAX_PAYLOAD_BYTES:
            raise ValueError(f"a read takes at most {wire.MAX_PAYLOAD_BYTES // 8} times, got {times.shape}")
        if not (0 < height <= MAX_SIDE_PIXELS and 0 < width <= MAX_SIDE_PIXELS):
            raise ValueError(f"frames have sides of 1 to {MAX_SIDE_PIXELS} pixels, got {height} x {width}")
        if out is not None and (out.shape != shape or out.dtype != np.uint8):
            raise ValueError(f"out must be uint8 of {shape}, got {out.dtype} of {out.shape}")
        try:
            self._child.frames.grow(room_bytes(len(times), height, width))
        except OSError as error:
            raise MemoryLimit(f"There is no room for {len(times)} frames of {height} x {width} pixels.") from error
        self._deadlines.begin("frame", num_frames=1 if self._tells_progress else len(times))

        def take(answer: wire.Message) -> Selection:
            num_frames = wire.take_whole(answer, "num_frames", at_least=0, at_most=len(times))
            direct = out is not None and out.flags.c_contiguous
            frames_THWC = (
                out[:num_frames] if out is not None and direct else np.empty((num_frames, *shape[1:]), np.uint8)
            )
            pts_seconds = self._child.frames.copy_out(frames_THWC, num_asked=len(times))
            check_times(pts_seconds, self._limits)
            if out is not None and not direct:
                out[:num_frames] = frames_THWC
                frames_THWC = out[:num_frames]
            return Selection(
                frames_THWC,
                pts_seconds,
                wire.take_truth(answer, "has_ended"),
                is_letterboxed=wire.take_truth(answer, "is_letterboxed"),
            )

        size_bytes = self._child.frames.size_bytes
        request = {"kind": "read", "height": height, "width": width, "room_bytes": size_bytes}
        return self._ask(request, times.tobytes(), "frames", take)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`."""

        def take(answer: wire.Message) -> int | None:
            num_bytes = wire.take_whole(answer, "num_bytes", at_least=0, at_most=_MAX_WHOLE)
            # An index may tell of more than the file holds, where that is cut short.
            return min(num_bytes, self._source.size_bytes) if wire.take_truth(answer, "is_known") else None

        self._check_usable()
        self._deadlines.begin("frame")
        return self._ask({"kind": "count_bytes"}, np.array(times_seconds, np.float64).tobytes(), "counted", take)

    def close(self) -> None:
        """Never fails: a decoder that crashes or hangs while it closes has given its frames, and is ended."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._child.is_gone:
            deadline = FixedDeadline(CLOSE_SECONDS, to_do="close the file")
            try:
                with self._child.talking():
                    self._child.send({"kind": "close"}, deadline=deadline)
                    if self._child.receive(deadline=deadline).get("kind") not in ("closed", "error", "aborted"):
                        raise wire.Malformed("it does not close")
            except VideoError:
                return  # `talking` has ended it
            self._child.frames.shrink()

    def __enter__(self) -> SandboxedReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _ask(self, request: wire.Message, payload: bytes, kind: str, take: Callable[[wire.Message], T]) -> T:
        """The answer, which must be of `kind`, converted by `take`. Until it comes, the child is served bytes."""
        failure: Exception | None = None
        self._served.begin()
        with self._child.talking():
            self._child.send(request, payload, deadline=self._deadlines)
            while True:
                answer = self._child.receive(deadline=self._deadlines)
                answer_kind = wire.take_text(answer, "kind")
                if failure is None and answer_kind == kind:
                    return take(answer)
                if failure is None and answer_kind == "fetch":
                    failure = self._serve(answer)
                    continue
                if failure is None and answer_kind == "error":
                    failure = take_error(answer)
                elif failure is None or answer_kind != "aborted":
                    raise wire.Malformed(f"{answer_kind!r} is no answer to {request['kind']!r}")
                break
        if isinstance(failure, MemoryLimit):  # its state may be inconsistent now
            self._child.kill()
        raise failure

    def _check_usable(self) -> None:
        if self._is_closed:
            raise ValueError("the reader is closed")
        if self._child.is_gone:
            raise DecoderCrash("The decoder's process has ended; the video must be opened again.")
        if self._source_error is not None:
            raise self._source_error

    def _serve(self, request: wire.Message) -> Exception | None:
        """Sends the bytes that are asked for; the error, where there are none to send. Raises DecodeTimeout where the
        decoder has had enough of them."""
        size_bytes = self._source.size_bytes
        start = wire.take_whole(request, "start", at_least=0, at_most=size_bytes)
        end = wire.take_whole(request, "end", at_least=start, at_most=min(size_bytes, start + MAX_FETCH_BYTES))
        self._served.add_bytes(end - start)
        began_seconds = time.monotonic()
        try:
            data = self._source.read(start, end)
            if len(data) != end - start:
                raise StorageError(f"bytes {start} to {end} were asked for, {len(data)} bytes came")
        except Exception as error:
            self._source_error = error
            self._child.send({"kind": "abort"}, deadline=self._deadlines)
            return error
        self._served.add_seconds(time.monotonic() - began_seconds)
        self._child.send({"kind": "bytes"}, data, deadline=self._deadlines)
        return None
