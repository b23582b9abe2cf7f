"""Clips cover the video in order, none is too short to be worth asking about, and weeks of video need no list."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.decode.split import split_duration, split_fixed
from framegate.schemas.config import ClipsConfig

DURATIONS = st.floats(min_value=0.01, max_value=50_000, allow_nan=False)
MIN_SECONDS = st.sampled_from([0.0, 0.5, 3.0, 600.0])


def clips_of(duration: float, clip: float, stride: float, min_seconds: float = 0.5) -> list[tuple[float, float]]:
    return list(split_fixed(duration, seconds=clip, stride_seconds=stride, min_seconds=min_seconds))


@pytest.mark.parametrize(
    ("duration", "clip", "stride", "expected"),
    [
        (90, 30, 30, [(0, 30), (30, 60), (60, 90)]),
        (70, 30, 30, [(0, 30), (30, 60), (60, 70)]),
        (30.03, 30, 30, [(0, 30.03)]),  # a rest of 30 ms is no clip of its own
        (60.4, 30, 30, [(0, 30), (30, 60.4)]),
        (1.4, 1, 1, [(0, 1.4)]),
        (12, 5, 10, [(0, 5), (10, 12)]),  # the stride leaves gaps
        (10.2, 5, 10, [(0, 5)]),
        (12, 10, 5, [(0, 10), (5, 12)]),  # the stride overlaps; the first clip that reaches the end is the last
        (0.2, 30, 30, [(0, 0.2)]),
    ],
)
def test_clips_by_hand(duration: float, clip: float, stride: float, expected: list) -> None:
    assert clips_of(duration, clip, stride) == expected


def test_a_rest_shorter_than_min_seconds_joins_the_clip_before() -> None:
    assert clips_of(64, 30, 30, min_seconds=5) == [(0, 30), (30, 64)]
    assert clips_of(66, 30, 30, min_seconds=5) == [(0, 30), (30, 60), (60, 66)]
    assert clips_of(76, 30, 30, min_seconds=30) == [(0, 30), (30, 60), (60, 76)]  # never more than half a clip
    assert clips_of(60.2, 30, 30, min_seconds=0) == [(0, 30), (30, 60), (60, 60.2)]


@given(duration=DURATIONS, clip=st.floats(0.5, 600), share=st.floats(0.2, 1.0), min_seconds=MIN_SECONDS)
def test_clips_without_gaps_cover_the_whole_video(
    duration: float, clip: float, share: float, min_seconds: float
) -> None:
    clips = clips_of(duration, clip, clip * share, min_seconds)
    assert clips[0][0] == 0
    assert clips[-1][1] == duration
    for (_, end), (start, _) in itertools.pairwise(clips):
        assert start <= end + 1e-6
    rest = min(max(min_seconds, 1e-3), clip / 2)
    assert all(0 < end - start <= clip + rest + 1e-6 for start, end in clips)
    assert sum(end == duration for _, end in clips) == 1
    if duration >= rest:
        assert all(end - start >= rest - 1e-6 for start, end in clips)


@given(duration=DURATIONS, clip=st.floats(0.5, 600), share=st.floats(1.0, 5.0), min_seconds=MIN_SECONDS)
def test_clips_with_gaps_stay_inside_the_video_and_in_order(
    duration: float, clip: float, share: float, min_seconds: float
) -> None:
    clips = clips_of(duration, clip, clip * share, min_seconds)
    assert all(0 <= start < end <= duration for start, end in clips)
    assert all(end <= start + 1e-6 for (_, end), (start, _) in itertools.pairwise(clips))


def test_the_policy_of_a_job_is_followed() -> None:
    assert list(split_duration(12.5, ClipsConfig(whole_video=True))) == [(0.0, 12.5)]
    assert list(split_duration(12.5, ClipsConfig(seconds=5))) == [(0, 5), (5, 10), (10, 12.5)]
    assert list(split_duration(12.5, ClipsConfig(seconds=8, stride_seconds=4))) == [(0, 8), (4, 12), (8, 12.5)]


def test_a_month_of_video_is_split_as_it_is_asked_for() -> None:
    clips = split_duration(31 * 86_400.0, ClipsConfig(seconds=0.01, min_seconds=0))  # 268 million clips
    assert next(clips) == (0.0, 0.01)


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("clips", [ClipsConfig(), ClipsConfig(whole_video=True)])
def test_a_video_without_a_duration_is_refused_before_a_clip_is_asked_for(duration: float, clips: ClipsConfig) -> None:
    with pytest.raises(ValueError, match="duration_seconds must be finite and above 0"):
        split_duration(duration, clips)
