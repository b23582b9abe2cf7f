"""Splits a video into clips where scenes begin, which are found on thumbnails.

The video is scanned in windows (`decode.scan`), and each clip comes out as soon as its scenes are complete: at most one
window of thumbnails is in memory, whatever the length of the video.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from framegate.pipelines.decode.readers.gaps import Gap, with_frames
from framegate.pipelines.decode.readers.reader import Reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.pipelines.decode.scan import Scan, Window
from framegate.schemas.config import ClipsConfig


def split_scenes(reader: Reader, clips: ClipsConfig) -> Iterator[tuple[float, float]]:
    """Clips (start, end) that begin where scenes do, lazily; they cover the video, but for those without a new frame.

    A scene shorter than `clips.min_seconds` joins the one after it (the last one: the one before). A scene longer than
    `clips.seconds` is cut into clips of `seconds`; where a rest shorter than `min_seconds` would be left, the last two
    are of equal length. So every clip lasts from `min_seconds` to `seconds`, if that is at least twice as long.
    Where the video ends early or cannot be decoded further, the rest counts as one scene: reading its clips then raises
    the error. Raises errors after which the reader is gone: DecodeTimeout, DecoderCrash, MemoryLimit; and StorageError.
    """
    scan = Scan(reader, clips.scene_threshold)
    header = reader.header
    return join_scenes(map(scan.window, itertools.count()), header.duration_seconds, clips, header.gaps)


def join_scenes(
    windows: Iterable[Window], duration_seconds: float, clips: ClipsConfig, gaps: tuple[Gap, ...] = ()
) -> Iterator[tuple[float, float]]:
    """The clips of `split_scenes`, from the cuts alone; `windows` from the first one on, and none after the last."""
    return with_frames(_join(windows, duration_seconds, clips), gaps, slack_seconds=TICK_SECONDS)


def _join(windows: Iterable[Window], duration_seconds: float, clips: ClipsConfig) -> Iterator[tuple[float, float]]:
    min_seconds, max_seconds = max(clips.min_seconds, TICK_SECONDS), clips.seconds
    start = 0.0
    for window in windows:
        for cut in window.cuts_seconds:
            if cut - start >= min_seconds and duration_seconds - cut >= min_seconds:
                yield from _parts(start, cut, min_seconds, max_seconds)
                start = cut
        while min(window.until_seconds, duration_seconds) - start >= max_seconds + min_seconds:
            yield start, start + max_seconds
            start += max_seconds
        if window.is_last:
            break
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
