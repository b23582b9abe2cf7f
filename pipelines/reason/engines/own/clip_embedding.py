"""What the vision tower saw of a clip as one vector of unit length: near for clips that look alike.

    states (V, D) of the clip's V video tokens ──mean──> (D,) ──project, where D > MAX_VALUES──> (E,) ──> length 1

The projection is by random signs (Achlioptas 2003): with E = 1,024, distances between clips keep their ratios within
some 4 % (standard deviation sqrt(2 / E)). Its signs come from a hash, and are the same everywhere and for ever.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import numpy as np
import torch

MAX_VALUES: Final = 1024
"""With its picture, a clip's row stays below 8 kB."""

_SEED: Final = b"framegate clip embedding 1"


@torch.inference_mode()
def embed_clip(features_VD: torch.Tensor) -> np.ndarray | None:
    """float32 (E,) with the precision of float16; None where the states have no direction: all zero, or not finite."""
    pooled_D = features_VD.float().mean(dim=0)
    if len(pooled_D) > MAX_VALUES:
        pooled_D = pooled_D @ _signs(len(pooled_D), pooled_D.device)
    pooled = pooled_D.cpu().numpy()
    norm = float(np.linalg.norm(pooled))
    if not 0 < norm < np.inf:
        return None
    return (pooled / norm).astype(np.float16).astype(np.float32)


@lru_cache(maxsize=1)
def _signs(num_values: int, device: torch.device) -> torch.Tensor:
    """(num_values, MAX_VALUES) of -1 and 1."""
    data = np.frombuffer(hashlib.shake_256(_SEED).digest(num_values * MAX_VALUES // 8), np.uint8)
    bits = np.unpackbits(data).reshape(num_values, MAX_VALUES)
    return torch.from_numpy(2 * bits.astype(np.float32) - 1).to(device)
