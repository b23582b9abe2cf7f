"""The shapes of the models that engines are measured with: the published 7B's, and eighths of its width.

What is narrower is as deep as the 7B, reads the same vocabulary and shares key-value heads alike: layers that follow
each other, kernels that start, and a head that is read for every token weigh as much as they do there. Numbers and
Hugging Face configurations only; makes no weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from transformers import PretrainedConfig, Qwen2_5_VLConfig, Qwen3VLConfig

from framegate.schemas.errors import ConfigError

FAMILY_NAMES = ("qwen2_5_vl", "qwen3_vl")
MAX_POSITIONS = 32_768
# Below the first the tiny shape: an eighth of the width with one layer has 83 M parameters, of which the vocabulary has
# 68 M. From the second on the published dimensions.
TINY_BELOW, PUBLISHED_FROM = 80_000_000, 5_000_000_000
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes that both families have. `is_tied`: the head's weights are the embedding's."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    is_tied: bool
    vision_hidden: int
    vision_depth: int
    vision_heads: int
    vision_intermediate: int
    full_every: int  # of the vision tower's blocks, one in so many looks at whole frames (Qwen2.5-VL)


TINY = Shape(
    hidden=128, layers=2, heads=2, kv_heads=1, head_size=64, intermediate=512, vocabulary=1024, is_tied=False,
    vision_hidden=64, vision_depth=4, vision_heads=2, vision_intermediate=128, full_every=4,
)  # fmt: skip
PUBLISHED: Mapping[str, Shape] = {
    "qwen2_5_vl": Shape(
        hidden=3584, layers=28, heads=28, kv_heads=4, head_size=128, intermediate=18944, vocabulary=152064,
        is_tied=False, vision_hidden=1280, vision_depth=32, vision_heads=16, vision_intermediate=3420, full_every=8,
    ),
    "qwen3_vl": Shape(
        hidden=4096, layers=36, heads=32, kv_heads=8, head_size=128, intermediate=12288, vocabulary=151936,
        is_tied=False, vision_hidden=1152, vision_depth=27, vision_heads=16, vision_intermediate=4304, full_every=9,
    ),
}  # fmt: skip


def parse_parameters(text: str) -> int:
    """How many parameters `180M`, `7B` or `1000000` are. Raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMB]?)", text.strip().upper())
    if match is None or (number := round(float(match[1]) * _UNITS[match[2]])) < 1:
        raise ConfigError(f"'{text}' is no number of parameters; write it as 1M, 180M or 7B")
    return number


def choose_shape(family: str, num_parameters: int) -> Shape:
    """The shape that is nearest to so many parameters. Raises ConfigError for a family that nobody knows.

    In between, the published 7B of Qwen2.5-VL at so many eighths of its width, for both families. Below an eighth,
    which has 181 M parameters, text layers are left out; the tower that sees keeps its depth.
    """
    if family not in FAMILY_NAMES:
        raise ConfigError(f"family '{family}' is unknown; use one of: {', '.join(FAMILY_NAMES)}")
    if num_parameters < TINY_BELOW:
        return TINY
    if num_parameters >= PUBLISHED_FROM:
        return PUBLISHED[family]
    narrowest = _scaled(1)
    if num_parameters < _count(narrowest):
        missing = round((_count(narrowest) - num_parameters) / _count_layer(narrowest))
        return replace(narrowest, layers=max(1, narrowest.layers - missing))
    return min(map(_scaled, range(1, 8)), key=lambda shape: abs(math.log(_count(shape) / num_parameters)))


def make_config(family: str, shape: Shape, token_ids: Mapping[str, int]) -> PretrainedConfig:
    """The configuration as `from_pretrained` reads it. `token_ids`: of the special tokens by name."""
    half = shape.head_size // 2
    text: dict[str, Any] = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": MAX_POSITIONS,
        "tie_word_embeddings": shape.is_tied,
        "bos_token_id": None,
        "eos_token_id": token_ids["<|im_end|>"],
    }
    vision: dict[str, Any] = {
        "depth": shape.vision_depth,
        "hidden_size": shape.vision_hidden,
        "num_heads": shape.vision_heads,
        "intermediate_size": shape.vision_intermediate,
        "out_hidden_size": shape.hidden,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    ids = {
        "image_token_id": token_ids["<|image_pad|>"],
        "video_token_id": token_ids["<|video_pad|>"],
        "vision_start_token_id": token_ids["<|vision_start|>"],
        "vision_end_token_id": token_ids["<|vision_end|>"],
        "tie_word_embeddings": shape.is_tied,
    }
    rope = {"rope_type": "default", "rope_theta": 1e6}
    if family == "qwen2_5_vl":
        # The published [16, 24, 24] of 64 pairs, in proportion.
        text["rope_parameters"] = rope | {"mrope_section": [half // 4, half * 3 // 8, half * 3 // 8]}
        full = range(shape.full_every - 1, shape.vision_depth, shape.full_every)
        vision |= {"patch_size": 14, "window_size": 112, "fullatt_block_indexes": list(full), "tokens_per_second": 2}
        return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    sections = [half - 2 * (half * 5 // 16), half * 5 // 16, half * 5 // 16]  # the published [24, 20, 20], likewise
    text |= {"head_dim": shape.head_size}
    text["rope_parameters"] = rope | {"rope_theta": 5e6, "mrope_section": sections, "mrope_interleaved": True}
    deep = [8, 16, 24] if shape.vision_depth == 27 else [shape.vision_depth * place // 4 for place in (1, 2, 3)]
    vision |= {"patch_size": 16, "num_position_embeddings": 2304, "deepstack_visual_indexes": deep}
    return Qwen3VLConfig(text_config=text, vision_config=vision, **ids)


def _scaled(eighths: int) -> Shape:
    """Of the published 7B's width; depth, vocabulary and how often vision looks at whole frames are as published.

    Heads are half as wide, so that an eighth is a whole group of 7 with its key-value head. Tied, like the 3B.
    """
    return Shape(
        hidden=448 * eighths, layers=28, heads=7 * eighths, kv_heads=eighths, head_size=64,
        intermediate=2368 * eighths, vocabulary=152064, is_tied=True, vision_hidden=160 * eighths, vision_depth=32,
        vision_heads=2 * eighths, vision_intermediate=428 * eighths, full_every=8,
    )  # fmt: skip


def _count_layer(shape: Shape) -> int:
    attention = 2 * shape.hidden * shape.head_size * (shape.heads + shape.kv_heads)
    return attention + 3 * shape.hidden * shape.intermediate


def _count(shape: Shape) -> int:
    """About: norms, biases and embedded positions are left out."""
    block = 4 * shape.vision_hidden**2 + 3 * shape.vision_hidden * shape.vision_intermediate
    merged = 4 * shape.vision_hidden
    ends = merged * (merged + shape.hidden) + 3 * 2 * 14 * 14 * shape.vision_hidden
    heads = shape.vocabulary * shape.hidden * (1 if shape.is_tied else 2)
    return heads + shape.layers * _count_layer(shape) + shape.vision_depth * block + ends
