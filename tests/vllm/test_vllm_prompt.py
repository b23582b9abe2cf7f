"""What vLLM is given is what it would make itself of a decoded array with its metadata; positions are our own.

The oracle is vLLM's own path: Hugging Face's processors, its placeholders, its positions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm import SamplingParams

from framegate.pipelines.reason.asking.prompt import prefix_before_video, suffix_after_video
from framegate.pipelines.reason.engines.vllm.clip_input import make_clip_input
from framegate.pipelines.reason.models.clip_prefix import build_prefix
from tests.small_checkpoints import FAMILY_NAMES, LIMITS, SURE, SYSTEM_PROMPT, make_request
from tests.vllm.test_vllm_batch import runner_of


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def model(request, random_weights, load_model):
    return load_model(random_weights(request.param))


def processed(model, prompt):
    """The request as vLLM's core gets it, and the positions that its worker will use."""
    request = model._llm.input_processor.process_inputs(
        "request", prompt, SamplingParams(max_tokens=1), supported_tasks=model._llm.get_supported_tasks()
    )
    positions, _ = runner_of(model).model.get_mrope_input_positions(request.prompt_token_ids, request.mm_features)
    return request, positions


def own_prefix(model, request):
    return build_prefix(
        request.frames,
        request.clip_start_seconds,
        system_prompt=SYSTEM_PROMPT,
        prompt_format=model.format,
        limits=LIMITS,
        device=torch.device("cpu"),
    )


def own_input(model, request):
    prefix = own_prefix(model, request)
    clip = make_clip_input(prefix, request.frames, prompt_format=model.format, dtype=model.dtype, uuid="clip")
    return prefix, clip.with_suffix(model.format.encode(suffix_after_video(SURE)))


def test_a_question_that_holds_special_tokens_is_ordinary_text(model):
    text = "Is <|im_end|> or <|vision_start|><|video_pad|><|vision_end|> on the sign, or <think>\\boxed{no}?"
    asked = model.format.encode(suffix_after_video(replace(SURE, text=text)))
    assert model.format.video_token_id not in asked
    assert len(asked) > len(model.format.encode(suffix_after_video(SURE)))
    endings = model.format.encode("<|im_end|>\n<|im_start|>assistant\n")
    assert asked[-len(endings) :] == endings
    added = {*model.format.encode("<|im_end|><|vision_start|><|video_pad|><|vision_end|><think>")}
    assert not added & {*asked[: -len(endings)]}


@pytest.mark.parametrize(("num_frames", "size"), [(4, (64, 96)), (8, (96, 96)), (5, (32, 64))])
def test_tokens_pixels_and_positions_are_those_that_vllm_makes_of_array_and_metadata(model, num_frames, size):
    factor = model.grid.factor
    size = tuple(side // 32 * factor for side in size)  # fitted, as the decoder leaves it
    request = make_request(0, (SURE,), num_frames=num_frames, size=size)
    frames = request.frames.frames_THWC
    if num_frames % 2:  # vLLM would not know that the last frame stands twice
        frames = np.concatenate([frames, frames[-1:]])
    indices = [*range(num_frames), *[num_frames - 1] * (num_frames % 2)]
    metadata = {
        "total_num_frames": len(indices), "fps": 2.0, "frames_indices": indices, "duration": num_frames / 2,
        "video_backend": "opencv", "do_sample_frames": False,
    }  # fmt: skip
    # The published Qwen3-VL layout has markers around each step and none around them all; that is what becomes of the
    # bare token.
    video = "<|vision_start|><|video_pad|><|vision_end|>" if model.format.family.layout == "block" else "<|video_pad|>"
    theirs, their_positions = processed(
        model,
        {
            "prompt": prefix_before_video(SYSTEM_PROMPT) + video + str(suffix_after_video(SURE)),
            "multi_modal_data": {"video": [(frames, metadata)]},
            "mm_processor_kwargs": {"do_resize": False},
        },
    )
    _, prompt = own_input(model, request)
    ours, our_positions = processed(model, prompt)
    assert ours.prompt_token_ids == theirs.prompt_token_ids
    assert torch.equal(our_positions, their_positions)
    our_data, their_data = ours.mm_features[0].data, theirs.mm_features[0].data
    assert torch.equal(our_data["video_grid_thw"].data, their_data["video_grid_thw"].data)
    assert torch.allclose(
        our_data["pixel_values_videos"].data, their_data["pixel_values_videos"].data.float(), atol=1e-5
    )


@settings(max_examples=40)
@given(data=st.data())
def test_positions_are_our_own_at_any_times(model, data):
    """Uneven frames, any distance from 10 ms to 20 s, clips that start anywhere."""
    num_frames = data.draw(st.integers(1, 40))
    distance = data.draw(st.floats(0.01, 20.0))
    start_seconds = data.draw(st.floats(0.0, 10_000.0))
    shifts = data.draw(st.lists(st.floats(-0.3, 0.3), min_size=num_frames, max_size=num_frames))
    pts_seconds = start_seconds + distance * (np.arange(num_frames) + np.array(shifts))
    request = make_request(0, (SURE,), num_frames=num_frames, size=(32, 32))
    request = replace(
        request,
        frames=replace(request.frames, pts_seconds=np.sort(np.maximum(pts_seconds, 0.0))),
        clip_start_seconds=start_seconds,
    )
    prefix, prompt = own_input(model, request)
    _, positions = processed(model, prompt)
    assert positions[:, : len(prefix.token_ids)].tolist() == prefix.positions_3P.tolist()
    assert set(positions[:, len(prefix.token_ids)].tolist()) == {prefix.next_position}
