"""Stretches of a film in which no frame starts, so that a clip in them would show nothing of its own.

    frames      |0|1|2|                  |3|4|5|
    film        0.............................. end
    gaps             (2 .............. 3)      (5 ...)     also before the first frame, where sound begins earlier

A gap is told by the frames on its sides: after the start of the one, before the start of the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import numpy as np

# Shorter ones lie in a film of one picture a second, and within a clip.
MIN_GAP_SECONDS = 1.0
MAX_GAPS = 1000  # of which a header tells, the longest ones: a film of slides has as many as slides
# What stands for a frame before the film begins, and for how long after it ends one may be thought of.
OUTSIDE_SECONDS = 1.0

Gap = tuple[float, float]


def gaps_between(starts_seconds: np.ndarray, duration_seconds: float) -> tuple[Gap, ...]:
    """The gaps of a film whose frames start at these ascending moments."""
    outside = np.array([-OUTSIDE_SECONDS]), np.array([duration_seconds + OUTSIDE_SECONDS])
    edges = np.concatenate([outside[0], starts_seconds, outside[1]])
    # The frame is on display at its start, and a film of one frame has no gap before it.
    return longest([(float(edges[k]), float(edges[k + 1])) for k in np.flatnonzero(np.diff(edges) >= MIN_GAP_SECONDS)])


def longest(gaps: list[Gap]) -> tuple[Gap, ...]:
    """At most MAX_GAPS of them, in order and apart; those that end at or before 0 are none."""
    apart: list[Gap] = []
    for after, before in sorted(gaps):
        if apart and after < apart[-1][1]:
            apart[-1] = apart[-1][0], max(before, apart[-1][1])
        elif before > 0:
            apart.append((after, before))
    some = sorted(apart, key=_seconds_of, reverse=True)[:MAX_GAPS]
    return tuple((round(after, 6), round(before, 6)) for after, before in sorted(some))


def with_frames(
    stretches: Iterable[tuple[float, float]], gaps: tuple[Gap, ...], *, slack_seconds: float
) -> Iterator[tuple[float, float]]:
    """Of ascending stretches [start, end) those in which a frame starts, or so little before that it comes into view at
    the start. Where there is none, the first one by whose end a frame was shown; without that, the first one."""
    if not gaps:
        yield from stretches
        return
    befores = [before for _, before in gaps]
    first_frame = befores[0] if gaps[0][0] < 0 else 0.0
    first = showing = None
    has_any = False
    for start, end in stretches:
        place = bisect_left(befores, end - slack_seconds)
        if place == len(gaps) or gaps[place][0] >= start - slack_seconds:
            has_any = True
            yield start, end
        elif not has_any:
            first = first or (start, end)
            showing = showing or ((start, end) if end > first_frame else None)
    if first is not None and not has_any:
        yield showing or first


def _seconds_of(gap: Gap) -> float:
    return gap[1] - gap[0]
