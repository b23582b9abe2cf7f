"""Which frames an ask sees: whole temporal steps, spread evenly, or in turns."""

from __future__ import annotations

import itertools

import pytest

from framegate.pipelines.reason.strategies.frame_steps import count_steps, phase, share_of_steps, spread


@pytest.mark.parametrize("num_frames", range(1, 40))
@pytest.mark.parametrize("num_wanted", range(1, 12))
def test_steps_that_are_spread_are_whole_and_as_many_as_are_wanted(num_frames: int, num_wanted: int) -> None:
    frames = spread(num_frames, num_wanted)
    if frames is None:
        assert num_wanted >= count_steps(num_frames)
        return
    steps = sorted({frame // 2 for frame in frames})
    assert frames == tuple(frame for step in steps for frame in (2 * step, 2 * step + 1) if frame < num_frames)
    assert (len(steps), steps[0]) == (num_wanted, 0)
    distances = {after - before for before, after in itertools.pairwise(steps)}
    assert max(distances, default=0) - min(distances, default=0) <= 1, "evenly"


@pytest.mark.parametrize("num_frames", range(1, 40))
@pytest.mark.parametrize("num_phases", range(1, 7))
def test_phases_are_disjoint_and_are_all_frames_together(num_frames: int, num_phases: int) -> None:
    parts = [phase(num_frames, k, num_phases) for k in range(min(num_phases, count_steps(num_frames)))]
    seen = [frame for part in parts for frame in (range(num_frames) if part is None else part)]
    assert sorted(seen) == [*range(num_frames)]
    assert all(part is None or part[0] % 2 == 0 for part in parts)


def test_a_share_of_steps_is_rounded_and_never_none() -> None:
    assert [share_of_steps(num_frames, 0.25) for num_frames in (1, 4, 11, 12, 16, 64)] == [1, 1, 2, 2, 2, 8]
    assert spread(16, 2) == (0, 1, 8, 9)
    assert phase(16, 1, 3) == (2, 3, 8, 9, 14, 15)
