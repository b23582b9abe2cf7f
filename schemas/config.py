"""What a run is told: RunConfig, its parts, and config_id, the name of everything that can change an answer.

Parts are frozen and refuse unknown keys. Knows nothing of files (`schemas.job` reads those) nor of what a path or a
model holds; defaults stand here and nowhere else.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

SCHEMA_VERSION: Final = 1
"""Raised when rows of an older version can no longer stand beside new ones; part of config_id."""

QWEN_PATCH_PIXELS: Final = 28 * 28  # what one video token of Qwen2.5-VL covers in one frame


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    nearest = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'; {hint}",
                        {
                            "key": str(key),
                            "nearest": nearest[0] if nearest else "",
                            "hint": f"did you mean '{nearest[0]}'?" if nearest else f"known: {_names(cls)}",
                        },
                    )
        return values


def _names(part: type[BaseModel]) -> str:
    return ", ".join(part.model_fields)


class InputConfig(_Part):
    """Which videos."""

    videos: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="a prefix, a glob, a list of URIs, or a .parquet/.csv/.jsonl manifest with a `uri` column; "
        "what ends in .tar is a shard whose members are the videos, and {0000..0099} counts"
    )
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")


class ClipsConfig(_Part):
    """How a video is cut: windows of `seconds`, one every `stride_seconds`; at scene changes; or not at all."""

    seconds: float = Field(default=30.0, gt=0, le=86_400, description="length of a clip; with scenes, the most of it")
    stride_seconds: float | None = Field(default=None, gt=0, le=86_400, description="default: `seconds`, no overlap")
    min_seconds: float = Field(default=0.5, ge=0, le=86_400, description="what is shorter joins a neighbour")
    scenes: bool = Field(default=False, description="cut where the picture changes at once")
    scene_threshold: float = Field(
        default=0.07, gt=0, le=1, description="mean change of a thumbnail that counts as a cut; black to white is 1/3"
    )
    whole_video: bool = Field(default=False, description="one clip per video; `seconds` is not used")

    @model_validator(mode="after")
    def _one_policy(self) -> ClipsConfig:
        given = self.model_fields_set
        if self.whole_video and given & {"seconds", "stride_seconds", "min_seconds"}:
            raise ValueError("whole_video excludes seconds, stride_seconds and min_seconds; keep one of the two")
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
        """What of it can change an answer."""
        if self.whole_video:
            return {"whole_video": True}
        shared = {"seconds": self.seconds, "min_seconds": self.min_seconds}
        if self.scenes:
            return {**shared, "scenes": True, "scene_threshold": self.scene_threshold}
        return {**shared, "stride_seconds": self.step_seconds}


DecoderName = Literal["pyav", "decord"]


class FramesConfig(_Part):
    """Which frames of a clip, how large, and who decodes them. Pixel bounds are height × width of one frame.

    A clip that would take more than `max_video_tokens` is first made smaller, down to `min_frame_pixels`; then it has
    fewer frames.
    """

    policy: Literal["fps", "uniform"] = Field(
        default="fps", description="fps: so many a second, up to max_frames; uniform: max_frames of every clip"
    )
    fps: float = Field(default=2.0, gt=0, le=240, description="frames taken per second of clip")
    max_frames: int = Field(default=64, ge=1, le=4096, description="at most so many, spread evenly over the clip")
    max_video_tokens: int = Field(default=4096, ge=1, le=1_000_000, description="a clip's budget of video tokens")
    min_frame_pixels: int = Field(default=128 * QWEN_PATCH_PIXELS, ge=1, description="smaller frames are scaled up")
    max_frame_pixels: int = Field(default=768 * QWEN_PATCH_PIXELS, ge=1, description="larger frames are scaled down")
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

    @property
    def decoders(self) -> tuple[DecoderName, ...]:
        """In the order in which they are tried."""
        return (self.decoder,) if isinstance(self.decoder, str) else self.decoder

    def document(self) -> dict[str, Any]:
        """What of it can change an answer."""
        values = self.model_dump(exclude={"decoder", "fps"} if self.policy == "uniform" else {"decoder"})
        return {**values, "decoder": ",".join(self.decoders)}


class DecodeConfig(_Part):
    """How decoding is confined. Changes no answer, only where decoding gives up on a video.

    Seconds count while the decoder works, not while it waits for storage or for the next question.
    """

    sandbox: bool = Field(default=True, description="decode in a confined process of its own; false: for debugging")
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


class PromptConfig(_Part):
    """The system turn. Give the text or a file that holds it; without either, the built-in wording is used."""

    system: str | None = Field(default=None, description="the text itself")
    system_file: str | None = Field(default=None, description="a text file, relative to the job file")

    @model_validator(mode="after")
    def _text_or_file(self) -> PromptConfig:
        if self.system is not None and self.system_file is not None:
            raise ValueError("give system or system_file, not both")
        return self


class ModelConfig(_Part):
    """Which model, in which numbers, on which engine."""

    name: str = Field(
        min_length=1, description="a checkpoint folder, a hub name, or dock, which comes with the package"
    )
    revision: str | None = Field(default=None, description="a hub revision")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(default="bfloat16", description="of the weights")
    engine: Literal["transformers"] = Field(default="transformers", description="what runs the model")

    @property
    def label(self) -> str:
        """The name without the machine: a hub name as it is, a folder by its last part."""
        return PurePath(self.name).name if self.name.startswith(("/", ".", "~")) else self.name


class GateConfig(_Part):
    """When to think, and how much may be produced."""

    strategy: Literal["direct", "always_think", "gated"] = Field(default="gated")
    threshold: float = Field(default=0.97, ge=0, le=1, description="exit at this confidence or above; per model")
    max_answer_tokens: int = Field(default=64, ge=1, le=4096, description="for the first answer")
    max_thinking_tokens: int = Field(default=1024, ge=1, le=65_536, description="then the closing is forced")


class OutputConfig(_Part):
    """Where the rows go."""

    uri: str = Field(min_length=1, description="a folder or a prefix; made where it is missing, a bucket is not")
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")


class ActorBounds(_Part):
    min: int = Field(default=1, ge=1, le=10_000)
    max: int = Field(default=1, ge=1, le=10_000)

    @model_validator(mode="after")
    def _in_order(self) -> ActorBounds:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class RayConfig(_Part):
    """How the work is spread. Changes no answer."""

    reason_actors: ActorBounds = Field(default=ActorBounds(), description="one engine each")
    gpus_per_actor: float = Field(default=0.0, ge=0, le=64, description="0 runs the model on the CPU")
    decode_workers: int = Field(default=2, ge=1, le=10_000, description="processes that decode")
    address: str | None = Field(default=None, description="a running cluster; without it one is started here")


class RunConfig(_Part):
    """One job. `questions` is a file beside the job file or the list itself; `schemas.job` reads and checks it."""

    input: InputConfig
    questions: str | list[dict[str, Any]]
    model: ModelConfig
    output: OutputConfig
    clips: ClipsConfig = ClipsConfig()
    frames: FramesConfig = FramesConfig()
    decode: DecodeConfig = DecodeConfig()
    prompt: PromptConfig = PromptConfig()
    gate: GateConfig = GateConfig()
    ray: RayConfig = RayConfig()


def answer_document(config: RunConfig, *, wording: str, model_fingerprint: str, decoder_version: str) -> dict[str, Any]:
    """All that can change an answer beside the question itself, in a form that a person can read.

    wording            every word that stands around the clip and the question, system turn included
    model_fingerprint  stands for the bytes of weights, tokenizer and model configuration
    decoder_version    of the packages that `frames.decoder` names, in its order

    The threshold is left out on purpose: it decides whether to think, is a column of every row, and a row that was
    answered under another threshold stays as it was. So are questions (each has its own hash), batch sizes, storage,
    Ray and how decoding is confined: they change where and when, not what. The token budgets are in: they cut answers
    short. dtype and engine are in: they move logits.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "wording": wording,
        "model": {
            "name": config.model.label,
            "revision": config.model.revision,
            "fingerprint": model_fingerprint,
            "dtype": config.model.dtype,
            "engine": config.model.engine,
        },
        "clips": config.clips.document(),
        "frames": {**config.frames.document(), "decoder_version": decoder_version},
        "gate": {
            "strategy": config.gate.strategy,
            "max_answer_tokens": config.gate.max_answer_tokens,
            "max_thinking_tokens": config.gate.max_thinking_tokens,
        },
    }


def config_id(config: RunConfig, *, wording: str, model_fingerprint: str, decoder_version: str) -> str:
    """16 hex digits for `answer_document`. The first is a letter, so that no reader of paths takes it for a number."""
    document = answer_document(
        config, wording=wording, model_fingerprint=model_fingerprint, decoder_version=decoder_version
    )
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    match = re.search("[a-f][0-9a-f]{15}", digest)
    return match.group() if match else "f" + digest[:15]
