"""RunConfig, its parts, and config_id, which stands for everything that can change an answer.

The parts about decoding are in `schemas.decoding`, those about strategies in `schemas.strategies`. All defaults of a
job are in these three files. `schemas.job` reads job files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from framegate.schemas.decoding import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.engine_args import ENGINE_ARGS_OF_THE_MACHINE
from framegate.schemas.part import Part
from framegate.schemas.strategies import GatedConfig, StrategyConfig

SCHEMA_VERSION: Final = 1
"""Raised when rows of an older version can no longer stand beside new ones; part of config_id."""


class InputConfig(Part):
    """Which videos."""

    videos: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="a prefix, a glob, a list of URIs, or a .parquet/.csv/.jsonl manifest with a `uri` column; "
        "what ends in .tar is a shard whose members are the videos, and {0000..0099} counts"
    )
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")


class PromptConfig(Part):
    """The system turn. Give the text or a file that holds it; without either, the built-in wording is used."""

    system: str | None = Field(default=None, description="the text itself")
    system_file: str | None = Field(default=None, description="a text file, relative to the job file")

    @model_validator(mode="after")
    def _text_or_file(self) -> PromptConfig:
        if self.system is not None and self.system_file is not None:
            raise ValueError("give system or system_file, not both")
        return self


class ModelConfig(Part):
    """Which model, in which numbers, on which engine."""

    name: str = Field(
        min_length=1, description="a checkpoint folder, a hub name, or dock, which comes with the package"
    )
    revision: str | None = Field(default=None, description="a hub revision")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(default="bfloat16", description="of the weights")
    engine: Literal["transformers", "vllm"] = Field(default="transformers", description="what runs the model")
    engine_args: dict[str, Any] = Field(
        default={}, description="vllm: arguments of its LLM, such as tensor_parallel_size"
    )

    @model_validator(mode="after")
    def _engine_args_have_an_engine(self) -> ModelConfig:
        if self.engine_args and self.engine != "vllm":
            raise ValueError(
                f"engine_args are vLLM's, and the engine is {self.engine}: leave them out, or say engine: vllm"
            )
        return self

    @property
    def label(self) -> str:
        """The name without the machine: a hub name as it is, a folder by its last part."""
        return PurePath(self.name).name if self.name.startswith(("/", ".", "~")) else self.name


class OutputConfig(Part):
    """Where the rows go."""

    uri: str = Field(min_length=1, description="a folder or a prefix; made where it is missing, a bucket is not")
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")
    single_writer: bool = Field(
        default=False, description="this job alone writes here: accept a store without conditional writes"
    )
    partition_by: tuple[str, ...] = Field(
        default=(),
        max_length=4,
        description="columns of the manifest, or a part of a time: camera, taken.date, written_at.date; "
        "folders below config_id, fixed with the first rows",
    )
    file_bytes: int = Field(default=128 * 2**20, ge=4096, le=2**32, description="of a sealed Parquet file, about")


class FailuresConfig(Part):
    """What becomes of what failed. Changes no answer."""

    max_attempts: int = Field(default=3, ge=1, le=100, description="then it is left alone: run --retry-failed")
    stop_share: float = Field(
        default=0.5, gt=0, le=1, description="the run ends where more of a window than this fails for one reason"
    )
    stop_window: int = Field(default=100, ge=1, le=1_000_000, description="units in that window")


class ActorBounds(Part):
    min: int = Field(default=1, ge=1, le=10_000)
    max: int = Field(default=1, ge=1, le=10_000)

    @model_validator(mode="after")
    def _in_order(self) -> ActorBounds:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class RayConfig(Part):
    """How the work is spread. Changes no answer."""

    reason_actors: ActorBounds = Field(default=ActorBounds(), description="one engine each")
    gpus_per_actor: float = Field(default=0.0, ge=0, le=64, description="0 runs the model on the CPU")
    decode_workers: int = Field(default=2, ge=1, le=10_000, description="processes that decode")
    address: str | None = Field(default=None, description="a running cluster; without it one is started here")


class RunConfig(Part):
    """One job. `questions` is a file beside the job file or the list itself; `schemas.job` reads and checks it."""

    input: InputConfig
    questions: str | list[dict[str, Any]]
    model: ModelConfig
    output: OutputConfig
    clips: ClipsConfig = ClipsConfig()
    frames: FramesConfig = FramesConfig()
    decode: DecodeConfig = DecodeConfig()
    prompt: PromptConfig = PromptConfig()
    gate: StrategyConfig = GatedConfig()
    failures: FailuresConfig = FailuresConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _decord_is_confined(self) -> RunConfig:
        if "decord" in self.frames.decoders and not self.decode.sandbox:
            raise ValueError("decord can hang where only SIGKILL ends it: leave decode.sandbox on, or use pyav")
        return self


def answer_document(
    config: RunConfig, *, wording: str, model_fingerprint: str, decoder_version: str, strategy: Mapping[str, Any]
) -> dict[str, Any]:
    """All that can change an answer beside the question itself, in a form that a person can read.

    wording            every word that stands around the clip and the question, system turn included
    model_fingerprint  stands for the bytes of weights, tokenizer and model configuration
    decoder_version    of the packages that `frames.decoder` names, in its order
    strategy           the strategy's own document: its name, and what of it can change an answer

    Questions are left out, as each has its own hash. So are batch sizes, storage, Ray and how decoding is confined:
    they change where and when, not what. dtype and engine are in: they move logits. Of engine_args, those are in that
    are not known to be the machine's alone: quantization and kv_cache_dtype move logits, and so may what a later vLLM
    brings.
    """
    engine_args = {
        name: value for name, value in config.model.engine_args.items() if name not in ENGINE_ARGS_OF_THE_MACHINE
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "wording": wording,
        "model": {
            "name": config.model.label,
            "revision": config.model.revision,
            "fingerprint": model_fingerprint,
            "dtype": config.model.dtype,
            "engine": config.model.engine,
            **({"engine_args": engine_args} if engine_args else {}),
        },
        "clips": config.clips.document(),
        "frames": {**config.frames.document(), "decoder_version": decoder_version},
        "gate": dict(strategy),
    }


def config_id(
    config: RunConfig, *, wording: str, model_fingerprint: str, decoder_version: str, strategy: Mapping[str, Any]
) -> str:
    """16 hex digits for `answer_document`. The first is a letter, so that no reader of paths takes it for a number."""
    document = answer_document(
        config,
        wording=wording,
        model_fingerprint=model_fingerprint,
        decoder_version=decoder_version,
        strategy=strategy,
    )
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    match = re.search("[a-f][0-9a-f]{15}", digest)
    return match.group() if match else "f" + digest[:15]
