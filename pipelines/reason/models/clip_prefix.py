"""The part of a prompt that all questions of a clip share: system turn and video, as tokens, positions and patches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import NamedTuple

import torch

from framegate.pipelines.reason.asking.prompt import PromptText, prefix_before_video
from framegate.pipelines.reason.models.families import Family
from framegate.pipelines.reason.models.positions import (
    Run,
    TextRun,
    VideoRun,
    lay_out_positions,
    next_position,
    seconds_per_step,
    step_times,
)
from framegate.pipelines.reason.models.preprocess import VideoPatches, cut_video, fit_video, grid_of
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
    encode: Callable[[str | PromptText], list[int]]


class PrefixLength(NamedTuple):
    """The number of a prefix's tokens, how many of these stand for the video, and the position of what follows."""

    num_tokens: int
    num_video_tokens: int
    next_position: int


@dataclass(frozen=True, kw_only=True)
class ClipPrefix:
    """Tokens (P), their positions on three axes (3, P), the position of what follows, and the video's patches."""

    token_ids: list[int]
    positions_3P: torch.Tensor
    next_position: int
    num_video_tokens: int
    patches: VideoPatches


def select_frames(frames: FrameBatch, indices: Sequence[int] | None) -> FrameBatch:
    """Those at `indices`, which increase; None: all of them. Raises IndexError, ValueError."""
    if indices is None:
        return frames
    places = list(indices)
    if any(place < 0 for place in places):
        raise IndexError(f"frames are counted from 0, got {places}")
    has_gaps = frames.has_gaps or any(after - before > 1 for before, after in pairwise(places))
    return replace(
        frames, frames_THWC=frames.frames_THWC[places], pts_seconds=frames.pts_seconds[places], has_gaps=has_gaps
    )


def measure_prefix(
    frames: FrameBatch,
    clip_start_seconds: float,
    *,
    system_prompt: str,
    prompt_format: PromptFormat,
    limits: FramesConfig,
) -> PrefixLength:
    """How long the prefix is that `build_prefix` builds. Looks at no pixel. Raises ValueError, EngineError."""
    fitted = fit_video(*frames.frames_THWC.shape[:3], grid=prompt_format.grid, limits=limits)
    grid_thw = grid_of(fitted, prompt_format.grid)
    token_ids, videos = _lay_out(frames, grid_thw, clip_start_seconds, system_prompt, prompt_format)
    num_video_tokens = sum(video.num_tokens for video in videos)
    end = next_position(_split_runs(token_ids, prompt_format.video_token_id, videos))
    return PrefixLength(len(token_ids) - len(videos) + num_video_tokens, num_video_tokens, end)


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
    grid, video_token_id = prompt_format.grid, prompt_format.video_token_id
    patches = cut_video(frames.frames_THWC, family=prompt_format.family, grid=grid, limits=limits, device=device)
    token_ids, videos = _lay_out(frames, patches.grid_thw, clip_start_seconds, system_prompt, prompt_format)
    positions_3P, end = lay_out_positions(list(_split_runs(token_ids, video_token_id, videos)))
    return ClipPrefix(
        token_ids=_repeat_video_tokens(token_ids, video_token_id, videos[0].num_tokens),
        positions_3P=positions_3P,
        next_position=end,
        num_video_tokens=sum(video.num_tokens for video in videos),
        patches=patches,
    )


def _lay_out(
    frames: FrameBatch,
    grid_thw: tuple[int, int, int],
    clip_start_seconds: float,
    system_prompt: str,
    prompt_format: PromptFormat,
) -> tuple[list[int], list[VideoRun]]:
    """Token ids with one video token for each run of them, and these runs: all of one length."""
    grid = prompt_format.grid
    steps, rows, columns = grid_thw[0], grid_thw[1] // grid.merge, grid_thw[2] // grid.merge
    pts_seconds = frames.pts_seconds.tolist()
    if prompt_format.family.layout == "block":
        seconds = seconds_per_step(pts_seconds, grid.temporal_patch, has_gaps=frames.has_gaps)
        step = seconds * prompt_format.positions_per_second
        videos = [VideoRun(grid=(steps, rows, columns), step=step)]
        text = _VISION_START + _VIDEO + _VISION_END
    else:
        videos = [VideoRun(grid=(1, rows, columns))] * steps
        times = step_times(pts_seconds, clip_start_seconds, grid.temporal_patch)
        text = "".join(f"<{time:.1f} seconds>{_VISION_START}{_VIDEO}{_VISION_END}" for time in times)
    token_ids = prompt_format.encode(prefix_before_video(system_prompt) + text)
    if token_ids.count(prompt_format.video_token_id) != len(videos):
        raise EngineError(f"the system prompt must not hold the video token {_VIDEO}, which stands for the frames")
    return token_ids, videos


def _split_runs(token_ids: Sequence[int], video_token_id: int, videos: Sequence[VideoRun]) -> Iterator[Run]:
    waiting = iter(videos)
    for is_video, group in groupby(token_ids, lambda token_id: token_id == video_token_id):
        yield next(waiting) if is_video else TextRun(num_tokens=len(list(group)))


def _repeat_video_tokens(token_ids: Sequence[int], video_token_id: int, num_each: int) -> list[int]:
    repeated: list[int] = []
    for token_id in token_ids:
        repeated += [token_id] * (num_each if token_id == video_token_id else 1)
    return repeated
