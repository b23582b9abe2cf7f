"""Splits a video into the stretches that become clips: fixed windows, the whole video, or scenes.

Stretches are in seconds of the video, ascending. They come one by one, so that a recording of weeks needs no more
memory than one of a minute. A stretch in which no frame starts is left out: what is on display there was seen before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from framegate.pipelines.decode.readers.gaps import Gap, with_frames
from framegate.pipelines.decode.readers.reader import Reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.pipelines.decode.scenes import split_scenes
from framegate.schemas.config import ClipsConfig


def split(reader: Reader, clips: ClipsConfig) -> Iterator[tuple[float, float]]:
    """Stretches (start, end) of an open video as the job's clip policy asks, lazily; at least one.

    Scenes are searched lazily through `reader`, which may be used to read clips in between. Raises
    ValueError for a video without a duration.
    """
    if clips.scenes:
        return split_scenes(reader, clips)
    return split_duration(reader.header.duration_seconds, clips, reader.header.gaps)


def split_duration(
    duration_seconds: float, clips: ClipsConfig, gaps: tuple[Gap, ...] = ()
) -> Iterator[tuple[float, float]]:
    """`split` for the policies that need no frames: all but scenes. Raises ValueError."""
    if clips.scenes:
        raise ValueError("where scenes begin is not known from a duration; use split")
    if clips.whole_video:
        return iter([(0.0, _checked(duration_seconds))])
    windows = split_fixed(
        duration_seconds, seconds=clips.seconds, stride_seconds=clips.step_seconds, min_seconds=clips.min_seconds
    )
    return with_frames(windows, gaps, slack_seconds=TICK_SECONDS)


def split_fixed(
    duration_seconds: float, *, seconds: float, stride_seconds: float, min_seconds: float
) -> Iterator[tuple[float, float]]:
    """Stretches of `seconds`, one every `stride_seconds`, the last one cut at the video's end.

    The first stretch that reaches the end is the last. A rest shorter than `min_seconds` (or than half of `seconds`,
    where that is less: recordings of 30 s last 30.03 s) is not a clip of its own: the stretch before it is extended to
    the end or, where a gap lies between, the rest is left out.
    """
    if seconds <= 0 or stride_seconds <= 0 or min_seconds < 0:
        raise ValueError(
            f"seconds and stride_seconds must be above 0 and min_seconds at least 0, got seconds={seconds}, "
            f"stride_seconds={stride_seconds} and min_seconds={min_seconds}"
        )
    return _windows(_checked(duration_seconds), seconds, stride_seconds, min_seconds)


def _windows(
    duration_seconds: float, seconds: float, stride_seconds: float, min_seconds: float
) -> Iterator[tuple[float, float]]:
    # Never 0: sums of floats leave rests of 1e-16 s.
    rest_seconds = min(max(min_seconds, TICK_SECONDS), seconds / 2)
    for k in itertools.count():
        start = k * stride_seconds
        if k and start > duration_seconds - rest_seconds:  # the end lies in the gap between two windows
            return
        if start + seconds > duration_seconds - rest_seconds:
            yield start, duration_seconds
            return
        yield start, start + seconds


def _checked(duration_seconds: float) -> float:
    if duration_seconds <= 0 or not math.isfinite(duration_seconds):
        raise ValueError(f"duration_seconds must be finite and above 0, got {duration_seconds}")
    return duration_seconds
