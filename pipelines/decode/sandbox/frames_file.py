"""The unnamed file through which frames come back: the child maps it, the parent copies out of it.

The first page holds a counter that the child raises whenever it makes progress; then, for each read anew, the
presentation times and the frames. The parent reads it like a file and maps nothing: if the child shrinks it meanwhile,
the parent meets a short read and no SIGBUS.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

import numpy as np

from framegate.pipelines.decode.sandbox.wire import Malformed

PAGE_BYTES = mmap.ALLOCATIONGRANULARITY
KEPT_BYTES = 64 << 20  # room that stays between videos; more is given back
_COUNTER = struct.Struct("<Q")


def room_bytes(num_frames: int, height: int, width: int) -> int:
    """How long the file must be for a read of so many frames."""
    return PAGE_BYTES + max(PAGE_BYTES, _pages(8 * num_frames) + _pages(3 * num_frames * height * width))


class FramesFile:
    """The parent's side. Holds one descriptor until `close`."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("frames", os.MFD_CLOEXEC)
        else:  # beside Linux: a file that has no name any more
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        self.size_bytes = PAGE_BYTES
        os.ftruncate(self.descriptor, PAGE_BYTES)

    def grow(self, size_bytes: int) -> None:
        """Raises OSError where there is no room."""
        if size_bytes > self.size_bytes:
            os.ftruncate(self.descriptor, size_bytes)
            self.size_bytes = size_bytes

    def shrink(self) -> None:
        """Gives back what a huge read took. Only while the child reads no frames."""
        if self.size_bytes > KEPT_BYTES:
            os.ftruncate(self.descriptor, KEPT_BYTES)
            self.size_bytes = KEPT_BYTES

    def progress(self) -> bytes:
        """Something that differs from what it was when the child has made progress."""
        return os.pread(self.descriptor, _COUNTER.size, 0)

    def copy_out(self, frames_THWC: np.ndarray, *, num_asked: int) -> np.ndarray:
        """Fills `frames_THWC`, contiguous, with the first frames of a read that asked for `num_asked`.

        Returns their presentation times. Raises Malformed where the file has been cut short.
        """
        pts_seconds = np.empty(len(frames_THWC), np.float64)
        self._copy(PAGE_BYTES, pts_seconds)
        self._copy(PAGE_BYTES + _pages(8 * num_asked), frames_THWC)
        return pts_seconds

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1  # the number will soon be another file's
        os.close(descriptor)

    def _copy(self, position: int, target: np.ndarray) -> None:
        rest = target.reshape(-1).view(np.uint8).data
        while rest:
            num_bytes = os.preadv(self.descriptor, [rest], position)
            if num_bytes == 0:
                raise Malformed("the frames are not all there")
            position += num_bytes
            rest = rest[num_bytes:]


class MappedFrames:
    """The child's side."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._first_page = mmap.mmap(descriptor, PAGE_BYTES)
        self._room: mmap.mmap | None = None

    def tick(self) -> None:
        """Tells the parent that there is progress."""
        (count,) = _COUNTER.unpack_from(self._first_page)
        _COUNTER.pack_into(self._first_page, 0, count + 1)

    def arrays(self, num_frames: int, height: int, width: int, *, size_bytes: int) -> tuple[np.ndarray, np.ndarray]:
        """(pts_seconds, frames_THWC) to be filled, in a file that is `size_bytes` long now.

        Raises OSError or MemoryError where they find no room.
        """
        if self._room is None or len(self._room) != size_bytes - PAGE_BYTES:
            self._room = None  # first: both together may be too much
            self._room = mmap.mmap(self._descriptor, size_bytes - PAGE_BYTES, offset=PAGE_BYTES)
        pts_seconds = np.frombuffer(self._room, np.float64, num_frames)
        pixels = np.frombuffer(self._room, np.uint8, 3 * num_frames * height * width, offset=_pages(8 * num_frames))
        return pts_seconds, pixels.reshape(num_frames, height, width, 3)


def _pages(num_bytes: int) -> int:
    return -(-num_bytes // PAGE_BYTES) * PAGE_BYTES
