"""Where each token stands: the three position axes (time, height, width) of the Qwen-VL families, as published.

They are computed here and passed to the model. transformers up to 5.23 lets the text after a Qwen2.5-VL video go on
inside the video's temporal positions; the published model lets it go on after the largest position of all axes.

    text      all three axes count on together, one by one
    video     a patch stands at start + (time, row, column); what follows goes on at the largest of all + 1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch


@dataclass(frozen=True, kw_only=True)
class TextRun:
    """Consecutive tokens of text (vision markers count as text)."""

    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class VideoRun:
    """Consecutive video tokens: merged grid (steps, rows, columns), `step` positions between two temporal steps."""

    grid: tuple[int, int, int]
    step: float = 1.0

    @property
    def num_tokens(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


Run = TextRun | VideoRun

_WHOLE: Final = 1e-6
"""Steps are multiples of 10 ms. This makes up for what rounding took from a whole number (100 * 0.29 is 28.999...)."""


def lay_out_positions(runs: Sequence[Run]) -> tuple[torch.Tensor, int]:
    """Positions of all tokens, int64 (3, num_tokens), and the position of the first token that will follow."""
    parts: list[torch.Tensor] = []
    start = 0
    for run in runs:
        part = _video_positions(run) if isinstance(run, VideoRun) else torch.arange(run.num_tokens).expand(3, -1)
        parts.append(part + start)
        if run.num_tokens:
            start = int(parts[-1].max()) + 1
    return torch.cat(parts, dim=1), start


def next_position(runs: Iterable[Run]) -> int:
    """The second of what `lay_out_positions` gives, without laying them out."""
    start = 0
    for run in runs:
        if isinstance(run, TextRun):
            start += run.num_tokens
        elif run.num_tokens:
            start += max(int((run.grid[0] - 1) * run.step + _WHOLE), run.grid[1] - 1, run.grid[2] - 1) + 1
    return start


def seconds_per_step(pts_seconds: Sequence[float], temporal_patch: int, *, has_gaps: bool = False) -> float:
    """The time between two temporal steps of a clip, in seconds: its mean frame distance times `temporal_patch`.

    `has_gaps`: the frames are whole steps of a clip, not all of them. Two frames of a step are then nearer to each
    other than two of different steps, and the mean distance of the steps' first frames is what counts.

    Rounded to 10 ms: frames are picked from the video's own clock, so that 2 fps out of 25 fps is 0.4997 s here, and
    the floor in the positions would turn the steps 2, 4, 6 into 1, 3, 5. A single frame has one step and no distance.
    """
    if len(pts_seconds) < 2:
        return 0.0
    firsts = pts_seconds[::temporal_patch]
    if has_gaps and len(firsts) > 1:
        return round((firsts[-1] - firsts[0]) / (len(firsts) - 1), 2)
    mean_distance = (pts_seconds[-1] - pts_seconds[0]) / (len(pts_seconds) - 1)
    return round(mean_distance * temporal_patch, 2)


def step_times(pts_seconds: Sequence[float], clip_start_seconds: float, temporal_patch: int) -> list[float]:
    """When each temporal step happens, in seconds of the clip: the middle between its first and its last frame.

    A last step that lacks frames repeats the last one, as preprocessing does.
    """
    times = [pts - clip_start_seconds for pts in pts_seconds]
    times += times[-1:] * (-len(times) % temporal_patch)
    return [(times[i] + times[i + temporal_patch - 1]) / 2 for i in range(0, len(times), temporal_patch)]


def _video_positions(run: VideoRun) -> torch.Tensor:
    steps, rows, columns = run.grid
    times = (torch.arange(steps, dtype=torch.float64) * run.step + _WHOLE).long()
    grids = torch.meshgrid(times, torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack(grids).reshape(3, -1)
