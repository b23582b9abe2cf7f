"""Many films of two seconds, as hard links to some: each name stands for a video of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

NUM_DIFFERENT: Final = 32
FRAMES_PER_SECOND: Final = 8
SECONDS: Final = 2
SIDE_PIXELS: Final = 64
FILMS_PER_FOLDER: Final = 1000
QUESTIONS: Final = (
    {"id": "person", "text": "Is there a person?", "type": "yes_no"},
    {"id": "vehicle", "text": "Is there a vehicle?", "type": "yes_no"},
    {"id": "count", "text": "How many vehicles pass?", "type": "number"},
    {"id": "first", "text": "What moves first?", "type": "choice", "options": ["a person", "a vehicle", "nothing"]},
)


def make_films(folder: Path, num_films: int) -> list[Path]:
    """Films of one clip each, H.264, below an empty folder."""
    originals = [folder / "originals" / f"{number:03d}.mp4" for number in range(min(num_films, NUM_DIFFERENT))]
    originals[0].parent.mkdir(parents=True)
    for number, path in enumerate(originals):
        _make_film(path, shade=7 * number)
    films = []
    for number in range(num_films):
        path = folder / "films" / f"{number // FILMS_PER_FOLDER:04d}" / f"{number:07d}.mp4"
        if number % FILMS_PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        os.link(originals[number % NUM_DIFFERENT], path)
        films.append(path)
    return films


def job_values(films: Path, model: Path, output: str, *, decode_workers: int) -> dict[str, Any]:
    """A job over them as its file would have it: one clip of four frames a film, four questions."""
    return {
        "input": {"videos": str(films / "films")},
        "clips": {"seconds": SECONDS},
        "frames": {"fps": 2, "max_frames": 4, "min_frame_pixels": 56 * 56},  # as small as they are
        "questions": list(QUESTIONS),
        "model": {"name": str(model)},
        "output": {"uri": output},
        "ray": {"decode_workers": decode_workers},
    }


def _make_film(path: Path, *, shade: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width = stream.height = SIDE_PIXELS
        stream.pix_fmt = "yuv420p"
        for index in range(SECONDS * FRAMES_PER_SECOND):
            pixels = np.full((SIDE_PIXELS, SIDE_PIXELS, 3), (index * 5 + shade) % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
