"""What must be known of a model before it is loaded: its family, and the grid into which it cuts frames.

Read from the checkpoint's configuration, without torch, so that a driver can ask before any work and tell the decoder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from framegate.pipelines.reason.models.families import find_family
from framegate.pipelines.reason.models.packaged import PACKAGED, model_folder
from framegate.schemas.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class VisionGrid:
    """A patch is `patch` pixels square in `temporal_patch` consecutive frames; `merge` x `merge` make one token."""

    patch: int
    merge: int
    temporal_patch: int

    @property
    def factor(self) -> int:
        """A frame's height and width must be multiples of this many pixels."""
        return self.patch * self.merge


def read_vision_grid(name: str, revision: str | None = None) -> VisionGrid:
    """Of a checkpoint folder or hub name. Raises EngineError in one sentence for a model that cannot run here."""
    config = read_config(name, revision)
    try:
        find_family(config.get("model_type", "unknown"), name)
        vision = config["vision_config"]
        return VisionGrid(
            patch=vision["patch_size"], merge=vision["spatial_merge_size"], temporal_patch=vision["temporal_patch_size"]
        )
    except (KeyError, TypeError) as error:
        raise EngineError(f"model '{name}' is no video model: its config.json has no {error}") from error


def check_not_quantized(name: str, revision: str | None = None) -> None:
    """Raises EngineError where the weights of a checkpoint are quantized, which our own engine cannot run."""
    quantization = read_config(name, revision).get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "some method") if isinstance(quantization, dict) else quantization
        raise EngineError(
            f"the weights of model '{name}' are quantized ({method}), which the transformers engine cannot run; "
            "say engine: vllm, or take the checkpoint that is not quantized"
        )


def read_config(name: str, revision: str | None = None) -> dict[str, Any]:
    """The config.json of a checkpoint folder or hub name. Raises EngineError."""
    path = locate_file(name, "config.json", revision)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EngineError(f"the config.json of model '{name}' is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise EngineError(f"the config.json of model '{name}' holds no mapping")
    return config


def locate_file(name: str, file: str, revision: str | None = None) -> Path:
    """The local path of one file of a checkpoint folder or of a hub model, fetched where it is not cached.

    The folder of a hub file is named after its commit. Raises EngineError where there is no such model.
    """
    folder = model_folder(name)
    if folder is not None:
        if not (folder / file).is_file():
            raise EngineError(f"model folder '{name}' holds no {file}: it is not a complete checkpoint")
        return folder / file
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EngineError(
            f"model '{name}' is not a folder; give a checkpoint folder, a hub name such as org/name, or one that comes"
            f" with the package: {', '.join(PACKAGED)}"
        )
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise EngineError(f"model '{name}' is neither a folder nor found on the hub: {reason}") from error
