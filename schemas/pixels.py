"""The size and number of a clip's frames: arithmetic on which decoding and the model's preprocessing must agree.

A vision tower cuts a frame into squares of `factor` pixels (patch size times spatial merge); one square of
`temporal_patch` consecutive frames, one temporal step, becomes one token of the language model.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from framegate.schemas.config.decoding import FramesConfig

MAX_ASPECT_RATIO = 200


class FittedFrames(NamedTuple):
    """The number of frames that are taken from a clip, and the size of each in pixels."""

    num_frames: int
    height: int
    width: int


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
) -> FittedFrames:
    """How many of `num_frames` frames of `height` x `width` a clip may have, and how large, within a job's limits.

    To keep to `max_video_tokens`, frames are first made smaller, down to `min_frame_pixels`; then they become fewer,
    in whole temporal steps. Rounding to multiples of `factor` may leave no size between the limits; then the upper one
    alone holds. Fitting what was fitted before, or fewer frames of that size, changes nothing: the decoder may fit
    early and preprocessing fit again. Raises ValueError where one temporal step of `min_frame_pixels` is more than
    `max_video_tokens`, and as `smart_resize` does.
    """
    square = factor * factor
    max_tokens = limits.max_video_tokens
    if limits.min_frame_pixels > max_tokens * square:
        step_tokens = -(-limits.min_frame_pixels // square)
        raise ValueError(
            f"max_video_tokens={max_tokens} cannot hold one temporal step of min_frame_pixels="
            f"{limits.min_frame_pixels}, which takes {step_tokens} tokens of {square} pixels: "
            "lower frames.min_frame_pixels or raise frames.max_video_tokens"
        )
    max_squares = max(1, min(limits.max_frame_pixels // square, max_tokens))
    rows, columns = _smallest(height, width, factor, limits.min_frame_pixels, max_squares)
    num_steps = min(-(-num_frames // temporal_patch), max_tokens // (rows * columns))
    if rows * columns * square >= limits.min_frame_pixels:
        max_squares = min(max_squares, max_tokens // num_steps)
        larger = _nearest(height, width, factor, limits.min_frame_pixels, max_squares)
        if larger[0] * larger[1] * square >= limits.min_frame_pixels:
            rows, columns = larger
    return FittedFrames(min(num_frames, num_steps * temporal_patch), rows * factor, columns * factor)


def count_video_tokens(num_frames: int, height: int, width: int, *, factor: int, temporal_patch: int) -> int:
    """Tokens of the language model for `num_frames` frames of a size that `fit_frames` returned."""
    return -(-num_frames // temporal_patch) * (height // factor) * (width // factor)


def _smallest(height: int, width: int, factor: int, min_pixels: int, max_squares: int) -> tuple[int, int]:
    """(rows, columns) of the smallest frame of `min_pixels` or more; at most `max_squares`, which wins."""
    smart_resize(height, width, factor=factor, min_pixels=1, max_pixels=height * width)  # refuses what has no shape
    scale = math.sqrt(min_pixels / (height * width)) / factor
    rows, columns = max(1, math.ceil(height * scale)), max(1, math.ceil(width * scale))
    if rows * columns <= max_squares:
        return rows, columns
    if height % factor == width % factor == 0:
        # The outcome of the cut below, fitted a second time, must stay as it is: less than one more row is missing.
        own_rows, own_columns = height // factor, width // factor
        if max_squares - max(own_rows, own_columns) < own_rows * own_columns <= max_squares:
            return own_rows, own_columns
    return _cut(rows, columns, max_squares)


def _nearest(height: int, width: int, factor: int, min_pixels: int, max_squares: int) -> tuple[int, int]:
    """(rows, columns) as `smart_resize` has them, the longer side cut where one factor is more than the shorter has."""
    fitted_height, fitted_width = smart_resize(
        height, width, factor=factor, min_pixels=min_pixels, max_pixels=max_squares * factor * factor
    )
    return _cut(fitted_height // factor, fitted_width // factor, max_squares)


def _cut(rows: int, columns: int, max_squares: int) -> tuple[int, int]:
    """The longer side made shorter, so that both bounds of a frame's shape hold."""
    short = min(rows, columns, max_squares)
    long = min(max(rows, columns), max_squares // short, MAX_ASPECT_RATIO * short)
    return (long, short) if rows > columns else (short, long)
