"""The frames of a long clip, read in slices: the decoder's process holds one slice, however long the clip.

times     t t t t t t t t t t
reads     |-----||-----||---|      a frame that is still on display where a slice begins is left out of it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from framegate.pipelines.decode.readers.reader import Reader, Selection

SLICE_BYTES: Final = 32 * 2**20
"""Of frames. Clips of the default budget, 4,096 video tokens, take 19 MB: one slice."""


def read_in_slices(
    reader: Reader, times_seconds: Sequence[float], *, height: int, width: int, slice_bytes: int = SLICE_BYTES
) -> Selection:
    """What `reader.read` gives for these times. Raises what it raises."""
    num_each = max(1, slice_bytes // (3 * height * width))
    if len(times_seconds) <= num_each:
        return reader.read(times_seconds, height=height, width=width)
    frames_THWC = np.empty((len(times_seconds), height, width, 3), np.uint8)
    pts_seconds: list[np.ndarray] = []
    end, last, has_ended, is_letterboxed = 0, -np.inf, False, False
    for start in range(0, len(times_seconds), num_each):
        times = times_seconds[start : start + num_each]
        room_THWC = frames_THWC[end : end + len(times)]
        read = reader.read(times, height=height, width=width, out=room_THWC)
        num_repeated = int(np.count_nonzero(read.pts_seconds <= last))
        fresh_THWC, fresh_pts = read.frames_THWC[num_repeated:], read.pts_seconds[num_repeated:]
        if num_repeated or read.frames_THWC.ctypes.data != room_THWC.ctypes.data:  # or the reader has its own
            frames_THWC[end : end + len(fresh_pts)] = fresh_THWC
        pts_seconds.append(fresh_pts)
        end += len(fresh_pts)
        last = fresh_pts[-1] if len(fresh_pts) else last
        is_letterboxed |= read.is_letterboxed
        has_ended = read.has_ended
        if has_ended:
            break
    return Selection(frames_THWC[:end], np.concatenate(pts_seconds), has_ended, is_letterboxed=is_letterboxed)
