"""A clip as vLLM takes it: our own tokens and patches, with the times that its positions are made of.

vLLM could process a decoded array with its metadata itself, through Hugging Face's processors. We hand it what is left
after that instead, because only then a prompt is the same in both engines by construction: the same resizing and
refusals, times that no frame rate expresses, time stamps in our words; and nothing is done or hashed per question.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from framegate.pipelines.reason.models.clip_prefix import ClipPrefix, PromptFormat
from framegate.pipelines.reason.models.positions import seconds_per_step
from framegate.schemas.clip import FrameBatch

_MODALITY = "video"


@dataclass(frozen=True, kw_only=True)
class ClipInput:
    """What all requests of one clip share. `uuid` names the video in vLLM's caches."""

    uuid: str
    token_ids: list[int]
    num_video_tokens: int
    items: Any
    placeholder: Any

    def with_suffix(self, suffix_ids: Sequence[int]) -> Any:
        """The input of one request: the clip, then a question."""
        from vllm.inputs.engine import mm_input

        return mm_input(
            prompt_token_ids=[*self.token_ids, *suffix_ids],
            mm_kwargs=self.items,
            mm_hashes={_MODALITY: [self.uuid]},
            mm_placeholders={_MODALITY: [self.placeholder]},
        )


def make_clip_input(
    prefix: ClipPrefix, frames: FrameBatch, *, prompt_format: PromptFormat, dtype: torch.dtype, uuid: str
) -> ClipInput:
    """`dtype` is the model's, to which its vision tower would round anyhow."""
    from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems

    grid_thw = torch.tensor([prefix.patches.grid_thw])
    # One entry per video; "flat" cuts the first axis of the patches, "batched" takes one element each.
    fields = {
        "pixel_values_videos": MultiModalFieldConfig.flat_from_sizes(_MODALITY, grid_thw.prod(-1)),
        "video_grid_thw": MultiModalFieldConfig.batched(_MODALITY, keep_on_cpu=True),
    }
    values = {"pixel_values_videos": prefix.patches.pixels_ND.to(dtype), "video_grid_thw": grid_thw}
    if prompt_format.family.layout == "block":
        # vLLM floors `i * (seconds * positions per second)`. This lifts what rounding pushed below a whole number, as
        # our own positions do, and is nothing against the 10 ms that seconds are rounded to.
        pts_seconds = frames.pts_seconds.tolist()
        seconds = seconds_per_step(pts_seconds, prompt_format.grid.temporal_patch, has_gaps=frames.has_gaps)
        seconds *= 1 + 1e-7
        fields["second_per_grid_ts"] = MultiModalFieldConfig.batched(_MODALITY, keep_on_cpu=True)
        values["second_per_grid_ts"] = torch.tensor([seconds], dtype=torch.float64)
    return ClipInput(
        uuid=uuid,
        token_ids=prefix.token_ids,
        num_video_tokens=prefix.num_video_tokens,
        items=MultiModalKwargsItems.from_hf_inputs(values, fields),
        placeholder=_find_placeholder(prefix.token_ids, prompt_format),
    )


def _find_placeholder(token_ids: Sequence[int], prompt_format: PromptFormat) -> Any:
    """Where the video stands: of a block its tokens alone, else from the marker before the first of them to the last.

    vLLM finds each step of a stamped video by its marker; the mask tells it which places are the video's.
    """
    from vllm.multimodal.inputs import PlaceholderRange

    is_video = torch.tensor(token_ids) == prompt_format.video_token_id
    places = is_video.nonzero()[:, 0]
    first, end = int(places[0]), int(places[-1]) + 1
    if prompt_format.family.layout == "block":
        return PlaceholderRange(offset=first, length=end - first)
    return PlaceholderRange(offset=first - 1, length=end - first + 1, is_embed=is_video[first - 1 : end])
