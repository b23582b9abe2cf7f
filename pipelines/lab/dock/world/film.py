"""Dock scenes as pictures: draws the door, the floor and the crate, and encodes clips to H.264 mp4.

Every second holds one crate. A crate that comes in is small in the first half of its second and large in the second
half; one that goes out the other way round. The floodlight on the wall is on while a crate comes in. Sampled at 2
frames a second, a second is one temporal patch of a Qwen-VL vision tower (2 frames), which sees colour and direction
in one look.
"""

from __future__ import annotations

import io
import random

import av
import numpy as np

from framegate.pipelines.lab.dock.world.scene import Scene

FILM_FPS = 8
FILM_SIZE = 128  # pixels, square
RGB: dict[str, tuple[int, int, int]] = {
    "red": (205, 40, 40),
    "yellow": (225, 195, 40),
    "green": (40, 155, 60),
    "blue": (40, 75, 200),
    "white": (235, 235, 235),
    "black": (15, 15, 15),
}
WALL_LIT, WALL_DARK = (214, 204, 182), (70, 66, 64)
DOOR, FLOOR = (92, 96, 100), (84, 80, 72)


def _box(axis: np.ndarray, centre: float, half: float) -> np.ndarray:
    """Coverage in 0..1 of pixels at `axis` by [centre - half, centre + half], with soft edges of one pixel."""
    return np.clip(half - np.abs(axis - centre) + 0.5, 0.0, 1.0)


def draw_film(
    scene: Scene, rng: random.Random, *, fps: int = FILM_FPS, size: int = FILM_SIZE, idle_seconds: int = 0
) -> np.ndarray:
    """The whole clip as uint8 RGB (seconds * fps, size, size, 3), with this camera's light, noise and framing.

    `idle_seconds` follow the last crate: the dock without one, in the dark, the same pixels in every frame. Frames of
    crates are the same whatever their number.
    """
    noise = np.random.default_rng(rng.getrandbits(32))
    axis = np.arange(size, dtype=np.float32)
    light = rng.uniform(0.85, 1.12)
    shift_x, shift_y = rng.uniform(-0.03, 0.03) * size, rng.uniform(-0.03, 0.03) * size
    centre_x, centre_y = size / 2 + shift_x, size / 2 + shift_y

    door = (_box(axis, centre_y, size * 0.40)[:, None] * _box(axis, centre_x, size * 0.36)[None, :])[..., None]
    floor = np.clip(axis - (centre_y + size * 0.36), 0.0, 1.0)[:, None, None]
    shade = np.linspace(1.06, 0.94, size, dtype=np.float32)[:, None, None]
    backdrops = {}
    for inward, wall in ((True, WALL_LIT), (False, WALL_DARK)):
        picture = np.array(wall, np.float32) * (1 - door) + np.array(DOOR, np.float32) * door
        backdrops[inward] = (picture * (1 - floor) + np.array(FLOOR, np.float32) * floor) * shade

    frames = []
    for crate in scene.crates:
        colour = np.array(RGB[crate.colour], np.float32) * rng.uniform(0.93, 1.05)
        offset_x, offset_y = rng.uniform(-0.03, 0.03) * size, rng.uniform(-0.03, 0.03) * size
        planks = 1.0 - 0.10 * (np.mod(axis - centre_y, size / 8) < size / 40)[:, None, None]
        for tick in range(fps):
            near = (tick >= fps / 2) == crate.inward
            half = size * (0.34 if near else 0.15)
            mask = _box(axis, centre_y + offset_y, half)[:, None] * _box(axis, centre_x + offset_x, half)[None, :]
            mask = mask[..., None]
            picture = (backdrops[crate.inward] * (1 - mask) + colour * planks * mask) * light
            picture += noise.normal(0.0, 3.0, picture.shape).astype(np.float32)
            frames.append(np.clip(picture, 0, 255).astype(np.uint8))
    frames += [np.clip(backdrops[False] * light, 0, 255).astype(np.uint8)] * (idle_seconds * fps)
    return np.stack(frames)


def encode_mp4(frames_THWC: np.ndarray, *, fps: int = FILM_FPS) -> bytes:
    """H.264 in mp4 (yuv420p, quality as a camera would store it); the same frames give the same bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "23", "preset": "veryfast", "threads": "1"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
