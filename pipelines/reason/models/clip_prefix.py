"""The part of a prompt that all questions of a clip share: system turn and video, as tokens, positions and patches.

Knows how each family lays out a video in its prompt, and nothing of questions or of running a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from framegate.pipelines.reason.asking.prompt import prefix_before_video
from framegate.pipelines.reason.models.families import Family
from framegate.pipelines.reason.models.positions import (
    Run,
    TextRun,
    VideoRun,
    lay_out_positions,
    seconds_per_step,
    step_times,
)
from framegate.pipelines.reason.models.preprocess import VideoPatches, cut_video
from framegate.pipelines.reason.models.vision_grid import VisionGrid
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from framegate.schemas.errors import EngineError

_VISION_START, _VISION_END, _VIDEO = "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """What of a checkpoint decides how its prompts look. `encode` turns text with named special tokens into ids."""

    family: Family
    grid: VisionGrid
    positions_per_second: float
    video_token_id: int
    encode: Callable[[str], list[int]]


@dataclass(frozen=True, kw_only=True)
class ClipPrefix:
    """Tokens (P), their positions on three axes (3, P), the position of what follows, and the video's patches."""

    token_ids: list[int]
    positions_3P: torch.Tensor
    next_position: int
    num_video_tokens: int
    patches: VideoPatches


def build_prefix(
    frames: FrameBatch,
    clip_start_seconds: float,
    *,
    system_prompt: str,
    prompt_format: PromptFormat,
    limits: FramesConfig,
    device: torch.device,
) -> ClipPrefix:
    """Lay out one clip. Times that the model is shown are seconds of the clip. Raises ValueError, EngineError."""
    grid = prompt_format.grid
    patches = cut_video(frames.frames_THWC, family=prompt_format.family, grid=grid, limits=limits, device=device)
    steps, height, width = patches.grid_thw
    rows, columns = height // grid.merge, width // grid.merge
    pts_seconds = frames.pts_seconds.tolist()
    if prompt_format.family.layout == "block":
        step = seconds_per_step(pts_seconds, grid.temporal_patch) * prompt_format.positions_per_second
        videos = [VideoRun(grid=(steps, rows, columns), step=step)]
        text = _VISION_START + _VIDEO + _VISION_END
    else:
        videos = [VideoRun(grid=(1, rows, columns))] * steps
        times = step_times(pts_seconds, clip_start_seconds, grid.temporal_patch)
        text = "".join(f"<{time:.1f} seconds>{_VISION_START}{_VIDEO}{_VISION_END}" for time in times)
    token_ids = prompt_format.encode(prefix_before_video(system_prompt) + text)
    if token_ids.count(prompt_format.video_token_id) != len(videos):
        raise EngineError(f"the system prompt must not hold the video token {_VIDEO}, which stands for the frames")
    runs = list(_split_runs(token_ids, prompt_format.video_token_id, videos))
    positions_3P, next_position = lay_out_positions(runs)
    return ClipPrefix(
        token_ids=_repeat_video_tokens(token_ids, prompt_format.video_token_id, rows * columns * steps // len(videos)),
        positions_3P=positions_3P,
        next_position=next_position,
        num_video_tokens=steps * rows * columns,
        patches=patches,
    )


def _split_runs(token_ids: Sequence[int], video_token_id: int, videos: Sequence[VideoRun]) -> Iterator[Run]:
    waiting = iter(videos)
    for is_video, group in groupby(token_ids, lambda token_id: token_id == video_token_id):
        yield next(waiting) if is_video else TextRun(num_tokens=len(list(group)))


def _repeat_video_tokens(token_ids: Sequence[int], video_token_id: int, num_each: int) -> list[int]:
    repeated: list[int] = []
    for token_id in token_ids:
        repeated += [token_id] * (num_each if token_id == video_token_id else 1)
    return repeated
