"""Frame pairs to train on, by what they show: cut from clips that went through the real codec.

Training therefore sees the pixels that evaluation decodes, and never waits for an encoder.
"""

from __future__ import annotations

import io
import random

import av
import numpy as np
import torch

from framegate.pipelines.lab.dock.training.checkpoint import PIXELS_PER_TOKEN_SIDE
from framegate.pipelines.lab.dock.world.film import FILM_FPS, draw_film, encode_mp4
from framegate.pipelines.lab.dock.world.scene import COLOURS, MAX_CRATES, Crate, Scene

PATCH = 16
PATCHES_PER_PAIR = (PIXELS_PER_TOKEN_SIDE // PATCH) ** 2


class FrameLibrary:
    """Frame pairs by (colour, direction): `patches` is (pairs, 4, 1536), normalised to -1..1."""

    def __init__(self, *, num_clips: int, seed: int) -> None:
        rng = random.Random(seed)
        self._rows: dict[Crate, list[int]] = {}
        pairs: list[np.ndarray] = []
        for number in range(num_clips):
            crates = tuple(Crate(rng.choice(COLOURS), rng.random() < 0.5) for _ in range(MAX_CRATES))
            resampling = "AREA" if number % 2 else "BICUBIC"
            frames = _decode_half_seconds(encode_mp4(draw_film(Scene(crates), rng)), resampling)
            for second, crate in enumerate(crates):
                self._rows.setdefault(crate, []).append(len(pairs))
                pairs.append(frames[2 * second : 2 * second + 2])
        self.patches = patchify_pairs(np.stack(pairs))

    def draw(self, rng: random.Random, crate: Crate) -> int:
        """The row of a pair that shows `crate`."""
        return rng.choice(self._rows[crate])


def patchify_pairs(pairs: np.ndarray) -> torch.Tensor:
    """uint8 (P, 2, 32, 32, 3) to normalised patches (P, 4, 3 * 2 * 16 * 16), in the order of a Qwen-VL processor."""
    pixels = torch.from_numpy(pairs).float() / 127.5 - 1.0
    side = PIXELS_PER_TOKEN_SIDE // PATCH
    grid = pixels.reshape(-1, 2, side, PATCH, side, PATCH, 3)  # pair, time, row, y, column, x, channel
    return grid.permute(0, 2, 4, 6, 1, 3, 5).reshape(-1, PATCHES_PER_PAIR, 3 * 2 * PATCH * PATCH)


def _decode_half_seconds(mp4: bytes, resampling: str) -> np.ndarray:
    side = PIXELS_PER_TOKEN_SIDE
    with av.open(io.BytesIO(mp4), mode="r", format="mp4") as container:
        frames = [
            frame.reformat(side, side, "rgb24", interpolation=resampling).to_ndarray()
            for number, frame in enumerate(container.decode(video=0))
            if number % (FILM_FPS // 2) == 0
        ]
    return np.stack(frames)
