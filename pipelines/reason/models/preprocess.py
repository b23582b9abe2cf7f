"""From frames to what the vision tower reads: resized, normalised and cut into patches, with torch alone.

Equal to Hugging Face's video processors of the families, on any device, and without torchvision, of which no CPU build
exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from framegate.pipelines.reason.models.families import Family
from framegate.pipelines.reason.models.vision_grid import VisionGrid
from framegate.schemas.config import FramesConfig
from framegate.schemas.pixels import FittedFrames, fit_frames


@dataclass(frozen=True, kw_only=True)
class ScaledVideo:
    """`steps_SFHWC`: uint8 RGB on the host, a clip's frames in the size that the model takes, F in each temporal step.
    `grid_thw`: patches in time, height and width, before merging."""

    steps_SFHWC: np.ndarray
    grid_thw: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class VideoPatches:
    """`pixels_ND`: one row per patch, float32. `grid_thw`: patches in time, height and width, before merging."""

    pixels_ND: torch.Tensor
    grid_thw: tuple[int, int, int]


def fit_video(num_frames: int, height: int, width: int, *, grid: VisionGrid, limits: FramesConfig) -> FittedFrames:
    """The size to which `cut_video` resizes such frames.

    Raises ValueError for frames that cannot be fitted (see `schemas.pixels`), and for more of them than fit: to leave
    some out here would leave their times in the prompt.
    """
    fitted = fit_frames(
        num_frames, height, width, factor=grid.factor, temporal_patch=grid.temporal_patch, limits=limits
    )
    if fitted.num_frames < num_frames:
        raise ValueError(
            f"{num_frames} frames of {height}x{width} are more than max_video_tokens={limits.max_video_tokens} and "
            f"min_frame_pixels={limits.min_frame_pixels} allow; at most {fitted.num_frames} fit: give fewer"
        )
    return fitted


def grid_of(fitted: FittedFrames, grid: VisionGrid) -> tuple[int, int, int]:
    """Patches of a fitted video in time, height and width, before merging. A last temporal step may lack frames."""
    num_steps = -(-fitted.num_frames // grid.temporal_patch)
    return num_steps, fitted.height // grid.patch, fitted.width // grid.patch


def scale_video(
    frames_THWC: np.ndarray, *, grid: VisionGrid, limits: FramesConfig, device: torch.device
) -> ScaledVideo:
    """Resize to the job's limits, on `device`, and pad to whole temporal steps with the last frame.

    Frames that the decoder fitted to the same limits are not resized again. Raises ValueError as `fit_video` does.
    """
    num_frames, height, width, _ = frames_THWC.shape
    fitted = fit_video(num_frames, height, width, grid=grid, limits=limits)
    if (height, width) != (fitted.height, fitted.width):
        frames_TCHW = torch.from_numpy(frames_THWC).to(device).permute(0, 3, 1, 2)
        resized_TCHW = _resize(frames_TCHW, (fitted.height, fitted.width))
        frames_THWC = resized_TCHW.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    if missing := -num_frames % grid.temporal_patch:
        frames_THWC = np.concatenate([frames_THWC, np.repeat(frames_THWC[-1:], missing, axis=0)])
    steps_SFHWC = frames_THWC.reshape(-1, grid.temporal_patch, *frames_THWC.shape[1:])
    return ScaledVideo(steps_SFHWC=steps_SFHWC, grid_thw=grid_of(fitted, grid))


def cut_steps(steps_SFHWC: np.ndarray, *, family: Family, grid: VisionGrid, device: torch.device) -> torch.Tensor:
    """Normalise scaled steps and cut them: one row per patch, float32."""
    frames_TCHW = torch.from_numpy(steps_SFHWC).flatten(0, 1).to(device).permute(0, 3, 1, 2)
    return _patchify(_normalise(frames_TCHW, family), grid)


def cut_video(
    frames_THWC: np.ndarray, *, family: Family, grid: VisionGrid, limits: FramesConfig, device: torch.device
) -> VideoPatches:
    """`scale_video`, and `cut_steps` of all of it."""
    video = scale_video(frames_THWC, grid=grid, limits=limits, device=device)
    pixels_ND = cut_steps(video.steps_SFHWC, family=family, grid=grid, device=device)
    return VideoPatches(pixels_ND=pixels_ND, grid_thw=video.grid_thw)


def _resize(frames_TCHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if frames_TCHW.device.type == "cpu":  # resizes bytes as bytes, like the processors do there
        return F.interpolate(frames_TCHW.contiguous(), size, mode="bicubic", antialias=True)
    pixels = F.interpolate(frames_TCHW.float(), size, mode="bicubic", antialias=True)
    return pixels.round_().clamp_(0, 255)


def _normalise(frames_TCHW: torch.Tensor, family: Family) -> torch.Tensor:
    # Mean and deviation are scaled to bytes instead of the pixels to [0, 1]: one pass, and the processors' rounding.
    mean = torch.tensor(family.pixel_mean, device=frames_TCHW.device).mul_(255.0).view(-1, 1, 1)
    std = torch.tensor(family.pixel_std, device=frames_TCHW.device).mul_(255.0).view(-1, 1, 1)
    return (frames_TCHW.float() - mean) / std


def _patchify(pixels_TCHW: torch.Tensor, grid: VisionGrid) -> torch.Tensor:
    """Rows (N, D) in the order of the merged tokens: the patches of one merge x merge square stand together."""
    patch, temporal, merge = grid.patch, grid.temporal_patch, grid.merge
    num_frames, channels, height, width = pixels_TCHW.shape
    cut = pixels_TCHW.reshape(
        num_frames // temporal, temporal, channels,
        height // patch // merge, merge, patch,
        width // patch // merge, merge, patch,
    )  # fmt: skip
    # (t, temporal, channel, H, merge_h, patch_h, W, merge_w, patch_w)
    #   -> (t, H, W, merge_h, merge_w, channel, temporal, patch_h, patch_w)
    return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, channels * temporal * patch * patch)
