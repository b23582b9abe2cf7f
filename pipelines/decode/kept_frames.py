"""Frames that overlapping clips share are decoded once: a reader that keeps those of its last read.

    clip 0 asks for   0.0  0.5  1.0  1.5                      all of them are decoded
    clip 1 asks for             1.0  1.5  2.0  2.5            the first two are kept, the others are decoded

A read gives what the reader behind it gives. Where it is not certain which frame belongs to which moment, nothing is
kept, and all is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from framegate.pipelines.decode.readers.reader import Reader, Selection, VideoHeader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.schemas.config import ClipsConfig

_MOMENTS_PER_SECOND = 10**9  # 5 + 20 / 3 and 10 + 5 / 3 differ in floating point, and are one moment
_UNCERTAIN_SECONDS = 1e-6  # a frame that starts so near to where a moment's display ends may be either one's


def clips_overlap(clips: ClipsConfig) -> bool:
    """Whether a clip begins before the one in front of it ends."""
    return not clips.whole_video and not clips.scenes and clips.step_seconds < clips.seconds


class _Kept(NamedTuple):
    pts_seconds: float
    frame_HWC: np.ndarray


class KeptFrames:
    """Satisfies `Reader`, over another one, which stays the caller's to close. Holds the frames of one read at most."""

    header: VideoHeader

    def __init__(self, reader: Reader) -> None:
        self.header = reader.header
        self._reader = reader
        self._size = (0, 0)
        self._kept: dict[int, _Kept] = {}  # by moment

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        if self._size != (height, width):
            self._size, self._kept = (height, width), {}
        frames_THWC = np.empty((len(times_seconds), height, width, 3), np.uint8) if out is None else out
        selection = self._read_on(times_seconds, frames_THWC)
        if selection is None:
            selection = self._reader.read(times_seconds, height=height, width=width, out=frames_THWC)
        self._keep(times_seconds, selection, is_lent=out is not None)
        return selection

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`."""
        return self._reader.count_bytes(times_seconds)

    def close(self) -> None:
        """Forgets what is kept."""
        self._kept = {}

    def __enter__(self) -> KeptFrames:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _read_on(self, times_seconds: Sequence[float], frames_THWC: np.ndarray) -> Selection | None:
        """What is kept, and behind it what is read now, in `frames_THWC`; None where all must be read."""
        begin = list(takewhile(self._kept.__contains__, map(_moment, times_seconds)))
        if not begin:
            return None
        missing = times_seconds[len(begin) :]
        shown = list({each.pts_seconds: each for each in map(self._kept.__getitem__, begin)}.values())
        pts_seconds = np.array([each.pts_seconds for each in shown], np.float64)
        for place, each in enumerate(shown):
            frames_THWC[place] = each.frame_HWC
        end, is_letterboxed = len(shown), False
        if missing:
            height, width = self._size
            room_THWC = frames_THWC[end : end + len(missing)]
            fresh = self._reader.read(missing, height=height, width=width, out=room_THWC)
            if _by_moment(missing, fresh) is None:
                return None
            is_repeated = int(fresh.pts_seconds[0] <= pts_seconds[-1])  # the last frame is still on display
            more_THWC = fresh.frames_THWC[is_repeated:]
            if is_repeated or fresh.frames_THWC.ctypes.data != room_THWC.ctypes.data:  # or the reader has its own
                frames_THWC[end : end + len(more_THWC)] = more_THWC
            end += len(more_THWC)
            pts_seconds = np.concatenate([pts_seconds, fresh.pts_seconds[is_repeated:]])
            is_letterboxed = fresh.is_letterboxed
        return Selection(frames_THWC[:end], pts_seconds, False, is_letterboxed=is_letterboxed)

    def _keep(self, times_seconds: Sequence[float], selection: Selection, *, is_lent: bool) -> None:
        """The frames of this read alone: clips come in order. Of a letterboxed one nobody tells which frame it is of.

        A look ahead at a single moment lets the frames of the clip before it stay.
        """
        if len(times_seconds) == 1 and len(self._kept) > 1:
            return
        self._kept = (None if selection.is_letterboxed else _by_moment(times_seconds, selection, is_lent)) or {}


def _by_moment(times_seconds: Sequence[float], selection: Selection, is_lent: bool = False) -> dict[int, _Kept] | None:
    """The frame on display at each moment that has one; None where that is not certain."""
    frames_THWC, pts_seconds, has_ended = selection
    if len(pts_seconds) == len(times_seconds):  # each moment has a frame of its own
        places = np.arange(len(pts_seconds))
    elif has_ended or len(pts_seconds) == 0:
        return None
    else:
        ends = np.asarray(times_seconds, np.float64) + TICK_SECONDS
        behind = np.searchsorted(pts_seconds, ends, side="right")
        places = np.maximum(behind - 1, 0)  # before the first frame starts, it is that one
        borders = pts_seconds[np.stack([places, np.minimum(behind, len(pts_seconds) - 1)])]
        is_certain = (np.abs(ends - borders) >= _UNCERTAIN_SECONDS).all()
        if not is_certain or not np.array_equal(np.unique(places), np.arange(len(pts_seconds))):
            return None
    frames = [frame.copy() for frame in frames_THWC] if is_lent else list(frames_THWC)
    return {
        _moment(seconds): _Kept(float(pts_seconds[place]), frames[place])
        for seconds, place in zip(times_seconds, places.tolist(), strict=True)
    }


def _moment(seconds: float) -> int:
    return round(seconds * _MOMENTS_PER_SECOND)
