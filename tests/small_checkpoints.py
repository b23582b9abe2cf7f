"""Small checkpoints of both families, and clips and questions for them: random ones, and taught ones that box answers.

Made here and now by transformers, in a second or two each; loaded like any other checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from framegate.pipelines.lab.dock.training.tokenizer import build_tokenizer
from framegate.pipelines.reason.asking.prompt import suffix_after_video
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix
from framegate.pipelines.reason.questions import ClipRequest
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from framegate.schemas.qa import Question

SYSTEM_PROMPT = "Answer in a box, think, answer in a box."
FAMILY_NAMES = ("qwen2_5_vl", "qwen3_vl")
LIMITS = FramesConfig(min_frame_pixels=1024, max_frame_pixels=96 * 96, max_video_tokens=256)


def _tokenizer() -> PreTrainedTokenizerFast:
    corpus = [
        "<0.5 seconds> system user assistant Answer yes or no. Answer with the letter of one option. \\boxed{yes} "
        "\\boxed{no} (A) red (B) blue Did the red crate come first? Where is the parcel now? think again look"
    ] * 8
    return build_tokenizer(corpus, vocab_size=360)


def _config(family_name: str, tokenizer: PreTrainedTokenizerFast, initializer_range: float):
    token_id = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4 if family_name == "qwen3_vl" else 2,
        "num_key_value_heads": 2 if family_name == "qwen3_vl" else 1,
        "max_position_embeddings": 2048,
        "initializer_range": initializer_range,
        "bos_token_id": None,
        "eos_token_id": token_id("<|im_end|>"),
    }
    vision = {
        "depth": 2,
        "intermediate_size": 96,
        "num_heads": 2,
        "hidden_size": 64,
        "out_hidden_size": 128,
        "initializer_range": initializer_range,
    }
    ids = {
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    if family_name == "qwen2_5_vl":
        text |= {"rope_parameters": rope | {"mrope_section": [8, 12, 12]}}
        vision |= {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2}
        return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    text |= {"head_dim": 64, "rope_parameters": rope | {"mrope_section": [12, 10, 10], "mrope_interleaved": True}}
    vision |= {"patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    return Qwen3VLConfig(text_config=text, vision_config=vision, **ids)


def _make(family_name: str, *, initializer_range: float) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = _tokenizer()
    model_class = {
        "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
        "qwen3_vl": Qwen3VLForConditionalGeneration,
    }[family_name]
    torch.manual_seed(7)
    model = model_class(_config(family_name, tokenizer, initializer_range))
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def save_checkpoint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _save_processor(model.config.model_type, model.config.vision_config, folder)
    return folder


def _save_processor(family_name: str, vision, folder: Path) -> None:
    """What Hugging Face's processors ask for, which vLLM wants to see before it starts."""
    kind = {"qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}[family_name]
    video = {"qwen2_5_vl": "Qwen2VLVideoProcessor", "qwen3_vl": "Qwen3VLVideoProcessor"}[family_name]
    settings = {
        "processor_class": f"{kind}Processor",
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "size": {"shortest_edge": LIMITS.min_frame_pixels, "longest_edge": 64 * LIMITS.max_frame_pixels},
    }
    for name, processor in (
        ("preprocessor_config.json", {"image_processor_type": "Qwen2VLImageProcessorFast"}),
        ("video_preprocessor_config.json", {"video_processor_type": video}),
    ):
        (folder / name).write_text(json.dumps(processor | settings))


def load_checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(str(folder), revision=None, dtype="float32", device="cpu")


def make_prefix(
    checkpoint: Checkpoint,
    *,
    frames: FrameBatch,
    clip_start_seconds: float = 0.0,
    system_prompt: str = SYSTEM_PROMPT,
) -> ClipPrefix:
    return checkpoint.lay_out(frames, clip_start_seconds, system_prompt=system_prompt, limits=LIMITS)


def make_request(number: int, questions: tuple[Question, ...], *, num_frames: int = 4, size=(64, 64)) -> ClipRequest:
    """A clip of noise at 2 frames per second that starts `number` * 30 s into its video."""
    start_seconds = 30.0 * number
    frames = np.random.default_rng(number).integers(0, 256, (num_frames, *size, 3), dtype=np.uint8)
    pts_seconds = start_seconds + 0.5 * np.arange(num_frames)
    batch = FrameBatch(frames_THWC=frames, pts_seconds=pts_seconds, duration_seconds=0.5 * num_frames)
    return ClipRequest(id=f"clip-{number}", frames=batch, clip_start_seconds=start_seconds, questions=questions)


SURE = Question(id="sure", text="Did the red crate come first?", type="yes_no")
UNSURE = Question(id="unsure", text="Where is the parcel now?", type="choice", options=("red", "blue"))
SILENT = Question(id="silent", text="look again", type="text")
LESSONS: dict[Question, tuple[str, ...]] = {
    SURE: ("\\boxed{yes}\n<think>look</think>\\boxed{yes}<|im_end|>",),
    # Two first answers to one question: the model can only learn to be half sure. Thinking always ends at B.
    UNSURE: tuple(f"\\boxed{{{letter}}}\n<think>look again</think>\\boxed{{B}}<|im_end|>" for letter in "AB"),
    SILENT: ("again<|im_end|>",),
}


def make_random_checkpoint(family_name: str, folder: Path) -> Path:
    """Weights are drawn wide, so that what is written depends on all that is read."""
    return save_checkpoint(*_make(family_name, initializer_range=0.12), folder)


def make_taught_checkpoint(family_name: str, folder: Path) -> Path:
    """A checkpoint that answers SURE surely, UNSURE at even odds, and SILENT without a box."""
    model, tokenizer = _make(family_name, initializer_range=0.05)
    save_checkpoint(model, tokenizer, folder)
    checkpoint = load_checkpoint(folder)
    examples = []
    for number, (question, texts) in enumerate(LESSONS.items()):
        request = make_request(number, (question,))
        prefix = make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
        for text in texts:
            examples.append((prefix, checkpoint.encode(suffix_after_video(question)), checkpoint.encode(text)))
    _teach(model, examples, num_steps=60)
    return save_checkpoint(model, tokenizer, folder)


def _teach(model: PreTrainedModel, examples: list, *, num_steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(num_steps):
        optimizer.zero_grad()
        for prefix, suffix, target in examples:
            text = torch.arange(len(suffix) + len(target)) + prefix.next_position
            positions = torch.cat([prefix.positions_3P, text.expand(3, -1)], dim=1)
            logits = model(
                input_ids=torch.tensor([prefix.token_ids + suffix + target]),
                position_ids=positions[:, None],
                pixel_values_videos=prefix.patches.pixels_ND,
                video_grid_thw=torch.tensor([prefix.patches.grid_thw]),
            ).logits
            predicted = logits[0, -len(target) - 1 : -1]
            torch.nn.functional.cross_entropy(predicted, torch.tensor(target)).backward()
        optimizer.step()
