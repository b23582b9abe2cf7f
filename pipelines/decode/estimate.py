"""What decoding a video would give, from its header and first frame alone: clips, frames, video tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.decode.blocks import RangeFile
from pipelines.decode.reader import VideoHeader, open_reader
from pipelines.decode.select import plan_frames
from pipelines.decode.split import split_duration
from pipelines.store import Store
from schemas.config import ClipsConfig, FramesConfig
from schemas.errors import StorageError, VideoError
from schemas.pixels import count_video_tokens


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Sums over a video's clips. Tokens are the video's own, prefilled once per clip whatever is asked of it."""

    num_clips: int
    num_frames: int
    num_video_tokens: int


def probe_header(uri: str, storage_options: Mapping[str, object]) -> VideoHeader:
    """Reads what it needs of the object and decodes its first frames. Raises VideoError, StorageError."""
    try:
        with open_reader("pyav", RangeFile.of(Store(storage_options).read(uri))) as reader:
            return reader.header
    except OSError as error:
        raise StorageError(f"cannot read {uri}: {error}") from error


def probe_duration_seconds(uri: str, storage_options: Mapping[str, object]) -> float | None:
    """How long a video lasts; None where it cannot be read or decoded."""
    try:
        return probe_header(uri, storage_options).duration_seconds
    except (VideoError, StorageError):
        return None


def estimate(
    header: VideoHeader, *, clips: ClipsConfig, frames: FramesConfig, factor: int = 28, temporal_patch: int = 2
) -> Estimate:
    """What `DecodeStage` will make of a video with this header. Raises ValueError as `fit_frames` does."""
    num_clips = num_frames = num_video_tokens = 0
    for start, end in split_duration(header.duration_seconds, clips):
        plan = plan_frames(
            start,
            end,
            header.display_height,
            header.display_width,
            frames,
            factor=factor,
            temporal_patch=temporal_patch,
        )
        num = len(plan.times_seconds)
        num_clips += 1
        num_frames += num
        num_video_tokens += count_video_tokens(
            num, plan.height, plan.width, factor=factor, temporal_patch=temporal_patch
        )
    return Estimate(num_clips=num_clips, num_frames=num_frames, num_video_tokens=num_video_tokens)
