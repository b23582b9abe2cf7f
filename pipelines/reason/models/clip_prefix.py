"""The part of a prompt that all questions of a clip share: system turn and video, as tokens, positions and patches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from framegate.pipelines.reason.models.preprocess import (
    ScaledVideo,
    VideoPatches,
    cut_steps,
    fit_video,
    grid_of,
    scale_video,
)
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
    """Tokens (P), their positions on three axes (3, P), the position of what follows, and the scaled video.

    `num_video_tokens` are those that are among the tokens: fewer than the video has once it is pruned.
    """

    token_ids: list[int]
    positions_3P: torch.Tensor
    next_position: int
    num_video_tokens: int
    video: ScaledVideo
    prompt_format: PromptFormat
    device: torch.device

    @cached_property
    def patches(self) -> VideoPatches:
        """All of the video's patches, on the device."""
        family, grid = self.prompt_format.family, self.prompt_format.grid
        pixels_ND = cut_steps(self.video.steps_SFHWC, family=family, grid=grid, device=self.device)
        return VideoPatches(pixels_ND=pixels_ND, grid_thw=self.video.grid_thw)


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
    video = scale_video(frames.frames_THWC, grid=grid, limits=limits, device=device)
    token_ids, videos = _lay_out(frames, video.grid_thw, clip_start_seconds, system_prompt, prompt_format)
    positions_3P, end = lay_out_positions(list(_split_runs(token_ids, video_token_id, videos)))
    return ClipPrefix(
        token_ids=_repeat_video_tokens(token_ids, video_token_id, videos[0].num_tokens),
        positions_3P=positions_3P,
        next_position=end,
        num_video_tokens=sum(run.num_tokens for run in videos),
        video=video,
        prompt_format=prompt_format,
        device=device,
    )


def prune_prefix(prefix: ClipPrefix, is_kept_V: torch.Tensor) -> ClipPrefix:
    """The prefix without some of its video tokens. All others stay where they are, stamps and markers of a step that
    has none left among them, and the text goes on where it would. `is_kept_V` is on the CPU."""
    token_ids_P = torch.tensor(prefix.token_ids)
    is_kept_P = token_ids_P != prefix.prompt_format.video_token_id
    is_kept_P[~is_kept_P] = is_kept_V
    return replace(
        prefix,
        token_ids=token_ids_P[is_kept_P].tolist(),
        positions_3P=prefix.positions_3P[:, is_kept_P],
        num_video_tokens=int(is_kept_V.sum()),
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
