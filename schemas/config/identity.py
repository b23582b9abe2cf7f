"""`config_id`: the name of everything beside a question that can change its answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from framegate.schemas.config.run import RunConfig
from framegate.schemas.engine_args import ENGINE_ARGS_OF_THE_MACHINE

SCHEMA_VERSION: Final = 1
"""Raised when rows of an older version can no longer stand beside new ones; part of config_id."""


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
