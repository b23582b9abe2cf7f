"""Positions equal the published scheme: worked by hand, and for Qwen3-VL also by the model's own code."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from framegate.pipelines.reason.models.positions import (
    TextRun,
    VideoRun,
    lay_out_positions,
    seconds_per_step,
    step_times,
)


def test_qwen2_5_vl_text_goes_on_after_the_largest_of_all_three_axes():
    # 2 tokens of text; 3 steps of 2 x 2 tokens, 1 s apart at 2 positions a second; 2 tokens of text.
    positions, following = lay_out_positions(
        [TextRun(num_tokens=2), VideoRun(grid=(3, 2, 2), step=2.0), TextRun(num_tokens=2)]
    )
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8],
        [0, 1, 2, 2, 3, 3, 2, 2, 3, 3, 2, 2, 3, 3, 7, 8],
        [0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 7, 8],
    ]
    assert following == 9


def test_qwen2_5_vl_a_wide_video_of_one_step_pushes_the_text_by_its_width():
    positions, following = lay_out_positions([TextRun(num_tokens=1), VideoRun(grid=(1, 2, 5)), TextRun(num_tokens=1)])
    assert positions[:, -1].tolist() == [6, 6, 6]
    assert following == 7


def test_qwen2_5_vl_steps_between_whole_positions_are_rounded_down():
    positions, _ = lay_out_positions([VideoRun(grid=(4, 1, 1), step=1.5)])
    assert positions[0].tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("hundredths", [29, 42, 65, 105, 168, 210, 578])
def test_a_step_that_falls_on_a_whole_position_stands_there_whatever_rounding_says(hundredths):
    positions_3P, _ = lay_out_positions([VideoRun(grid=(400, 1, 1), step=hundredths / 100)])
    assert positions_3P[0].tolist() == [index * hundredths // 100 for index in range(400)]


def test_qwen3_vl_every_step_stands_behind_its_time_stamp():
    # A stamp of 3 tokens, then 1 x 2 x 2 tokens, twice; 1 token of text.
    runs = [TextRun(num_tokens=3), VideoRun(grid=(1, 2, 2))] * 2
    positions, following = lay_out_positions([*runs, TextRun(num_tokens=1)])
    assert positions.tolist() == [
        [0, 1, 2, 3, 3, 3, 3, 5, 6, 7, 8, 8, 8, 8, 10],
        [0, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 8, 9, 9, 10],
        [0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 8, 9, 8, 9, 10],
    ]
    assert following == 11


@pytest.mark.parametrize(
    ("pts_seconds", "expected"),
    [
        ([0.0, 0.5, 1.0, 1.5], 1.0),
        ([7.0, 7.5], 1.0),
        ([0.0, 0.48, 1.0, 1.48, 1.96], 0.98),
        ([0.0, 0.4997, 0.9994], 1.0),  # 2 fps by a clock of 25 fps: the nominal distance is what is meant
        ([3.0], 0.0),
    ],
)
def test_the_time_between_two_steps_is_the_frames_own_and_free_of_clock_noise(pts_seconds, expected):
    assert seconds_per_step(pts_seconds, 2) == expected


def test_steps_of_which_some_were_left_out_keep_their_distance():
    """The steps 0, 2 and 4 of a clip at 2 fps: 2 s apart, which the mean distance of their frames would make 1.8."""
    pts_seconds = [0.0, 0.5, 2.0, 2.5, 4.0, 4.5]
    assert seconds_per_step(pts_seconds, 2, has_gaps=True) == 2.0
    assert seconds_per_step(pts_seconds, 2) == 1.8
    assert seconds_per_step(pts_seconds[:2], 2, has_gaps=True) == 1.0, "a single step"


def test_frames_far_apart_stand_apart_by_their_seconds():
    """Eight frames of a two-minute clip, as the uniform policy takes them: 15 s apart, 30 s from step to step."""
    step = seconds_per_step([7.5 + 15 * k for k in range(8)], 2)
    assert step == 30.0
    positions, _ = lay_out_positions([VideoRun(grid=(4, 1, 1), step=step * 2)])
    assert positions[0].tolist() == [0, 60, 120, 180], "2 positions a second"


def test_uneven_frames_reach_the_model_as_seconds_of_the_clip(bench, random_checkpoints):
    checkpoint = bench.load(random_checkpoints["qwen3_vl"])
    uneven = replace(
        bench.make_request(0, (), num_frames=6, size=(64, 96)).frames,
        pts_seconds=np.array([100.0, 100.4, 103.0, 110.0, 110.4, 118.0]),
    )
    prefix = bench.make_prefix(checkpoint, frames=uneven, clip_start_seconds=100.0)
    times = re.findall(r"<([\d.]+) seconds>", checkpoint.tokenizer.decode(prefix.token_ids))
    assert times == ["0.2", "6.5", "14.2"]


def test_a_step_happens_in_the_middle_of_its_frames_in_seconds_of_the_clip():
    assert step_times([30.0, 30.5, 31.0, 31.5], 30.0, 2) == [0.25, 1.25]
    assert step_times([30.0, 30.5, 31.0], 30.0, 2) == [0.25, 1.0], "a last frame alone is repeated"


def test_qwen3_vl_positions_equal_the_models_own(bench, random_checkpoints):
    checkpoint = bench.load(random_checkpoints["qwen3_vl"])
    prefix = bench.make_prefix(checkpoint, frames=bench.make_request(0, (), num_frames=5, size=(64, 96)).frames)
    model = AutoModelForImageTextToText.from_pretrained(random_checkpoints["qwen3_vl"])
    token_ids = torch.tensor([prefix.token_ids])
    expected, _ = model.model.get_rope_index(
        token_ids,
        mm_token_type_ids=(token_ids == checkpoint.prompt_format.video_token_id).int() * 2,
        video_grid_thw=torch.tensor([prefix.patches.grid_thw]),
    )
    assert torch.equal(prefix.positions_3P, expected[:, 0])


def test_qwen2_5_vl_prefix_has_one_block_whose_steps_follow_the_clock(bench, random_checkpoints):
    checkpoint = bench.load(random_checkpoints["qwen2_5_vl"])
    prefix = bench.make_prefix(checkpoint, frames=bench.make_request(0, (), num_frames=6, size=(56, 84)).frames)
    is_video = torch.tensor(prefix.token_ids) == checkpoint.prompt_format.video_token_id
    start = int(is_video.nonzero()[0])
    assert is_video.sum() == prefix.num_video_tokens == 3 * 2 * 3
    times = prefix.positions_3P[0, is_video].reshape(3, 6)
    assert times.tolist() == [[start] * 6, [start + 2] * 6, [start + 4] * 6], "2 frames at 2 fps, 2 positions a second"
    assert prefix.next_position == start + 4 + 2, "the vision end marker comes after the last step"
