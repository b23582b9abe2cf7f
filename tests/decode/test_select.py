"""Targets stay inside their clip, its cap and its budget, and a frame is chosen by when it is on display."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.pipelines.decode.select import frame_times, target_frames
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from framegate.schemas.pixels import count_video_tokens

FRAMES = FramesConfig(fps=2, max_frames=64)


def on_display(targets: Sequence[float], frame_starts: Sequence[float], *, end_seconds: float) -> list[int]:
    """What readers are held against: indexes of the frames shown at `targets`, ascending, each at most once.

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


def test_below_the_cap_frames_are_taken_at_the_asked_rate() -> None:
    assert frame_times(30, 33, FRAMES) == [30, 30.5, 31, 31.5, 32, 32.5]
    assert frame_times(0, 0.2, FRAMES) == [0]
    assert len(frame_times(0.1, 0.30000000000000004, FramesConfig(fps=10))) == 2


def test_above_the_cap_frames_are_the_middles_of_equal_parts() -> None:
    assert frame_times(10, 20, FramesConfig(fps=10, max_frames=5)) == [11, 13, 15, 17, 19]


def test_uniform_takes_as_many_of_a_short_clip_as_of_a_long_one() -> None:
    frames = FramesConfig(policy="uniform", max_frames=4)
    assert frame_times(10, 12, frames) == [10.25, 10.75, 11.25, 11.75]
    assert frame_times(0, 8000, frames) == [1000, 3000, 5000, 7000]


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 3)])
def test_a_clip_without_a_length_is_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="end after its start"):
        frame_times(start, end, FRAMES)


@st.composite
def policies(draw: st.DrawFn) -> FramesConfig:
    values = {
        "max_frames": draw(st.integers(1, 256)),
        "max_video_tokens": draw(st.integers(64, 4096)),
        "min_frame_pixels": draw(st.integers(1, 40_000)),
    }
    policy = draw(st.sampled_from([{"policy": "uniform"}, {"fps": draw(st.floats(0.05, 60))}]))
    return FramesConfig.model_validate({**values, **policy})


@given(start=st.floats(0, 40_000), length=st.floats(0.05, 4000), frames=policies())
def test_targets_lie_in_the_clip_in_order_and_within_cap_and_budget(
    start: float, length: float, frames: FramesConfig
) -> None:
    grid = {"factor": 28, "temporal_patch": 2}
    targets = target_frames(start, start + length, 720, 1280, frames, **grid)
    times = targets.times_seconds
    assert 1 <= len(times) <= frames.max_frames
    assert all(start <= time < start + length for time in times)
    assert all(a < b for a, b in itertools.pairwise(times))
    assert count_video_tokens(len(times), targets.height, targets.width, **grid) <= frames.max_video_tokens


def test_a_budget_that_holds_fewer_frames_spreads_them_over_the_whole_clip() -> None:
    frames = FramesConfig(fps=2, max_frames=64, max_video_tokens=16, min_frame_pixels=4 * 28 * 28)
    targets = target_frames(100, 116, 56, 56, frames, factor=28, temporal_patch=2)
    assert targets == ([101, 103, 105, 107, 109, 111, 113, 115], 56, 56)


@pytest.mark.parametrize(
    "frames", [FramesConfig(fps=2), FramesConfig(policy="uniform", max_frames=16)], ids=["fps", "uniform"]
)
def test_frames_of_an_uneven_film_come_once_each_with_the_times_they_are_shown_at(
    frames: FramesConfig, write_film: Callable[..., Path], tmp_path: Path, number_of: Callable[..., int]
) -> None:
    starts = [0.0, 0.1, 0.5, 0.6, 2.0, 2.1, 5.0, 7.5]
    path = write_film(tmp_path / "uneven.mkv", times_seconds=starts)
    targets = target_frames(0.25, 8, 64, 96, frames, factor=28, temporal_patch=2)
    with open_reader("pyav", RangeFile.of(path.read_bytes())) as reader:
        selection = reader.read(targets.times_seconds, height=64, width=96)
    batch = FrameBatch(
        frames_THWC=selection.frames_THWC, pts_seconds=selection.pts_seconds, duration_seconds=7.75
    )  # refuses times that do not increase
    assert [number_of(frame) for frame in batch.frames_THWC] == on_display(
        targets.times_seconds, starts, end_seconds=8.5
    )
    assert batch.pts_seconds == pytest.approx([starts[number_of(frame)] for frame in batch.frames_THWC], abs=2e-3)


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
