"""How large a frame may be: the arithmetic that the decoder and the model's preprocessing must agree on.

A vision tower cuts a frame into squares of `factor` pixels (patch size times spatial merge); one square of
`temporal_patch` consecutive frames becomes one token of the language model. Pure integers: knows no frames, no model.
"""

from __future__ import annotations

import math

from schemas.config import FramesConfig

MAX_ASPECT_RATIO = 200


def smart_resize(height: int, width: int, *, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """The nearest (height, width) in multiples of `factor` whose area lies in [min_pixels, max_pixels].

    The published rule of the Qwen-VL families, rounding included; the aspect ratio is kept as well as multiples
    allow. A side never falls below one `factor`, even where the area then exceeds `max_pixels`.
    Raises ValueError for a frame without pixels or longer than 200 times its shorter side.
    """
    if min(height, width) < 1:
        raise ValueError(f"a frame needs at least one pixel, got {height}x{width}")
    if max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        raise ValueError(
            f"a frame of {height}x{width} is too elongated: the longer side may be at most {MAX_ASPECT_RATIO} times "
            "the shorter one"
        )
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return new_height, new_width


def fit_frames(
    num_frames: int, height: int, width: int, *, factor: int, temporal_patch: int, limits: FramesConfig
) -> tuple[int, int]:
    """The (height, width) at which `num_frames` frames of `height` x `width` keep to the limits of a job.

    Where both cannot hold, `max_video_tokens` wins over `min_frame_pixels`. Fitting what was fitted before changes
    nothing (unless the two pixel bounds nearly meet), so the decoder may shrink early and preprocessing fit again.
    Raises ValueError where even one token per temporal step is too many.
    """
    num_steps = -(-num_frames // temporal_patch)
    tokens_per_step = limits.max_video_tokens // num_steps
    if tokens_per_step < 1:
        raise ValueError(
            f"{num_frames} frames make {num_steps} temporal steps, more than max_video_tokens="
            f"{limits.max_video_tokens}: lower frames.max_frames or raise frames.max_video_tokens"
        )
    max_pixels = max(factor * factor, min(limits.max_frame_pixels, tokens_per_step * factor * factor))
    min_pixels = min(limits.min_frame_pixels, max_pixels)
    fitted_height, fitted_width = smart_resize(
        height, width, factor=factor, min_pixels=min_pixels, max_pixels=max_pixels
    )
    # Rounding up to the minimum, or a side held at one factor, can overshoot: the longer side gives way.
    squares = max_pixels // (factor * factor)
    rows, columns = fitted_height // factor, fitted_width // factor
    if rows * columns > squares:
        if rows > columns:
            rows = max(1, squares // columns)
        else:
            columns = max(1, squares // rows)
    return rows * factor, columns * factor


def count_video_tokens(num_frames: int, height: int, width: int, *, factor: int, temporal_patch: int) -> int:
    """Tokens of the language model for `num_frames` frames of a size that `fit_frames` returned."""
    return -(-num_frames // temporal_patch) * (height // factor) * (width // factor)
