"""ClipsConfig, FramesConfig, DecodeConfig: how videos are cut, which frames are taken, how decoders are confined."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from framegate.schemas.config.part import Part
from framegate.schemas.config.pruning import PruneConfig

FRAMES_PER_STEP: Final = 2  # of a temporal step, in all known models
QWEN_PATCH_PIXELS: Final = 28 * 28  # what one video token of Qwen2.5-VL covers in one frame


class ClipsConfig(Part):
    """How a video is cut: windows of `seconds`, one every `stride_seconds`; at scene changes; or not at all."""

    seconds: float = Field(default=30.0, gt=0, le=86_400, description="length of a clip; with scenes, the most of it")
    stride_seconds: float | None = Field(default=None, gt=0, le=86_400, description="default: `seconds`, no overlap")
    min_seconds: float = Field(default=0.5, ge=0, le=86_400, description="what is shorter joins a neighbour")
    scenes: bool = Field(default=False, description="cut where the picture changes at once")
    scene_threshold: float = Field(
        default=0.07, gt=0, le=1, description="mean change of a thumbnail that counts as a cut; black to white is 1/3"
    )
    whole_video: bool = Field(default=False, description="one clip per video; `seconds` is not used")
    same_within: float | None = Field(
        default=None,
        ge=0,
        le=255,
        description="grey levels within which a clip shows what the one before showed, and takes over its answers;"
        " 0: equal pixels",
    )

    @model_validator(mode="after")
    def _one_policy(self) -> ClipsConfig:
        given = self.model_fields_set
        if self.whole_video and given & {"seconds", "stride_seconds", "min_seconds"}:
            raise ValueError("whole_video excludes seconds, stride_seconds and min_seconds; keep one of the two")
        if self.whole_video and self.same_within is not None:
            raise ValueError("whole_video excludes same_within: a video's one clip has none before it")
        if self.whole_video and self.scenes:
            raise ValueError("whole_video excludes scenes; keep one of the two")
        if self.scenes and "stride_seconds" in given:
            raise ValueError("scenes excludes stride_seconds: clips then begin where scenes do")
        if not self.scenes and "scene_threshold" in given:
            raise ValueError("scene_threshold belongs to scenes: true")
        if self.min_seconds > self.seconds:
            raise ValueError(f"min_seconds {self.min_seconds} is above seconds {self.seconds}")
        return self

    @property
    def step_seconds(self) -> float:
        """From the start of one clip to the start of the next."""
        return self.seconds if self.stride_seconds is None else self.stride_seconds

    def document(self) -> dict[str, Any]:
        """The keys that say how a video is cut, for `answer_document`."""
        if self.whole_video:
            return {"whole_video": True}
        shared = {"seconds": self.seconds, "min_seconds": self.min_seconds}
        if self.scenes:
            return {**shared, "scenes": True, "scene_threshold": self.scene_threshold}
        return {**shared, "stride_seconds": self.step_seconds}

    def still_document(self) -> dict[str, Any]:
        """The same of what answers are taken over: a clip with equal pixels would have answered alike."""
        return {"same_within": self.same_within} if self.same_within else {}


DecoderName = Literal["pyav", "decord"]


class FramesConfig(Part):
    """Which frames of a clip, how large, and who decodes them. Pixel bounds are height × width of one frame.

    A clip that would take more than `max_video_tokens` is first made smaller, down to `min_frame_pixels`; then it has
    fewer frames.
    """

    policy: Literal["fps", "uniform"] = Field(
        default="fps", description="fps: so many a second, up to max_frames; uniform: max_frames of every clip"
    )
    fps: float = Field(default=2.0, gt=0, le=240, description="frames taken per second of clip")
    max_frames: int = Field(default=64, ge=1, le=32_768, description="at most so many, spread evenly over the clip")
    max_video_tokens: int = Field(default=4096, ge=1, le=1_000_000, description="a clip's budget of video tokens")
    min_frame_pixels: int = Field(default=128 * QWEN_PATCH_PIXELS, ge=1, description="smaller frames are scaled up")
    max_frame_pixels: int = Field(default=768 * QWEN_PATCH_PIXELS, ge=1, description="larger frames are scaled down")
    same_within: int = Field(
        default=0, ge=0, le=255, description="grey levels by which a temporal step may differ and count as a repetition"
    )
    prune: PruneConfig | None = Field(
        default=None, description="video tokens that the language model is not given; none: it is given all"
    )
    decoder: DecoderName | Annotated[tuple[DecoderName, ...], Field(min_length=1)] = Field(
        default="pyav", description="the package that decodes, or several: where one fails, the next is tried"
    )

    @model_validator(mode="after")
    def _consistent(self) -> FramesConfig:
        if self.min_frame_pixels > self.max_frame_pixels:
            raise ValueError(
                f"min_frame_pixels {self.min_frame_pixels} is above max_frame_pixels {self.max_frame_pixels}"
            )
        if self.policy == "uniform" and "fps" in self.model_fields_set:
            raise ValueError("fps belongs to policy: fps; with uniform, max_frames alone decides")
        if len(set(self.decoders)) != len(self.decoders):
            raise ValueError(f"decoder names one package twice: {', '.join(self.decoders)}")
        return self

    def most_steps(self, clips: ClipsConfig) -> int:
        """Temporal steps of the longest clip, with the known models."""
        num_frames = self.max_frames
        if self.policy == "fps" and not clips.whole_video:
            num_frames = min(num_frames, math.ceil(self.fps * clips.seconds))
        return -(-num_frames // FRAMES_PER_STEP)

    @property
    def decoders(self) -> tuple[DecoderName, ...]:
        """In the order in which they are tried."""
        return (self.decoder,) if isinstance(self.decoder, str) else self.decoder

    def document(self) -> dict[str, Any]:
        """The keys that can change an answer, for `answer_document`."""
        left_out = {"decoder", *(("fps",) if self.policy == "uniform" else ())}
        left_out |= set() if self.same_within else {"same_within"}
        values = self.model_dump(exclude={*left_out, "prune"})
        pruned = {} if self.prune is None else {"prune": self.prune.document()}
        return {**values, **pruned, "decoder": ",".join(self.decoders)}


class DecodeConfig(Part):
    """How decoding is confined. Changes no answer, only where decoding gives up on a video.

    Seconds count while the decoder works, not while it waits for storage or for the next question.
    """

    sandbox: bool | Literal["weak"] = Field(
        default=True, description="decode in a confined process; weak: also where that keeps less; false: for debugging"
    )
    open_seconds: float = Field(default=60.0, gt=0, le=86_400, description="to open a file and find its first frame")
    frame_seconds: float = Field(default=60.0, gt=0, le=86_400, description="from one decoded frame to the next")
    video_seconds: float = Field(default=21_600.0, gt=0, le=864_000, description="for one video as a whole")
    memory_mib: int = Field(default=2048, ge=64, le=1_048_576, description="what decoding one video may allocate")
    recycle_videos: int = Field(default=500, ge=1, le=1_000_000, description="a new process after so many videos")
    recycle_rss_mib: int = Field(default=512, ge=64, le=1_048_576, description="or when it has grown by so much")
    max_pixels: int = Field(default=8192 * 8192, ge=1, description="coded width × height of a frame; 8K passes")
    max_total_pixels: float = Field(default=1e14, gt=0, description="pixels × frames; a day of 4K at 30 fps is 2e13")
    max_duration_seconds: float = Field(default=31 * 86_400.0, gt=0, description="as the header announces it")
    max_streams: int = Field(default=64, ge=1, le=10_000, description="of all kinds in one file")

    @field_validator("sandbox", mode="before")
    @classmethod
    def _one_of_three(cls, value: Any) -> Any:
        if isinstance(value, bool) or value == "weak":
            return value
        raise ValueError(f"{value!r} is none of: true, false, weak")
