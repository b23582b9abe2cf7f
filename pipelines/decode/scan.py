"""The scan of a video for cuts: window after window of thumbnails, each for itself.

What a window finds depends on the video alone and not on who scans it, nor on what was scanned before. So the windows
of one video may be scanned by several workers, and in any order.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from framegate.pipelines.decode.cuts import CONTEXT, find_cuts
from framegate.pipelines.decode.readers.gaps import Gap
from framegate.pipelines.decode.readers.reader import Reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.schemas.errors import DecoderCrash, DecodeTimeout, MemoryLimit, VideoError

# Decoding costs the same for 2 a second and for 25; at 8, cuts were told from motion and flashes best (infra/log.md).
SCAN_FPS = 8
CHUNK_SECONDS = 5  # what is read at once
WINDOW_SECONDS = 60  # with what comes before 540 thumbnails, 15 MB as the floats that are compared
THUMBNAIL_SIDE = 64


class Window(NamedTuple):
    """What the scan of one window found. Its last CONTEXT pictures are decided by the window after it.

    cuts_seconds   ascending
    until_seconds  cuts of later windows lie at or after this moment
    is_last        nothing comes after it: the video ends in it, or cannot be decoded further
    """

    cuts_seconds: tuple[float, ...]
    until_seconds: float
    is_last: bool


class _Chunk(NamedTuple):
    """The pictures that come into view at the moments of one chunk."""

    thumbnails_THWC: np.ndarray
    pts_seconds: np.ndarray
    is_last: bool


class Scan:
    """The windows of one open video. What is read for the context of one window is kept for the next one."""

    def __init__(self, reader: Reader, threshold: float, *, window_seconds: int = WINDOW_SECONDS) -> None:
        """`threshold` is that of `find_cuts`; `window_seconds` a multiple of CHUNK_SECONDS."""
        self._reader, self._threshold = reader, threshold
        self._per_window = window_seconds // CHUNK_SECONDS
        self._size = _thumbnail_size(reader.header.display_height, reader.header.display_width)
        self._gaps = reader.header.gaps
        self._num_times = max(1, math.ceil(reader.header.duration_seconds * SCAN_FPS))
        self._chunks: dict[int, _Chunk] = {}

    def window(self, number: int) -> Window:
        """The window `number`, from 0; one behind the end of the video is empty. Every frame is decoded on the way,
        however few are looked at.

        Raises errors after which the reader is gone: DecodeTimeout, DecoderCrash, MemoryLimit; and StorageError.
        """
        first = number * self._per_window
        own = self._read(range(first, first + self._per_window))
        before = self._before(first)
        chunks = [*before, *own]
        pts_seconds = np.concatenate([chunk.pts_seconds for chunk in chunks])
        num_before = sum(len(chunk.pts_seconds) for chunk in before)
        begin = max(0, num_before - CONTEXT)
        end = len(pts_seconds) if own[-1].is_last else max(0, len(pts_seconds) - CONTEXT)
        is_cut = np.zeros(len(pts_seconds), bool)
        if begin < end:
            is_cut = find_cuts(np.concatenate([chunk.thumbnails_THWC for chunk in chunks]), self._threshold)
        until = self._reader.header.duration_seconds
        if end < len(pts_seconds):
            until = float(pts_seconds[end])
        elif not own[-1].is_last:  # in a gap: what comes is behind this window
            until = float((first + self._per_window) * CHUNK_SECONDS)
        return Window(tuple(pts_seconds[begin:end][is_cut[begin:end]].tolist()), until, own[-1].is_last)

    def _read(self, numbers: range) -> list[_Chunk]:
        """At least one, and none after the last one of the video."""
        chunks: list[_Chunk] = []
        for number in numbers:
            chunks.append(self._chunk(number))
            if chunks[-1].is_last:
                break
        return chunks

    def _before(self, end: int) -> list[_Chunk]:
        """Those with the pictures that the window before could not decide, and with as many before them. Others are
        forgotten."""
        chunks: list[_Chunk] = []
        numbers: set[int] = set()
        number = end
        while number > 0 and sum(len(chunk.pts_seconds) for chunk in chunks) < 2 * CONTEXT:
            number -= 1
            gap = self._gap_at(number)
            if gap is not None:  # which may last for days
                number = max(0, min(number, math.floor(gap[0] / CHUNK_SECONDS)))
            chunks.insert(0, self._chunk(number))
            numbers.add(number)
        self._chunks = {at: chunk for at, chunk in self._chunks.items() if at in numbers or at >= end}
        return chunks

    def _gap_at(self, number: int) -> Gap | None:
        """The gap in which the whole chunk lies, so that no picture comes into view in it."""
        start, end = number * CHUNK_SECONDS, (number + 1) * CHUNK_SECONDS
        place = bisect_left(self._gaps, end, key=_end_of)
        return self._gaps[place] if place < len(self._gaps) and self._gaps[place][0] < start - TICK_SECONDS else None

    def _chunk(self, number: int) -> _Chunk:
        if number not in self._chunks:
            self._chunks[number] = self._read_chunk(number)
        return self._chunks[number]

    def _read_chunk(self, number: int) -> _Chunk:
        height, width = self._size
        first = number * CHUNK_SECONDS * SCAN_FPS
        end = min(first + CHUNK_SECONDS * SCAN_FPS, self._num_times)
        nothing = _Chunk(np.empty((0, height, width, 3), np.uint8), np.empty(0), is_last=True)
        if first >= end:
            return nothing
        if self._gap_at(number) is not None:
            return nothing._replace(is_last=end == self._num_times)
        try:
            found = self._reader.read([k / SCAN_FPS for k in range(first, end)], height=height, width=width)
        except (DecodeTimeout, DecoderCrash, MemoryLimit):  # the reader is gone
            raise
        except VideoError:
            return nothing
        # The first picture may be the last one of the chunk before, still on display.
        is_new = found.pts_seconds > ((first - 1) / SCAN_FPS + TICK_SECONDS if first else -math.inf)
        is_last = found.has_ended or end == self._num_times
        return _Chunk(found.frames_THWC[is_new], found.pts_seconds[is_new], is_last)


def _end_of(gap: Gap) -> float:
    return gap[1]


def _thumbnail_size(height: int, width: int) -> tuple[int, int]:
    shrink = max(height, width) / THUMBNAIL_SIDE
    return max(8, round(height / shrink)), max(8, round(width / shrink))
