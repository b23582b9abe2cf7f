"""Which stretches of a video become clips, and which moments of a clip are looked at.

Pure functions over seconds: no decoder, no pixels. A frame is chosen because it is *on display* at a moment, never
by its index times a frame rate, so that variable frame rates and dropped frames change nothing.

    frame starts   0.0    0.1         0.5 0.6          (variable frame rate)
    on display     |--0---|-----1-----|-2-|--3------
    targets        ^         ^         ^     ^
    chosen         0         1         2     3
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from schemas.config import ClipsConfig

# Frame times are rounded to the container's ticks (Matroska and FLV: 1 ms), targets are not: a frame whose true time
# is 66.667 ms stands at 67 ms and must still count as shown at 66.667 ms.
TICK_SECONDS = 1e-3
# 30 s recordings last 30.03 s: a tail of less than this much belongs to the clip before it.
MAX_TAIL_SECONDS = 0.5


def split_fixed(duration_seconds: float, *, clip_seconds: float, stride_seconds: float) -> list[tuple[float, float]]:
    """Stretches (start, end) of `clip_seconds`, one every `stride_seconds`, the last one cut at the video's end.

    The first stretch that reaches the end is the last. A tail shorter than `MAX_TAIL_SECONDS` (and than half a clip)
    makes no clip of its own: the stretch before it is drawn out to the end, or, where a gap lies between, it is left.
    """
    if duration_seconds <= 0 or not math.isfinite(duration_seconds):
        raise ValueError(f"duration_seconds must be finite and above 0, got {duration_seconds}")
    if clip_seconds <= 0 or stride_seconds <= 0:
        raise ValueError(
            f"clip_seconds and stride_seconds must be above 0, got clip_seconds={clip_seconds} "
            f"and stride_seconds={stride_seconds}"
        )
    tail_seconds = min(MAX_TAIL_SECONDS, clip_seconds / 2)
    stretches: list[tuple[float, float]] = []
    for k in itertools.count():
        start = k * stride_seconds
        if start + clip_seconds >= duration_seconds - tail_seconds and (
            k == 0 or start < duration_seconds - tail_seconds
        ):
            return [*stretches, (start, duration_seconds)]
        if start >= duration_seconds - tail_seconds:  # the end lies in the gap between two strides
            break
        stretches.append((start, start + clip_seconds))
    return stretches


def split_whole(duration_seconds: float) -> list[tuple[float, float]]:
    """The whole video as one stretch."""
    if duration_seconds <= 0 or not math.isfinite(duration_seconds):
        raise ValueError(f"duration_seconds must be finite and above 0, got {duration_seconds}")
    return [(0.0, duration_seconds)]


def split(duration_seconds: float, clips: ClipsConfig) -> list[tuple[float, float]]:
    """Stretches as the job's clip policy asks."""
    if clips.whole_video:
        return split_whole(duration_seconds)
    return split_fixed(duration_seconds, clip_seconds=clips.seconds, stride_seconds=clips.step_seconds)


def frame_times(start_seconds: float, end_seconds: float, *, fps: float, max_frames: int) -> list[float]:
    """The moments of [start, end) to look at, ascending, at least one and at most `max_frames`.

    Up to the cap: start, start + 1/fps, ... Where that would be more than `max_frames`: the middles of `max_frames`
    equal parts, so that a long clip is seen from its first part to its last.
    """
    if not 0 <= start_seconds < end_seconds:
        raise ValueError(
            f"a clip must start at or after 0 and end after its start, got [{start_seconds}, {end_seconds})"
        )
    if fps <= 0 or max_frames < 1:
        raise ValueError(f"fps must be above 0 and max_frames at least 1, got fps={fps} and max_frames={max_frames}")
    length_seconds = end_seconds - start_seconds
    # A whisker below, so that 0.1 + 0.2 - 0.1 at 10 fps is two frames and not three.
    wanted = max(1, math.ceil(length_seconds * fps - 1e-6))
    if wanted <= max_frames:
        return [start_seconds + k / fps for k in range(wanted)]
    part_seconds = length_seconds / max_frames
    return [start_seconds + (k + 0.5) * part_seconds for k in range(max_frames)]


def on_display(targets: Sequence[float], frame_starts: Sequence[float], *, end_seconds: float) -> list[int]:
    """Indexes of the frames shown at `targets`: ascending, each at most once.

    `frame_starts` are presentation times in display order. A frame is shown until the next one starts, the last one
    until `end_seconds`; the first one also stands for what comes before it. Targets at or after the end show nothing.
    """
    chosen: list[int] = []
    index = 0
    for target in targets:
        if target >= end_seconds:
            break
        while index + 1 < len(frame_starts) and frame_starts[index + 1] <= target + TICK_SECONDS:
            index += 1
        if frame_starts and (not chosen or chosen[-1] != index):
            chosen.append(index)
    return chosen
