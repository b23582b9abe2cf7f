"""Offsets that make one running time out of stamps that begin again or jump; and where no frame starts."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.decode.readers.gaps import MAX_GAPS, gaps_between, longest, with_frames
from framegate.pipelines.decode.readers.route import KeyFrame, Route
from framegate.pipelines.decode.readers.running_time import RunningTime
from framegate.pipelines.decode.split import split_duration
from framegate.schemas.config import ClipsConfig

MILLISECOND = Fraction(1, 1000)


def running(stamps: list[int], *, container: str = "mpeg_ts", step: int = 100) -> list[int]:
    time = RunningTime(MILLISECOND, container=container, step_ticks=step)
    return [dts + time.add(dts, step) for dts in stamps]


@pytest.mark.parametrize(
    ("stamps", "right"),
    [
        ([0, 100, 200], [0, 100, 200]),
        ([5000, 5100, 0, 100], [5000, 5100, 5200, 5300]),  # they begin again
        ([0, 100, 60_000, 60_100], [0, 100, 200, 300]),  # and leap
        ([0, 100, 9_000, 9_100], [0, 100, 9_000, 9_100]),  # a gap of less than 10 s is one
        ([0, 100, 50, 150], [0, 100, 50, 150]),  # no more than 0.1 s back
        ([0, 100, -50, 50], [0, 100, 200, 300]),
        ([0, 100, 1 << 40, 200, 300], [0, 100, 200, 300, 400]),  # one damaged stamp
    ],
)
def test_stamps_become_one_running_time(stamps: list[int], right: list[int]) -> None:
    assert running(stamps) == right


def test_other_containers_may_have_gaps_of_hours() -> None:
    hour = 3_600_000
    assert running([0, 100, hour], container="matroska") == [0, 100, hour]
    assert running([0, 100, 31 * hour], container="matroska") == [0, 100, 200]


def test_packets_without_a_decode_time_take_the_offset_of_the_one_before() -> None:
    time = RunningTime(MILLISECOND, container="mpeg_ts", step_ticks=100)
    assert [time.add(dts, 100) for dts in (5000, None, 0, None)] == [0, 0, 5100, 5100]
    assert [time.offset(number) for number in range(6)] == [0, 0, 5100, 5100, 5100, 5100]
    assert time.is_needed


@given(st.lists(st.integers(0, 1 << 33), min_size=1, max_size=60))
def test_running_time_never_falls_back_nor_leaps(stamps: list[int]) -> None:
    times = running(stamps)
    steps = np.diff(times)
    assert (steps >= -100).all()
    assert (steps <= 10_100).all()


def test_a_route_leads_to_the_last_key_frame_before_a_moment() -> None:
    keys = [KeyFrame(0, 0, 0), KeyFrame(100, 10, 900), KeyFrame(90, 20, 1900), KeyFrame(200, 30, 2900)]
    route = Route(lambda number: 0, keys)
    assert [route.key_before(ticks) for ticks in (-1, 0, 150, 500)] == [None, keys[0], keys[1], keys[3]]


def test_gaps_lie_between_frames_before_the_first_and_behind_the_last() -> None:
    assert gaps_between(np.array([3.0, 3.5, 60.0]), 70.0) == ((-1.0, 3.0), (3.5, 60.0), (60.0, 71.0))
    assert gaps_between(np.array([0.0, 0.5]), 1.0) == ((0.5, 2.0),)


def test_of_many_gaps_the_longest_are_told() -> None:
    starts = np.cumsum([0.0, *(1.0 + (number % 7) for number in range(5000))])
    gaps = gaps_between(starts, float(starts[-1]))
    assert len(gaps) == MAX_GAPS
    assert min(before - after for after, before in gaps) == 6.0
    assert all(one[1] <= other[0] for one, other in pairwise(gaps))


def test_gaps_that_overlap_are_one() -> None:
    assert longest([(0.0, 5.0), (4.0, 9.0), (12.0, 14.0)]) == ((0.0, 9.0), (12.0, 14.0))


@given(
    st.lists(st.floats(0.001, 40), min_size=1, max_size=40),
    st.sampled_from([0.7, 2.0, 10.0, 30.0]),
)
def test_every_frame_is_in_one_clip_and_every_clip_has_one(steps: list[float], seconds: float) -> None:
    starts = np.cumsum(steps) - steps[0]
    duration = float(starts[-1]) + 0.04
    clips = list(split_duration(duration, ClipsConfig(seconds=seconds), gaps_between(starts, duration)))
    counts = [sum(a - 0.001 <= at < b - 0.001 for at in starts) for a, b in clips[:-1]]
    counts.append(sum(clips[-1][0] - 0.001 <= at for at in starts))
    assert sum(counts) == len(starts)
    # Frames less than a second apart are no gap, and clips of 0.7 s may lie between two of them.
    assert all(counts) or seconds < 1


def test_at_least_one_clip_is_left() -> None:
    late = ((-1.0, 5.0), (5.0, 20.0))
    assert list(with_frames([(0.0, 1.0), (10.0, 11.0), (12.0, 13.0)], late, slack_seconds=0.001)) == [(10.0, 11.0)]
    assert list(with_frames([(0.0, 1.0), (2.0, 3.0)], late, slack_seconds=0.001)) == [(0.0, 1.0)]
    assert list(with_frames([], (), slack_seconds=0.001)) == []


def test_frames_in_the_last_millisecond_alone_are_of_the_last_clip() -> None:
    """All frames of a film whose clock begins late, at 90,000 frames a second, start within its last tick."""
    gaps = gaps_between(np.array([40.0, 40.0004]), 40.0004)
    assert list(split_duration(40.0004, ClipsConfig(seconds=1.0), gaps)) == [(39.0, 40.0004)]


def test_days_without_a_frame_cost_no_clips() -> None:
    day = 86_400.0
    gaps = gaps_between(np.array([0.0, 10 * day, 20 * day]), 31 * day)
    assert len(list(split_duration(31 * day, ClipsConfig(), gaps))) == 3
