"""What the lines of a manifest lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.schemas.clip import Video
from framegate.schemas.config import InputConfig

CANARY = "k4n4ry-5ec2e7"


def find(folder: Path, *lines: str, **parts: Any) -> list[Video]:
    """What a manifest with these lines leads to, in their order."""
    pa.parquet.write_table(pa.table({"uri": list(lines)}), folder / "list.parquet")
    found = to_videos(find_videos(InputConfig(videos=str(folder / "list.parquet"), **parts)))
    good = {f"{folder}/films/good.mp4"} | {line for line in lines if line.endswith("/c.mp4")}
    return sorted(found, key=lambda video: len(lines) > 1 and video.uri in good)
