"""config_id: the name of everything, beside the question itself, that can change an answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from framegate.schemas.config.engine_args import ENGINE_ARGS_OF_THE_MACHINE
from framegate.schemas.config.run import RunConfig

SCHEMA_VERSION: Final = 1
"""Raised by one when older rows can no longer be compared with new ones; part of config_id."""


def answer_document(
    config: RunConfig, *, wording: str, model_fingerprint: str, decoder_version: str, strategy: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything beside the question itself that can change an answer, in a form that a person can read.

    wording            every word that stands around the clip and the question, system turn included
    model_fingerprint  stands for the bytes of weights, tokenizer and model configuration
    decoder_version    of the packages that `frames.decoder` names, in its order
    strategy           the strategy's own document: its name, and what of it can change an answer

    Left out on purpose: questions (each has its own hash); batch sizes, storage, Ray and the sandbox (they change where
    and when, not what). Included: dtype and engine (they change logits), and engine_args except those that are known to
    concern the machine alone: quantization and kv_cache_dtype change logits, and so may arguments of a later vLLM.
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
