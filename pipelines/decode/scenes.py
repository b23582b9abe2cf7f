"""Splits a video into clips where scenes begin, which are found on thumbnails.

The video is scanned in windows, and each clip comes out as soon as its scenes are complete: at most one window of
thumbnails is in memory, whatever the length of the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from framegate.pipelines.decode.cuts import CONTEXT, find_cuts
from framegate.pipelines.decode.readers.reader import Reader, Selection
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.schemas.config import ClipsConfig
from framegate.schemas.errors import DecoderCrash, DecodeTimeout, MemoryLimit, VideoError

# Decoding costs the same for 2 a second and for 25; at 8, cuts were told from motion and flashes best (infra/log.md).
SCAN_FPS = 8
WINDOW_SECONDS = 60.0  # 480 thumbnails, 13 MB as the floats that are compared
THUMBNAIL_SIDE = 64


class Scanned(NamedTuple):
    """The cuts, ascending, that one window added. All later cuts lie at or after `until_seconds`."""

    until_seconds: float
    cuts_seconds: Sequence[float]


def split_scenes(reader: Reader, clips: ClipsConfig) -> Iterator[tuple[float, float]]:
    """Clips (start, end) that begin where scenes do, lazily; they cover the video without gaps.

    A scene shorter than `clips.min_seconds` joins the one after it (the last one: the one before). A scene longer than
    `clips.seconds` is cut into clips of `seconds`; where a rest shorter than `min_seconds` would be left, the last two
    are of equal length. So every clip lasts from `min_seconds` to `seconds`, if that is at least twice as long.
    Where the video ends early or cannot be decoded further, the rest counts as one scene: reading its clips then raises
    the error. Raises errors after which the reader is gone: DecodeTimeout, DecoderCrash, MemoryLimit; and StorageError.
    """
    return join_scenes(
        scan(reader, clips.scene_threshold),
        reader.header.duration_seconds,
        min_seconds=clips.min_seconds,
        max_seconds=clips.seconds,
    )


def join_scenes(
    scanned: Iterable[Scanned], duration_seconds: float, *, min_seconds: float, max_seconds: float
) -> Iterator[tuple[float, float]]:
    """The clips of `split_scenes`, from the cuts alone."""
    min_seconds = max(min_seconds, TICK_SECONDS)
    start = 0.0
    for until, cuts in scanned:
        for cut in cuts:
            if cut - start >= min_seconds and duration_seconds - cut >= min_seconds:
                yield from _parts(start, cut, min_seconds, max_seconds)
                start = cut
        while min(until, duration_seconds) - start >= max_seconds + min_seconds:
            yield start, start + max_seconds
            start += max_seconds
    yield from _parts(start, duration_seconds, min_seconds, max_seconds)


def _parts(start: float, end: float, min_seconds: float, max_seconds: float) -> Iterator[tuple[float, float]]:
    while end - start >= max_seconds + min_seconds:
        yield start, start + max_seconds
        start += max_seconds
    if end - start > max_seconds:
        middle = (start + end) / 2
        yield start, middle
        start = middle
    yield start, end


def scan(reader: Reader, threshold: float, *, window_seconds: float = WINDOW_SECONDS) -> Iterator[Scanned]:
    """The cuts of the video, window by window, up to its end or to the first error. Raises as `split_scenes` does.

    Every frame is decoded on the way, however few are looked at.
    """
    height, width = _thumbnail_size(reader.header.display_height, reader.header.display_width)
    thumbnails = np.empty((0, height, width, 3), np.uint8)
    pts_seconds = np.empty(0)
    num_decided = 0  # of the thumbnails in memory, those already decided; they are kept as context of the next ones
    for times, is_last in _windows(reader.header.duration_seconds, window_seconds):
        try:
            found = reader.read(times, height=height, width=width)
        except (DecodeTimeout, DecoderCrash, MemoryLimit):
            raise
        except VideoError:
            found = Selection(thumbnails[:0], pts_seconds[:0], has_ended=True)
        # The first frame of a window may be the last of the one before, still on display.
        num_seen = int(np.searchsorted(found.pts_seconds, pts_seconds[-1], side="right")) if len(pts_seconds) else 0
        thumbnails = np.concatenate([thumbnails, found.frames_THWC[num_seen:]])
        pts_seconds = np.concatenate([pts_seconds, found.pts_seconds[num_seen:]])
        is_last = is_last or found.has_ended
        end = len(thumbnails) if is_last else max(num_decided, len(thumbnails) - CONTEXT)
        is_cut = find_cuts(thumbnails, threshold)[num_decided:end]
        until = float(pts_seconds[end]) if end < len(thumbnails) else times[-1]
        yield Scanned(until, pts_seconds[num_decided:end][is_cut].tolist())
        if is_last:
            return
        first_kept = max(0, end - CONTEXT)
        thumbnails, pts_seconds = thumbnails[first_kept:], pts_seconds[first_kept:]
        num_decided = end - first_kept


def _windows(duration_seconds: float, window_seconds: float) -> Iterator[tuple[list[float], bool]]:
    """The moments to look at, a window at a time, and whether it is the last."""
    per_window = round(window_seconds * SCAN_FPS)
    num_times = max(1, math.ceil(duration_seconds * SCAN_FPS))
    for first in range(0, num_times, per_window):
        end = min(first + per_window, num_times)
        yield [k / SCAN_FPS for k in range(first, end)], end == num_times


def _thumbnail_size(height: int, width: int) -> tuple[int, int]:
    shrink = max(height, width) / THUMBNAIL_SIDE
    return max(8, round(height / shrink)), max(8, round(width / shrink))
