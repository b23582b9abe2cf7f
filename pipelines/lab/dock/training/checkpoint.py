"""The shape of the dock model: a Qwen3-VL architecture of a few million parameters, saved as a normal checkpoint.

Why Qwen3-VL and not Qwen2.5-VL: its time stamps stand in the text before every pair of frames, so a line of thought
that writes "7" can look the frames of second 7 up by content.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration

PIXELS_PER_TOKEN_SIDE = 32  # patch 16, merged 2 x 2: a frame pair of 32 x 32 pixels is one token
SYSTEM_PROMPT = "Answer in a box at once. Then think, and answer in a box again."


def build_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> Qwen3VLForConditionalGeneration:
    """A freshly initialised model in float32; the same seed gives the same weights."""
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 256,
            "intermediate_size": 640,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [12, 10, 10],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
            "initializer_range": 0.03,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 256,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
            "initializer_range": 0.03,
        },
        image_token_id=tokenizer.vocab["<|image_pad|>"],
        video_token_id=tokenizer.vocab["<|video_pad|>"],
        vision_start_token_id=tokenizer.vocab["<|vision_start|>"],
        vision_end_token_id=tokenizer.vocab["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    return Qwen3VLForConditionalGeneration(config)


def save_checkpoint(model: Qwen3VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write what `from_pretrained` reads: bfloat16 safetensors, configs, tokenizer and processor settings."""
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.eos_token_id = eos
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.do_sample = False
    model.bfloat16().save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # written for the owner alone, and yet part of a package
    tokenizer.save_pretrained(folder)
    vision: Any = model.config.vision_config
    processor = {
        "processor_class": "Qwen3VLProcessor",
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"shortest_edge": PIXELS_PER_TOKEN_SIDE**2, "longest_edge": 64 * 64 * PIXELS_PER_TOKEN_SIDE**2},
    }
    for name, kind in (
        ("preprocessor_config.json", {"image_processor_type": "Qwen2VLImageProcessorFast"}),
        ("video_preprocessor_config.json", {"video_processor_type": "Qwen3VLVideoProcessor"}),
    ):
        (folder / name).write_text(json.dumps(kind | processor, indent=2) + "\n")
