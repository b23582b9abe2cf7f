"""An archive that is made in a second: three films of some clips, two files that are not videos, two questions."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np

QUESTIONS = [
    {"id": "red", "text": "Is it red?", "type": "yes_no"},
    {"id": "count", "text": "How many?", "type": "number"},
]


def make_archive(folder: Path) -> list[Path]:
    """Films of 6, 4 and 2 seconds, beside two files that are not videos; made where they do not exist."""
    paths = [folder / f"film{number}.mp4" for number in range(3)]
    if not paths[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "broken.mp4").write_bytes(b"this is no video")
        (folder / "empty.mp4").write_bytes(b"")
        for path, seconds in zip(paths, (6, 4, 2), strict=True):
            _make_film(path, seconds)
    return paths


def _make_film(path: Path, seconds: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(seconds * 8):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index * 5 % 256, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def make_model(folder: Path) -> Path:
    """A folder that passes for a checkpoint when a job is planned; the scripted engine reads none of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    vision = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", "vision_config": vision}))
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder
