"""The work that every system is given: which frames of a file, in which size. Reads headers, decodes no frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import VideoHeader, open_reader
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video
from framegate.schemas.config import FramesConfig
from framegate.schemas.errors import ConfigError, FramegateError
from framegate.schemas.pixels import fit_frames

SPARSE_FRAMES = 32
DENSE_SECONDS = 60
# Ray can thin frames out only to a whole number a second. The wanted frames are among those, so that it is spared the
# others: at 5 a second they still fall on 20 places of a group of pictures of 4 s.
SPARSE_GRID_FPS, DENSE_FPS = 5, 2
MODEL_FACTOR, MODEL_TEMPORAL_PATCH = 28, 2  # of the Qwen2.5-VL family


@dataclass(frozen=True, kw_only=True)
class Work:
    """The frames `frame_indices` (in display order, from 0) of one local file, scaled to (height, width).

    times_seconds  the middle of each frame's time on display
    grid_fps       every wanted frame is one of those that are left when the file is thinned out to so many a second
    """

    task: str
    path: str
    version: str
    size_bytes: int
    duration_seconds: float
    frame_indices: tuple[int, ...]
    times_seconds: tuple[float, ...]
    height: int
    width: int
    grid_fps: int

    @property
    def video(self) -> Video:
        return Video(uri=self.path, version=self.version, size_bytes=self.size_bytes)


def sparse_indices(num_frames: int, fps: float) -> np.ndarray:
    """At most SPARSE_FRAMES, spread evenly over the whole file."""
    middles = (np.arange(SPARSE_FRAMES) + 0.5) * num_frames / SPARSE_FRAMES
    return np.unique(_on_grid(middles, fps, SPARSE_GRID_FPS))


def dense_indices(num_frames: int, fps: float) -> np.ndarray:
    """DENSE_FPS frames of each second of the minute in the middle."""
    step = _grid_step(fps, DENSE_FPS)
    first = _on_grid(np.array([max(0.0, (num_frames - DENSE_SECONDS * fps) / 2)]), fps, DENSE_FPS)[0]
    return np.arange(first, min(num_frames, first + DENSE_SECONDS * DENSE_FPS * step), step)


TASKS: dict[str, tuple[Callable[[int, float], np.ndarray], int]] = {
    "sparse": (sparse_indices, SPARSE_GRID_FPS),
    "dense": (dense_indices, DENSE_FPS),
}


def plan_work(path: Path, task: str) -> Work:
    """The work on one file. Raises ConfigError where it is not a video with a frame rate: alternatives count frames."""
    try:
        info = Store().stat(str(path.absolute()))
        header = _read_header(Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes))
    except FramegateError as error:
        raise ConfigError(f"{path} cannot be measured: {error}") from error
    if header.fps is None:
        raise ConfigError(f"{path} cannot be measured: its header gives no frame rate; give a file that has one")
    choose, grid_fps = TASKS[task]
    indices = choose(max(1, round(header.duration_seconds * header.fps)), header.fps)
    fitted = fit_frames(
        SPARSE_FRAMES,
        header.display_height,
        header.display_width,
        factor=MODEL_FACTOR,
        temporal_patch=MODEL_TEMPORAL_PATCH,
        limits=FramesConfig(),
    )
    return Work(
        task=task,
        path=info.uri,
        version=info.version,
        size_bytes=info.size_bytes,
        duration_seconds=header.duration_seconds,
        frame_indices=tuple(indices.tolist()),
        times_seconds=tuple(((indices + 0.5) / header.fps).tolist()),
        height=fitted.height,
        width=fitted.width,
        grid_fps=grid_fps,
    )


def _read_header(video: Video) -> VideoHeader:
    with (
        Store().open_pinned(video) as pinned,
        RangeFile(pinned.read, pinned.size_bytes) as file,
        open_reader("pyav", file) as reader,
    ):
        return reader.header


def _grid_step(fps: float, grid_fps: int) -> int:
    """Frames from one that is left to the next, as `ray.data.read_videos` counts them."""
    return max(1, round(fps / grid_fps))


def _on_grid(indices: np.ndarray, fps: float, grid_fps: int) -> np.ndarray:
    step = _grid_step(fps, grid_fps)
    return (indices // step).astype(np.int64) * step
