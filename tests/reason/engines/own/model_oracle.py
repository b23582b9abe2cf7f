"""What a checkpoint writes, worked out slowly by transformers alone: the oracle of the engine.

Qwen3-VL: plain `generate`. Qwen2.5-VL: a plain loop over the model, the whole sequence anew for every token, with the
published positions worked out here (transformers lets the text after a video go on inside the video's positions).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from framegate.pipelines.reason.models.clip_prefix import ClipPrefix


@cache
def plain_model(folder: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()


def is_block_family(folder: Path) -> bool:
    return plain_model(folder).config.model_type == "qwen2_5_vl"


def published_positions(token_ids: list[int], video_token_id: int, grid: tuple[int, int, int], step: int) -> list:
    """Qwen2.5-VL by its paper, one token after the other: [time, height, width] each."""
    rows, columns = grid[1] // 2, grid[2] // 2
    positions: list[list[int]] = []
    start = num_seen = 0
    for token_id in token_ids:
        if token_id == video_token_id:
            when, where = divmod(num_seen, rows * columns)
            positions.append([start + when * step, start + where // columns, start + where % columns])
            num_seen += 1
            continue
        if num_seen:
            start, num_seen = max(max(position) for position in positions) + 1, 0
        positions.append([start] * 3)
        start += 1
    return positions


def _read_prompt(folder: Path, prefix: ClipPrefix, text_ids: Sequence[int]) -> Any:
    """One plain pass over a clip and the text behind it."""
    model = plain_model(folder)
    token_ids = [*prefix.token_ids, *text_ids]
    ids = torch.tensor([token_ids])
    how: dict[str, Any] = {"mm_token_type_ids": (ids == model.config.video_token_id).int() * 2}
    if is_block_family(folder):
        # 2 frames at 2 fps make one second, and the small checkpoint has 2 positions a second.
        positions = published_positions(token_ids, model.config.video_token_id, prefix.patches.grid_thw, step=2)
        how = {"position_ids": torch.tensor(positions).T[:, None]}
    return model(
        input_ids=ids,
        pixel_values_videos=prefix.patches.pixels_ND,
        video_grid_thw=torch.tensor([prefix.patches.grid_thw]),
        **how,
    )


@torch.inference_mode()
def write(folder: Path, prefix: ClipPrefix, suffix: Sequence[int], num_tokens: int) -> list[int]:
    """The next `num_tokens` tokens, greedily; fewer where the model ends its turn."""
    model = plain_model(folder)
    if is_block_family(folder):
        written: list[int] = []
        while len(written) < num_tokens and model.generation_config.eos_token_id not in written:
            written.append(int(_read_prompt(folder, prefix, [*suffix, *written]).logits[0, -1].argmax()))
        return written
    ids = torch.tensor([[*prefix.token_ids, *suffix]])
    generated = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == model.config.video_token_id).int() * 2,
        pixel_values_videos=prefix.patches.pixels_ND,
        video_grid_thw=torch.tensor([prefix.patches.grid_thw]),
        max_new_tokens=num_tokens,
        do_sample=False,
    )
    return generated[0, ids.shape[1] :].tolist()


@torch.inference_mode()
def logprobs_along(folder: Path, prefix: ClipPrefix, suffix: Sequence[int], written: Sequence[int]) -> torch.Tensor:
    """Log-probabilities (written, vocabulary) under the raw logits from which each written token was chosen.

    What was written is read as text, whatever it is: weights that were not trained write video tokens too.
    """
    model = plain_model(folder)
    prompt = _read_prompt(folder, prefix, suffix)
    num_prompt = len(prefix.token_ids) + len(suffix)
    if is_block_family(folder):
        token_ids = [*prefix.token_ids, *suffix]
        last = published_positions(token_ids, model.config.video_token_id, prefix.patches.grid_thw, step=2)[-1]
        start = max(last) + 1
    else:
        start = num_prompt + int(model.model.rope_deltas)
    logits = [prompt.logits[0, -1:]]
    if len(written) > 1:
        positions = (torch.arange(len(written) - 1) + start).expand(3, 1, -1)
        ids = torch.tensor([written[:-1]])
        logits.append(model(input_ids=ids, past_key_values=prompt.past_key_values, position_ids=positions).logits[0])
    return torch.cat(logits).log_softmax(dim=-1)
