"""What of a checkpoint's processors is used: sizes and names that vLLM wants to see before it starts.

No pixel goes through them: patches are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from framegate.pipelines.reason.models.model_files import ModelFiles

_FILES: Final = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
_CLASSES: Final = frozenset(
    {"Qwen2_5_VLProcessor", "Qwen3VLProcessor", "Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast",
     "Qwen2VLVideoProcessor", "Qwen3VLVideoProcessor"}
)  # fmt: skip
_KINDS: Final = ("processor_class", "image_processor_type", "video_processor_type")
_NUMBERS: Final = frozenset(
    {"patch_size", "merge_size", "temporal_patch_size", "min_pixels", "max_pixels", "min_frames", "max_frames",
     "shortest_edge", "longest_edge", "height", "width", "fps", "num_frames", "rescale_factor", "resample",
     "image_mean", "image_std", "do_convert_rgb", "do_normalize", "do_rescale", "do_resize", "do_sample_frames"}
)  # fmt: skip
_MAPPINGS: Final = ("size", "image_processor", "video_processor")


def used_processors(files: ModelFiles) -> dict[str, dict[str, Any]]:
    """By file, what of it is used. Raises EngineError for a file that is no mapping."""
    found = {file: files.mapping(file) for file in _FILES}
    return {file: _filter(value) for file, value in found.items() if value is not None}


def _filter(found: Mapping[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = {}
    for key, value in found.items():
        if (key in _KINDS and isinstance(value, str) and value in _CLASSES) or (key in _NUMBERS and _is_plain(value)):
            used[key] = value
        elif key in _MAPPINGS and isinstance(value, dict):
            used[key] = _filter(value)
    return used


def _is_plain(value: Any) -> bool:
    items: list[Any] = value if isinstance(value, list) and len(value) <= 8 else [value]
    return all(type(item) is bool or (type(item) in (int, float) and math.isfinite(item)) for item in items)
