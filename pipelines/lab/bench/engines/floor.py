"""The floor: the time of a step and of the prefills if only memory bandwidth and matrix units limited them.

Pure arithmetic over a checkpoint's tensors, an engine's times and a machine's rates.

    step      every weight of the language model and its head is read once, and every key and value that a row sees;
              those of a clip's prefix once for all of its rows, which may read them together. Each row costs two
              operations per weight, and four per query element and key. The slower of the two.
    prefill   two operations per weight and token; vision: per weight and patch. Attention is left out of both.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from framegate.pipelines.lab.bench.engines.machine import Machine
from framegate.pipelines.reason.engines.times import EngineTimes

BYTES_PER_NUMBER = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """Counts of weights, and per token of one sequence of numbers in keys and values, over all layers.

    num_patch_weights   of the vision tower, those that each patch goes through
    num_merged_weights  those that each merged token goes through, which is `patches_per_token` patches
    num_query_numbers   of one token's queries, over all layers
    """

    num_layer_weights: int
    num_head_weights: int
    num_patch_weights: int
    num_merged_weights: int
    patches_per_token: int
    num_key_value_numbers: int
    num_query_numbers: int


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Seconds, per decode step (`weights_seconds`: to read the weights alone) and of all prefills and vision passes of
    a run. `step_bytes` and `step_operations` are means over the run's steps."""

    step_seconds: float
    weights_seconds: float
    step_bytes: float
    step_operations: float
    prefill_seconds: float
    vision_seconds: float


def read_model_size(folder: Path) -> ModelSize:
    """Of a checkpoint folder, from its configuration and the headers of its weights."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text, vision = config["text_config"], config["vision_config"]
    num_heads, layers = text["num_attention_heads"], text["num_hidden_layers"]
    head_size = text.get("head_dim") or text["hidden_size"] // num_heads
    counts: Counter[str] = Counter()
    for name, number in _tensors(folder):
        counts[_kind(name)] += number
    return ModelSize(
        num_layer_weights=counts["layer"],
        num_head_weights=counts["head"] or counts["embedding"],
        num_patch_weights=counts["patch"],
        num_merged_weights=counts["merged"],
        patches_per_token=vision["spatial_merge_size"] ** 2,
        num_key_value_numbers=2 * layers * text["num_key_value_heads"] * head_size,
        num_query_numbers=layers * num_heads * head_size,
    )


def compute_floor(size: ModelSize, times: EngineTimes, machine: Machine, dtype: str) -> Floor:
    """Of a run of at least one step."""
    rows, keys, row_keys = (
        number / times.num_steps for number in (times.num_step_rows, times.num_step_keys, times.num_step_row_keys)
    )
    weights = size.num_layer_weights + size.num_head_weights
    step_bytes = BYTES_PER_NUMBER[dtype] * (weights + keys * size.num_key_value_numbers)
    step_operations = 2 * rows * weights + 4 * row_keys * size.num_query_numbers
    rate = machine.matrix_operations_per_second
    vision_weights = size.num_patch_weights + size.num_merged_weights / size.patches_per_token
    return Floor(
        step_seconds=max(step_bytes / machine.read_bytes_per_second, step_operations / rate),
        weights_seconds=BYTES_PER_NUMBER[dtype] * weights / machine.read_bytes_per_second,
        step_bytes=step_bytes,
        step_operations=step_operations,
        prefill_seconds=2 * times.num_prefill_tokens * size.num_layer_weights / rate,
        vision_seconds=2 * times.num_patches * vision_weights / rate,
    )


def _tensors(folder: Path) -> Iterator[tuple[str, int]]:
    for file in sorted(folder.glob("*.safetensors")):
        opened: Any
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no dict)
                number = 1
                for length in opened.get_slice(name).get_shape():
                    number *= length
                yield name, number


def _kind(name: str) -> str:
    if "visual." in name:
        if "pos_embed" in name:
            return "other"
        return "merged" if "merger" in name else "patch"
    if ".layers." in name:
        return "layer"
    if name.startswith("lm_head"):
        return "head"
    return "embedding" if "embed_tokens" in name else "other"
