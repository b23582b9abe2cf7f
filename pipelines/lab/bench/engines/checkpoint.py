"""A checkpoint of random weights in the shape of a published model, as a normal folder that `from_pretrained` reads.

Speed depends on shapes, not on the values of weights. They are still drawn so that output depends on input: tokens
vary from question to question, and so do confidences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import (
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from framegate.pipelines.lab.bench.engines.shapes import MAX_POSITIONS, choose_shape, make_config
from framegate.pipelines.lab.dock.training.tokenizer import PLAIN_ADDED_TOKENS, SPECIAL_TOKENS, build_tokenizer
from framegate.pipelines.reason.asking.prompt import DEFAULT_SYSTEM_PROMPT, FORCED_CLOSING, TYPE_HINTS
from framegate.pipelines.reason.models.families import FAMILIES

TOKENIZER_MERGES_AND_BYTES = 640
RECIPE = 3  # counts up when the weights of a seed change
# The spread of logits over the vocabulary. With 152,064 tokens the confidences of 30 % of first answers are below 0.12
# or so; much less and all are near 0, much more and all are near 1.
LOGIT_DEVIATION = 4.0
# Of queries and keys each, so that attention picks some tokens out instead of averaging over all. At 2.0 layers make
# more of rounding than there was: with 12 layers logits in bfloat16 were off by 15 % of their size, at 1.4 by 1.7 %.
QUERY_KEY_GAIN = 1.4
# Of what each layer adds. With 12 of them 19 of 32 first answers of 8 tokens are the same in bfloat16 as in float32 at
# 1.0, and 25 here.
OUTPUT_GAIN = 0.6
_MODELS = {"qwen2_5_vl": Qwen2_5_VLForConditionalGeneration, "qwen3_vl": Qwen3VLForConditionalGeneration}
_PROCESSORS = {
    "qwen2_5_vl": ("Qwen2_5_VLProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLVideoProcessor"),
    "qwen3_vl": ("Qwen3VLProcessor", "Qwen2VLImageProcessorFast", "Qwen3VLVideoProcessor"),
}


@dataclass(frozen=True, kw_only=True)
class MadeCheckpoint:
    """A checkpoint folder, and how many parameters it really has."""

    folder: Path
    family: str
    num_parameters: int


def make_checkpoint(folder: Path, family: str, num_parameters: int, seed: int) -> MadeCheckpoint:
    """Write one of about `num_parameters` parameters in bfloat16; the same seed gives the same weights.

    A folder that holds the same one already is left as it is. Raises ConfigError for an unknown family.
    """
    asked = {"family": family, "num_parameters": num_parameters, "seed": seed, "recipe": RECIPE}
    record = folder / "made.json"
    if record.is_file() and (found := json.loads(record.read_text()))["asked"] == asked:
        return MadeCheckpoint(folder=folder, family=family, num_parameters=found["num_parameters"])
    shape = choose_shape(family, num_parameters)
    tokenizer = build_tokenizer(_corpus(), vocab_size=TOKENIZER_MERGES_AND_BYTES)
    tokenizer.model_max_length = MAX_POSITIONS
    config = make_config(family, shape, tokenizer.get_vocab())
    transformers.logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    model = _draw_model(family, config, seed)
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    _save_processors(tokenizer, config, family, folder)
    num_real = sum(parameter.numel() for parameter in model.parameters())
    record.write_text(json.dumps({"asked": asked, "num_parameters": num_real}))
    return MadeCheckpoint(folder=folder, family=family, num_parameters=num_real)


def _corpus() -> Iterator[str]:
    texts = [DEFAULT_SYSTEM_PROMPT, FORCED_CLOSING, *TYPE_HINTS.values(), *SPECIAL_TOKENS, *PLAIN_ADDED_TOKENS]
    texts += [f"<{second / 2:.1f} seconds>" for second in range(64)]
    texts.append("system user assistant Which of these shapes moves first, and where does it stand in the end?")
    for _ in range(8):
        yield from texts


def _draw_model(family: str, config: PretrainedConfig, seed: int) -> PreTrainedModel:
    """Made without weights, filled in place: no copy in another dtype, no initialisation that is drawn over again."""
    with torch.device("meta"):
        model = _MODELS[family](config).to(torch.bfloat16)
    model.to_empty(device="cpu")
    model.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _draw(name, parameter, generator)
    return model


def _draw(name: str, parameter: torch.nn.Parameter, generator: torch.Generator) -> None:
    """Outputs of every layer are about as large as its inputs, whatever the width."""
    if parameter.ndim == 1:
        scale = QUERY_KEY_GAIN if "q_norm" in name or "k_norm" in name else 1.0
        parameter.fill_(scale if name.endswith("weight") else 0.0)  # norms; biases
        if "language_model.norm" in name:
            # Where the head is the embedding, a word would else be its own likeliest successor, again and again.
            parameter.mul_(torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1)
        return
    fan_in = parameter[0].numel()
    deviation = 1.0 / math.sqrt(fan_in)
    if "embed_tokens" in name or "lm_head" in name:
        deviation *= LOGIT_DEVIATION
    elif "q_proj" in name or "k_proj" in name:
        deviation *= QUERY_KEY_GAIN  # where norms follow, theirs counts
    elif "o_proj" in name or "down_proj" in name:
        deviation *= OUTPUT_GAIN
    parameter.normal_(0.0, deviation, generator=generator)


def _save_processors(tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig, family: str, folder: Path) -> None:
    """Tokenizer, and the settings of the processors that vLLM uses: frames are taken as they come."""
    tokenizer.save_pretrained(folder)
    vision = config.vision_config
    processor, image, video = _PROCESSORS[family]
    shared = {
        "processor_class": processor,
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "image_mean": FAMILIES[family].pixel_mean,
        "image_std": FAMILIES[family].pixel_std,
        "size": {"shortest_edge": (vision.patch_size * vision.spatial_merge_size) ** 2, "longest_edge": 2**30},
    }
    for file, kind in (
        ("preprocessor_config.json", {"image_processor_type": image}),
        ("video_preprocessor_config.json", {"video_processor_type": video}),
    ):
        (folder / file).write_text(json.dumps(kind | shared, indent=2) + "\n")
