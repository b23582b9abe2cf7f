"""The size of a frame: multiples of the factor, within the limits, the same on a second fitting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import FramesConfig
from schemas.pixels import count_video_tokens, fit_frames, smart_resize

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
        min_frame_pixels=smallest, max_frame_pixels=smallest * times, max_video_tokens=tokens
    ),
    st.integers(1, 200_000),
    st.integers(4, 16),
    st.integers(64, 8192),
)


@given(st.integers(1, 128), SIDES, SIDES, st.sampled_from([28, 32]), LIMITS)
def test_no_clip_costs_more_tokens_than_it_may(num_frames, height, width, factor, limits):
    if max(height, width) / min(height, width) > 200:
        return
    size = fit_frames(num_frames, height, width, factor=factor, temporal_patch=2, limits=limits)
    assert min(size) >= factor
    assert size[0] % factor == size[1] % factor == 0
    num_tokens = count_video_tokens(num_frames, *size, factor=factor, temporal_patch=2)
    assert num_tokens <= limits.max_video_tokens
    assert size[0] * size[1] <= max(limits.max_frame_pixels, factor**2)


@given(SIDES, SIDES, st.sampled_from([28, 32]))
def test_fitting_what_was_fitted_changes_nothing(height, width, factor):
    if max(height, width) / min(height, width) > 8:
        return
    limits = FramesConfig(max_video_tokens=10**6)
    once = fit_frames(8, height, width, factor=factor, temporal_patch=2, limits=limits)
    assert fit_frames(8, *once, factor=factor, temporal_patch=2, limits=limits) == once


def test_more_steps_than_tokens_are_refused_with_the_keys_to_change():
    with pytest.raises(ValueError, match=r"32 temporal steps.*frames\.max_frames.*frames\.max_video_tokens"):
        fit_frames(64, 360, 640, factor=28, temporal_patch=2, limits=FramesConfig(max_video_tokens=31))


def test_an_odd_number_of_frames_costs_a_whole_last_step():
    assert count_video_tokens(5, 56, 84, factor=28, temporal_patch=2) == 3 * 2 * 3
