"""`bench overlap`: what overlapping clips cost when what they share is decoded and seen once, and how much of films is
still.

Each clip is decoded and seen as a run does it, with nothing between. The vision tower is one of random weights, whose
speed is that of its shape.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeVar

import av
import numpy as np
import torch

from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps
from framegate.pipelines.reason.models.preprocess import scale_video
from framegate.pipelines.store import Store
from framegate.schemas.clip import FrameBatch, Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.unit import PlannedVideo

_QUESTION: Final = "0" * 16
_FPS, _SECONDS, _HEIGHT, _WIDTH = 10, 120, 360, 640  # of made films
NEAR_LEVELS: Final = 2

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OverlapFigures:
    """Of one film. Seconds are the processor's, which other processes hardly change: medians over the repeats, with a
    clip every half of its length.

    decode_share, vision_share   with reuse by without
    reused_share                 of temporal steps that were not run
    still_share                  the same with clips that do not overlap: steps that repeat an earlier one exactly
    near_share                   that with `frames.same_within: 2`
    """

    film: str
    num_clips: int
    decode_seconds: float
    decode_seconds_reused: float
    decode_share: float
    vision_seconds: float
    vision_seconds_reused: float
    vision_share: float
    reused_share: float
    still_share: float
    near_share: float


class Sizes(NamedTuple):
    """Of the model that sees, and of the clips."""

    family: str
    num_parameters: int
    dtype: str
    clip_seconds: float
    frames: FramesConfig


def measure_overlap(files: Sequence[Path], sizes: Sizes, *, num_repeats: int) -> Iterator[OverlapFigures]:
    """First two made films of a camera that does not move, then the files. Raises VideoError, StorageError."""
    with tempfile.TemporaryDirectory(prefix="framegate-overlap-") as folder:
        made = make_checkpoint(Path(folder, "model"), sizes.family, sizes.num_parameters, seed=0)
        checkpoint = Checkpoint(str(made.folder), revision=None, dtype=sizes.dtype, device="cpu")
        films = [Path(folder, f"{name}.mp4") for name in ("made-still", "made-still-noisy")]
        for film, noise in zip(films, (0, 2), strict=True):
            make_still_film(film, noise=noise)
        for path in (*films, *files):
            yield _measure(path, checkpoint, sizes, num_repeats)


def make_still_film(path: Path, *, noise: int) -> None:
    """A camera over a yard: nothing moves, but for something that passes for 4 s of every 30. `noise` is the deviation
    of a sensor's noise, in grey levels."""
    chance = np.random.default_rng(0)
    yard = np.kron(chance.integers(60, 200, (_HEIGHT // 20, _WIDTH // 20)), np.ones((20, 20))).astype(np.int16)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "g": "50"}
        for number in range(_FPS * _SECONDS):
            grey = yard.copy()
            place = number % (30 * _FPS)
            if place < 4 * _FPS:
                left = place * _WIDTH // (5 * _FPS)
                grey[150:300, left : left + 60] = 20
            if noise:
                grey = grey + np.rint(chance.normal(0, noise, grey.shape)).astype(np.int16)
            picture = av.VideoFrame.from_ndarray(grey.clip(0, 255).astype(np.uint8), format="gray")
            frame = picture.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, _FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _measure(path: Path, checkpoint: Checkpoint, sizes: Sizes, num_repeats: int) -> OverlapFigures:
    overlapping = ClipsConfig(seconds=sizes.clip_seconds, stride_seconds=sizes.clip_seconds / 2)
    decode_seconds, clips = _median(lambda: _decode(path, overlapping, sizes.frames, keeps=False), num_repeats)
    decode_reused, same = _median(lambda: _decode(path, overlapping, sizes.frames, keeps=True), num_repeats)
    if not all(np.array_equal(one.frames_THWC, other.frames_THWC) for one, other in zip(clips, same, strict=True)):
        raise AssertionError(f"frames of {path.name} differ with and without reuse")
    vision_seconds, plain = _median(lambda: _see(clips, checkpoint, sizes, SeenSteps(reuses=False)), num_repeats)
    vision_reused, seen = _median(lambda: _see(clips, checkpoint, sizes, SeenSteps()), num_repeats)
    if not all(torch.equal(one, other) for one, other in zip(plain.features, seen.features, strict=True)):
        raise AssertionError(f"features of {path.name} differ with and without reuse")
    _, apart = _decode(path, ClipsConfig(seconds=sizes.clip_seconds), sizes.frames, keeps=True)
    return OverlapFigures(
        film=path.stem,
        num_clips=len(clips),
        decode_seconds=round(decode_seconds, 3),
        decode_seconds_reused=round(decode_reused, 3),
        decode_share=round(decode_reused / decode_seconds, 3),
        vision_seconds=round(vision_seconds, 3),
        vision_seconds_reused=round(vision_reused, 3),
        vision_share=round(vision_reused / vision_seconds, 3),
        reused_share=round(seen.num_reused / seen.num_steps, 3),
        still_share=_still_share(apart, checkpoint, sizes, same_within=0),
        near_share=_still_share(apart, checkpoint, sizes, same_within=NEAR_LEVELS),
    )


def _median(work: Callable[[], tuple[float, T]], num_repeats: int) -> tuple[float, T]:
    """Seconds, and the last outcome."""
    outcomes = [work() for _ in range(num_repeats)]
    return median(seconds for seconds, _ in outcomes), outcomes[-1][1]


def decode_clips(path: Path, clips: ClipsConfig, frames: FramesConfig) -> list[FrameBatch]:
    """The frames of a film's clips. Raises VideoError, StorageError."""
    return _decode(path, clips, frames, keeps=True)[1]


def _decode(path: Path, clips: ClipsConfig, frames: FramesConfig, *, keeps: bool) -> tuple[float, list[FrameBatch]]:
    """Seconds of the processor, without those of opening the file."""
    info = Store().stat(str(path))
    video = Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes)
    planned = PlannedVideo(video=video, question_hashes=(_QUESTION,))
    clip_reader = ClipReader(planned, Policy(frames=frames, clips=clips), keeps_frames=keeps)
    with (
        Store().open_pinned(video) as pinned,
        RangeFile(pinned.read, pinned.size_bytes) as file,
        open_reader("pyav", file) as reader,
    ):
        started = time.process_time()
        clips_read = [clip.frames for clip in clip_reader.read(reader, pinned)]
        return time.process_time() - started, clips_read


class _Seen(NamedTuple):
    num_steps: int
    num_reused: int
    features: list[torch.Tensor]


def _see(clips: Sequence[FrameBatch], checkpoint: Checkpoint, sizes: Sizes, steps: SeenSteps) -> tuple[float, _Seen]:
    """Seconds of the processor, preprocessing included, clip by clip, as large clips are run."""
    started = time.process_time()
    num_steps = num_reused = 0
    features: list[torch.Tensor] = []
    for frames in clips:
        video = scale_video(
            frames.frames_THWC, grid=checkpoint.prompt_format.grid, limits=sizes.frames, device=checkpoint.device
        )
        [seen] = checkpoint.see([video], steps)
        num_steps += video.grid_thw[0]
        num_reused += seen.num_reused
        features.append(seen.features_VD)
    return time.process_time() - started, _Seen(num_steps, num_reused, features)


def _still_share(clips: Sequence[FrameBatch], checkpoint: Checkpoint, sizes: Sizes, *, same_within: int) -> float:
    """No tower is run for it."""
    steps = SeenSteps(same_within=same_within)
    num_steps = num_reused = 0
    for frames in clips:
        video = scale_video(
            frames.frames_THWC, grid=checkpoint.prompt_format.grid, limits=sizes.frames, device=checkpoint.device
        )
        [seen] = steps.see([video], lambda new: (torch.zeros(len(new), 1, 1),))
        num_steps += video.grid_thw[0]
        num_reused += seen.num_reused
    return round(num_reused / num_steps, 3)
