"""Scenes: where the picture changes at once, found on thumbnails while the video goes by.

The video is scanned in windows, and each clip comes out as soon as its scenes are finished: at most one window of
thumbnails is in memory, whatever the length. Knows nothing of the frames that a clip is looked at by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.decode.reader import Reader
from pipelines.decode.select import TICK_SECONDS
from schemas.config import ClipsConfig
from schemas.errors import VideoError

SCAN_FPS = 8
WINDOW_SECONDS = 60.0
THUMBNAIL_SIDE = 64


class Scanned(NamedTuple):
    """The cuts, ascending, that were found since the last time; all that come later lie at or after `until_seconds`."""

    until_seconds: float
    cuts_seconds: Sequence[float]


def split_scenes(reader: Reader, clips: ClipsConfig) -> Iterator[tuple[float, float]]:
    """Clips (start, end) that begin where scenes do, lazily; they cover the video without gaps.

    A scene shorter than `clips.min_seconds` joins the one after it (the last one: the one before). A scene longer than
    `clips.seconds` is cut into clips of `seconds`; where a rest shorter than `min_seconds` would be left, the last two
    are of equal length. So every clip lasts from `min_seconds` to `seconds`, if that is at least twice as long.
    Where the video ends early or cannot be read on, the rest counts as one scene: reading its clips says why.
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
    """The clips that `split_scenes` speaks of, from the cuts alone."""
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


def scan(reader: Reader, threshold: float) -> Iterator[Scanned]:
    """Windows of the video, one by one; ends where the video does or cannot be read on."""
    height, width = _thumbnail_size(reader.header.display_height, reader.header.display_width)
    last: np.ndarray | None = None
    for times in _windows(reader.header.duration_seconds):
        try:
            thumbnails, pts_seconds, has_ended = reader.read(times, height=height, width=width)
        except VideoError:
            return
        if last is not None:
            thumbnails = np.concatenate([last, thumbnails])
        changes = measure_changes(thumbnails)
        pts_seconds = pts_seconds[len(pts_seconds) - len(changes) :]
        yield Scanned(times[-1], pts_seconds[changes >= threshold].tolist())
        last = thumbnails[-1:]
        if has_ended:
            return


def measure_changes(thumbnails_THWC: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each thumbnail to the one before, of 0 to 1; (T - 1,)."""
    pixels = thumbnails_THWC.astype(np.int16)
    return np.abs(np.diff(pixels, axis=0)).mean(axis=(1, 2, 3)) / 255


def _windows(duration_seconds: float) -> Iterator[list[float]]:
    per_window = round(WINDOW_SECONDS * SCAN_FPS)
    num_times = max(1, int(duration_seconds * SCAN_FPS))
    for first in range(0, num_times, per_window):
        yield [k / SCAN_FPS for k in range(first, min(first + per_window, num_times))]


def _thumbnail_size(height: int, width: int) -> tuple[int, int]:
    shrink = max(height, width) / THUMBNAIL_SIDE
    return max(8, round(height / shrink)), max(8, round(width / shrink))
