"""The model families that the engines run: one table of all that differs between them.

What a checkpoint's own configuration says (patch sizes, token ids, tokens per second) is read from there and is not
repeated here. A new family of the same kind is a new row of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from framegate.schemas.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a family takes its video.

    layout      "block": one run of video tokens between one pair of vision markers, times told by positions alone;
                "stamped": one run per temporal step, each after the text `<1.5 seconds>`, positions tell no times
    pixel_mean, pixel_std   of RGB values in [0, 1]
    """

    layout: Literal["block", "stamped"]
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]


_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "qwen2_5_vl": Family(layout="block", pixel_mean=_CLIP_MEAN, pixel_std=_CLIP_STD),
        "qwen3_vl": Family(layout="stamped", pixel_mean=_HALF, pixel_std=_HALF),
    }
)


def find_family(model_type: str, name: str) -> Family:
    """The family of a checkpoint's `model_type`. Raises EngineError naming the model and what is supported."""
    if model_type not in FAMILIES:
        raise EngineError(
            f"model '{name}' is of type '{model_type}', which the transformers engine cannot run; "
            f"supported: {', '.join(FAMILIES)}"
        )
    return FAMILIES[model_type]
