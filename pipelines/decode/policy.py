"""Policy: a job's rules for clips and frames, together with the grid of its model's vision tower."""

from __future__ import annotations

from dataclasses import dataclass

from framegate.pipelines.decode.readers.reader import VideoHeader
from framegate.pipelines.decode.select import FrameTargets, target_frames
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.errors import ConfigError, DecodeFailed


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`factor` and `temporal_patch` are the vision tower's (`schemas.pixels`)."""

    frames: FramesConfig
    clips: ClipsConfig
    factor: int = 28
    temporal_patch: int = 2

    def check(self) -> None:
        """Raises ConfigError where `max_video_tokens` cannot hold a clip of any video."""
        try:
            target_frames(0, 1, self.factor, self.factor, self.frames, factor=self.factor, temporal_patch=1)
        except ValueError as error:
            raise ConfigError(f"frames: {error}") from error

    def targets(self, start_seconds: float, end_seconds: float, header: VideoHeader) -> FrameTargets:
        """The frames to read from a clip. Raises DecodeFailed for frames of a shape that no model takes."""
        try:
            return target_frames(
                start_seconds,
                end_seconds,
                header.display_height,
                header.display_width,
                self.frames,
                factor=self.factor,
                temporal_patch=self.temporal_patch,
            )
        except ValueError as error:  # the budget was checked before: it is the shape of the frames
            raise DecodeFailed(f"The frames cannot be fitted to the model: {error}.") from error
