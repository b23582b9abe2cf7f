"""Which of a clip's frames an ask sees, in whole temporal steps: the frames that a vision tower takes for one.

A step that is seen alone has the same patches as among all others.
"""

from __future__ import annotations

from typing import Final

FRAMES_PER_STEP: Final = 2
"""Of both families, Qwen2.5-VL and Qwen3-VL. The last step of an odd number of frames has one; engines repeat it."""


def count_steps(num_frames: int) -> int:
    """Whole and begun steps."""
    return -(-num_frames // FRAMES_PER_STEP)


def spread(num_frames: int, num_wanted: int) -> tuple[int, ...] | None:
    """The indexes of the frames of `num_wanted` steps, at least one, spread evenly from the first one on, as a lower
    frame rate would have them: what is seen begins with the clip. None where these are all frames."""
    num_steps = count_steps(num_frames)
    num_wanted = max(1, num_wanted)
    if num_wanted >= num_steps:
        return None
    return _frames_of([n * num_steps // num_wanted for n in range(num_wanted)], num_frames)


def share_of_steps(num_frames: int, share: float) -> int:
    """The number of steps that is nearest to the share of all, at least one; a half is rounded up."""
    return max(1, int(count_steps(num_frames) * share + 0.5))


def phase(num_frames: int, number: int, num_phases: int) -> tuple[int, ...] | None:
    """The indexes of the frames of each `num_phases`th step, from step `number` on. None where these are all frames."""
    steps = [*range(number, count_steps(num_frames), num_phases)]
    return None if len(steps) == count_steps(num_frames) else _frames_of(steps, num_frames)


def _frames_of(steps: list[int], num_frames: int) -> tuple[int, ...]:
    return tuple(
        frame
        for step in steps
        for frame in range(step * FRAMES_PER_STEP, min((step + 1) * FRAMES_PER_STEP, num_frames))
    )
