"""Which moments of a clip are looked at, and how large its frames are.

Pure functions over seconds and sizes. A frame is chosen because it is *on display* at a moment,
never by its index times a frame rate, so that variable frame rates and dropped frames change nothing.

    frame starts   0.0    0.1         0.5 0.6          (variable frame rate)
    on display     |--0---|-----1-----|-2-|--3------
    targets        ^         ^         ^     ^
    chosen         0         1         2     3
"""

from __future__ import annotations

import math
from typing import NamedTuple

from framegate.schemas.config import FramesConfig
from framegate.schemas.pixels import fit_frames


class FrameTargets(NamedTuple):
    """The moments of a clip to look at, ascending seconds of the video, and the size of each frame in pixels."""

    times_seconds: list[float]
    height: int
    width: int


def target_frames(
    start_seconds: float,
    end_seconds: float,
    height: int,
    width: int,
    frames: FramesConfig,
    *,
    factor: int,
    temporal_patch: int,
) -> FrameTargets:
    """The moments and the frame size for the clip [start, end) of a video that is displayed as `height` x `width`.

    The policy says which moments; `fit_frames` then says how large the frames are and how many of them the token budget
    allows. Where they are fewer, they are spread evenly again. Raises ValueError as `fit_frames` does.
    """
    times = frame_times(start_seconds, end_seconds, frames)
    fitted = fit_frames(len(times), height, width, factor=factor, temporal_patch=temporal_patch, limits=frames)
    if fitted.num_frames < len(times):
        times = _spread(start_seconds, end_seconds, fitted.num_frames)
    return FrameTargets(times, fitted.height, fitted.width)


def frame_times(start_seconds: float, end_seconds: float, frames: FramesConfig) -> list[float]:
    """The moments of [start, end) that the frame policy asks for, ascending, at least one and at most `max_frames`.

    fps      start, start + 1/fps, ...; where that would be more than `max_frames`, as uniform
    uniform  the middles of `max_frames` equal parts, so that a clip is seen from its first part to its last
    """
    if not 0 <= start_seconds < end_seconds:
        raise ValueError(
            f"a clip must start at or after 0 and end after its start, got [{start_seconds}, {end_seconds})"
        )
    # Slightly below, so that 0.1 + 0.2 - 0.1 at 10 fps is two frames and not three.
    num_times = max(1, math.ceil((end_seconds - start_seconds) * frames.fps - 1e-6))
    if frames.policy == "uniform" or num_times > frames.max_frames:
        return _spread(start_seconds, end_seconds, frames.max_frames)
    return [start_seconds + k / frames.fps for k in range(num_times)]


def _spread(start_seconds: float, end_seconds: float, num_frames: int) -> list[float]:
    """The middles of `num_frames` equal parts of [start, end)."""
    part_seconds = (end_seconds - start_seconds) / num_frames
    return [start_seconds + (k + 0.5) * part_seconds for k in range(num_frames)]
