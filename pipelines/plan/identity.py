"""What the config_id of a job is made of beside its configuration: the wording, the model's bytes, the decoder."""

from __future__ import annotations

from typing import Any

from framegate.pipelines.decode.readers.reader import decoder_version
from framegate.pipelines.reason.asking.prompt import (
    DEFAULT_SYSTEM_PROMPT,
    FORCED_CLOSING,
    prefix_before_video,
    suffix_after_video,
)
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config import RunConfig
from framegate.schemas.qa import ANSWER_TYPES, Question


def read_identity(config: RunConfig, strategy: Strategy) -> dict[str, Any]:
    """What `config_id` takes from rooms that schemas cannot import."""
    asked = [suffix_after_video(Question(id="", text="", type=answer_type)) for answer_type in ANSWER_TYPES]
    return {
        "wording": "\n".join(
            [prefix_before_video(config.prompt.system or DEFAULT_SYSTEM_PROMPT), *asked, FORCED_CLOSING]
        ),
        "model_fingerprint": fingerprint_model(config.model.name, config.model.revision),
        "decoder_version": ",".join(decoder_version(name) for name in config.frames.decoders),
        "strategy": strategy.document(),
    }
