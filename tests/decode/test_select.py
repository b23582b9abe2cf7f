"""Clips cover the video, targets stay inside their clip, and a frame is chosen by when it is on display."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.decode.select import MAX_TAIL_SECONDS, TICK_SECONDS, frame_times, on_display, split_fixed, split_whole

seconds = st.floats(min_value=0.01, max_value=50_000, allow_nan=False)


@pytest.mark.parametrize(
    ("duration", "clip", "stride", "expected"),
    [
        (90, 30, 30, [(0, 30), (30, 60), (60, 90)]),
        (70, 30, 30, [(0, 30), (30, 60), (60, 70)]),
        (30.03, 30, 30, [(0, 30.03)]),  # a tail of 30 ms is no clip of its own
        (60.4, 30, 30, [(0, 30), (30, 60.4)]),
        (1.4, 1, 1, [(0, 1.4)]),
        (12, 5, 10, [(0, 5), (10, 12)]),  # the stride leaves gaps
        (10.2, 5, 10, [(0, 5)]),
        (12, 10, 5, [(0, 10), (5, 12)]),  # the stride overlaps; the first clip that reaches the end is the last
        (0.2, 30, 30, [(0, 0.2)]),
    ],
)
def test_clips_by_hand(duration: float, clip: float, stride: float, expected: list) -> None:
    assert split_fixed(duration, clip_seconds=clip, stride_seconds=stride) == expected


@given(duration=seconds, clip=st.floats(0.5, 600), share=st.floats(0.2, 1.0))
def test_clips_without_gaps_cover_the_whole_video(duration: float, clip: float, share: float) -> None:
    clips = split_fixed(duration, clip_seconds=clip, stride_seconds=clip * share)
    assert clips[0][0] == 0
    assert clips[-1][1] == duration
    for (_, end), (start, _) in itertools.pairwise(clips):
        assert start <= end + 1e-6
    assert all(0 < end - start <= clip + MAX_TAIL_SECONDS + 1e-6 for start, end in clips)
    assert sum(end == duration for _, end in clips) == 1


@given(duration=seconds, clip=st.floats(0.5, 600), share=st.floats(1.0, 5.0))
def test_clips_with_gaps_stay_inside_the_video_and_in_order(duration: float, clip: float, share: float) -> None:
    clips = split_fixed(duration, clip_seconds=clip, stride_seconds=clip * share)
    assert all(0 <= start < end <= duration for start, end in clips)
    assert all(end <= start + 1e-6 for (_, end), (start, _) in itertools.pairwise(clips))


def test_a_whole_video_is_one_clip() -> None:
    assert split_whole(12.5) == [(0.0, 12.5)]


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan"), float("inf")])
def test_a_video_without_a_duration_is_refused(duration: float) -> None:
    with pytest.raises(ValueError, match="duration_seconds must be finite and above 0"):
        split_fixed(duration, clip_seconds=30, stride_seconds=30)
    with pytest.raises(ValueError, match="duration_seconds must be finite and above 0"):
        split_whole(duration)


def test_below_the_cap_frames_are_taken_at_the_asked_rate() -> None:
    assert frame_times(30, 33, fps=2, max_frames=64) == [30, 30.5, 31, 31.5, 32, 32.5]
    assert frame_times(0, 0.2, fps=2, max_frames=64) == [0]
    assert len(frame_times(0.1, 0.30000000000000004, fps=10, max_frames=64)) == 2


def test_above_the_cap_frames_are_the_middles_of_equal_parts() -> None:
    assert frame_times(10, 20, fps=10, max_frames=5) == [11, 13, 15, 17, 19]


@given(
    start=st.floats(0, 40_000),
    length=st.floats(0.05, 4000),
    fps=st.floats(0.05, 60),
    max_frames=st.integers(1, 256),
)
def test_targets_lie_in_the_clip_in_order_and_within_the_cap(
    start: float, length: float, fps: float, max_frames: int
) -> None:
    times = frame_times(start, start + length, fps=fps, max_frames=max_frames)
    assert 1 <= len(times) <= max_frames
    assert all(start <= time < start + length for time in times)
    assert all(a < b for a, b in itertools.pairwise(times))


def test_the_frame_on_display_is_the_last_one_that_started() -> None:
    starts = [0.0, 0.1, 0.5, 0.6]
    assert on_display([0.05, 0.3, 0.55, 0.7], starts, end_seconds=0.8) == [0, 1, 2, 3]


def test_a_frame_serves_two_targets_but_is_taken_once() -> None:
    assert on_display([0.0, 0.1, 0.2, 1.5], [0.0, 1.0], end_seconds=2.0) == [0, 1]


def test_after_the_end_nothing_is_shown() -> None:
    assert on_display([3.0, 4.0], [0.0, 1.0], end_seconds=2.0) == []
    assert on_display([0.0], [], end_seconds=2.0) == []


def test_a_frame_time_rounded_up_to_its_container_tick_still_counts_as_shown() -> None:
    assert on_display([2 / 30], [0.0, 0.033, 0.067], end_seconds=0.1) == [2]


@given(
    starts=st.lists(st.floats(0, 100), min_size=1, max_size=50, unique=True).map(sorted),
    targets=st.lists(st.floats(0, 120), min_size=1, max_size=50).map(sorted),
)
def test_selection_agrees_with_its_definition(starts: list[float], targets: list[float]) -> None:
    end = starts[-1] + 5
    expected: list[int] = []
    for target in targets:
        if target < end:
            shown = max((i for i, start in enumerate(starts) if start <= target + TICK_SECONDS), default=0)
            expected += [shown] if not expected or expected[-1] < shown else []
    assert on_display(targets, starts, end_seconds=end) == expected
