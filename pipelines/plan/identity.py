"""What a job's answers follow from, beside the questions: its configuration, the wording, the model, the decoders."""

from __future__ import annotations

from typing import Any

from framegate.pipelines.decode.golden import describe_decoder
from framegate.pipelines.decode.readers.reader import decoder_version
from framegate.pipelines.reason.asking.wording import read_wording
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config import NAMED, RunConfig, answer_document


def read_document(config: RunConfig, strategy: Strategy) -> dict[str, Any]:
    """What the job's config_id stands for, and, for people, what the things in it are called here.

    Raises EngineError where there is no such model, ConfigError where a decoder is not installed.
    """
    model, decoders = config.model, config.frames.decoders
    document = answer_document(
        config,
        wording=read_wording(config),
        model_fingerprint=fingerprint_model(model.name, model.revision),
        decoders=[describe_decoder(name) for name in decoders],
        strategy=strategy.document(),
    )
    labels = [f"{name}-{decoder_version(name)}" for name in decoders]
    return {**document, NAMED: {"model": model.label, "revision": model.revision, "decoders": labels}}
