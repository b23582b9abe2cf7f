"""The smallest folder that is a checkpoint to whoever looks it over: settings, headers and a tokenizer, no model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from framegate.pipelines.reason.models.packaged import model_folder

TENSORS: Mapping[str, Sequence[int]] = {
    "model.embed_tokens.weight": (600, 8),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "visual.blocks.0.attn.proj.weight": (8, 8),
}
CONFIG: Mapping[str, Any] = {
    "model_type": "qwen2_5_vl",
    "vocab_size": 600,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "video_token_id": 538,
    "vision_config": {"depth": 1, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}


def safetensors(tensors: Mapping[str, Sequence[int]] = TENSORS, *, fill: bytes = b"\0") -> bytes:
    """A file of bfloat16 tensors, all bytes of which are `fill`."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + fill * end


def make_model_folder(folder: Path) -> Path:
    """The tokenizer is that of the packaged model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(safetensors())
    packaged = model_folder("dock")
    assert packaged is not None
    shutil.copy(packaged / "tokenizer.json", folder)
    return folder
