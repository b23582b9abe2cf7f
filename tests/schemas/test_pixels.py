"""Size and number of frames: multiples of the factor, within the limits, the same on a second fitting."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from framegate.schemas.config import FramesConfig
from framegate.schemas.pixels import count_video_tokens, fit_frames, smart_resize

SIDES = st.integers(16, 3000)


@pytest.mark.parametrize(
    ("size", "bounds", "expected"),
    [
        ((1080, 1920), (3136, 602112), (560, 1008)),
        ((56, 56), (3136, 602112), (56, 56)),
        ((57, 70), (3136, 602112), (56, 56)),  # 2.5 squares round to the even 2
        ((20, 20), (3136, 602112), (56, 56)),
        ((100, 20), (3136, 602112), (112, 28)),
    ],
)
def test_worked_examples(size, bounds, expected):
    assert smart_resize(*size, factor=28, min_pixels=bounds[0], max_pixels=bounds[1]) == expected


@given(SIDES, SIDES, st.sampled_from([28, 32]))
def test_a_frame_is_scaled_to_multiples_within_the_bounds(height, width, factor):
    if max(height, width) / min(height, width) > 10:
        return
    new_height, new_width = smart_resize(height, width, factor=factor, min_pixels=16 * factor**2, max_pixels=10**6)
    assert new_height % factor == new_width % factor == 0
    assert 16 * factor**2 <= new_height * new_width <= 10**6


@pytest.mark.parametrize(("size", "message"), [((10, 2001), "200 times"), ((0, 5), "at least one pixel")])
def test_a_frame_without_a_sensible_shape_is_refused(size, message):
    with pytest.raises(ValueError, match=message):
        smart_resize(*size, factor=28, min_pixels=1, max_pixels=10**6)


LIMITS = st.builds(
    lambda smallest, times, tokens: FramesConfig(
        min_frame_pixels=smallest, max_frame_pixels=round(smallest * times), max_video_tokens=tokens
    ),
    st.integers(1, 200_000),
    st.floats(1, 16),
    st.integers(256, 8192),
)
GRIDS = st.fixed_dictionaries({"factor": st.sampled_from([28, 32]), "temporal_patch": st.sampled_from([1, 2])})


def fit(num_frames, height, width, grid, limits):
    assume(max(height, width) / min(height, width) <= 200)
    return fit_frames(num_frames, height, width, **grid, limits=limits)


@given(st.integers(1, 512), SIDES, SIDES, GRIDS, LIMITS)
def test_no_clip_costs_more_tokens_than_it_may(num_frames, height, width, grid, limits):
    fitted = fit(num_frames, height, width, grid, limits)
    factor = grid["factor"]
    assert min(fitted.height, fitted.width) >= factor
    assert fitted.height % factor == fitted.width % factor == 0
    assert 1 <= fitted.num_frames <= num_frames
    assert count_video_tokens(*fitted, **grid) <= limits.max_video_tokens
    assert fitted.height * fitted.width <= max(limits.max_frame_pixels, factor**2)


@given(st.integers(1, 512), SIDES, SIDES, GRIDS, LIMITS, st.data())
def test_fitting_what_was_fitted_or_fewer_of_it_changes_nothing(num_frames, height, width, grid, limits, data):
    """The decoder fits first and may find fewer frames than planned; the engine fits what it is given again."""
    fitted = fit(num_frames, height, width, grid, limits)
    num_found = data.draw(st.integers(1, fitted.num_frames))
    again = fit_frames(num_found, fitted.height, fitted.width, **grid, limits=limits)
    assert again == (num_found, fitted.height, fitted.width)


@given(st.integers(1, 512), SIDES, SIDES, GRIDS, LIMITS)
def test_frames_are_dropped_only_where_smaller_ones_would_not_do(num_frames, height, width, grid, limits):
    fitted = fit(num_frames, height, width, grid, limits)
    if fitted.num_frames < num_frames:
        assert fitted.num_frames % grid["temporal_patch"] == 0
        # One step more, in the smallest size that rounding up to whole squares gives, is above the budget.
        one_more = fitted.num_frames + grid["temporal_patch"]
        scale = math.sqrt(limits.min_frame_pixels / (height * width)) / grid["factor"]
        squares = math.ceil(height * scale) * math.ceil(width * scale)
        assert one_more // grid["temporal_patch"] * squares > limits.max_video_tokens


@given(st.integers(1, 512), SIDES, SIDES, GRIDS, st.integers(1, 100_000), st.integers(300, 8192))
def test_no_frame_is_smaller_than_asked_where_the_bounds_leave_room(num_frames, height, width, grid, smallest, tokens):
    limits = FramesConfig(min_frame_pixels=smallest, max_frame_pixels=10**7, max_video_tokens=tokens)
    assume(max(height, width) / min(height, width) <= 4)
    fitted = fit(num_frames, height, width, grid, limits)
    assert fitted.height * fitted.width >= smallest


def test_resolution_goes_first_then_frames():
    limits = FramesConfig(max_video_tokens=4096, min_frame_pixels=128 * 784, max_frame_pixels=768 * 784)

    def fitted(num_frames):
        return fit_frames(num_frames, 1080, 1920, factor=28, temporal_patch=2, limits=limits)

    assert fitted(8) == (8, 560, 1008)  # 720 squares; 768 are allowed
    assert fitted(32) == (32, 336, 588)  # 252 squares; 16 steps leave 256 to each
    assert fitted(64) == (56, 252, 448)  # 9 x 16 is the smallest of 128 squares and more: 28 steps of it
    assert fitted(512) == (56, 252, 448)


def test_a_budget_below_one_step_is_refused_with_the_keys_to_change():
    with pytest.raises(ValueError, match=r"takes 128 tokens.*frames\.min_frame_pixels.*frames\.max_video_tokens"):
        fit_frames(64, 360, 640, factor=28, temporal_patch=2, limits=FramesConfig(max_video_tokens=127))
    assert fit_frames(64, 360, 640, factor=28, temporal_patch=2, limits=FramesConfig(max_video_tokens=128))


def test_an_odd_number_of_frames_costs_a_whole_last_step():
    assert count_video_tokens(5, 56, 84, factor=28, temporal_patch=2) == 3 * 2 * 3
