"""What must be known of a model before it is loaded: its family, and the grid into which it cuts frames.

Read from the checkpoint's configuration, without torch, so that a driver can ask before any work and tell the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from framegate.pipelines.reason.models.config_keys import used_settings
from framegate.pipelines.reason.models.model_files import ModelFiles
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
    used, _ = used_settings(read_config(name, revision), name)
    try:
        vision = used["vision_config"]
        return VisionGrid(
            patch=vision["patch_size"], merge=vision["spatial_merge_size"], temporal_patch=vision["temporal_patch_size"]
        )
    except KeyError as error:
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
    return ModelFiles(name, revision).config()
