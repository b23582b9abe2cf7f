"""config_id: the name of everything, beside the question itself, that can change an answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from framegate.schemas.config.engine_args import ENGINE_ARGS_OF_ANSWERS
from framegate.schemas.config.run import RunConfig

SCHEMA_VERSION: Final = 2
"""Raised by one when older rows can no longer be compared with new ones; part of config_id."""

NAMED: Final = "named"
"""The part of a stored document that is for people: names, as they were when the config_id was first used."""


def answer_document(
    config: RunConfig,
    *,
    wording: str,
    model_fingerprint: str,
    decoders: Sequence[Mapping[str, Any]],
    strategy: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything beside the question itself that can change an answer, in a form that a person can read.

    wording            every word that stands around the clip and the question, system turn included
    model_fingerprint  stands for the content of weights and tokenizer and the settings of the model that are used
    decoders           those that `frames.decoder` names, in its order, each known by the frames that it makes
    strategy           the strategy's own document: its name, and what of it can change an answer

    Left out on purpose: questions (each has its own hash); names of models, folders and commits (the same files give
    the same answers); batch sizes, storage, Ray and the sandbox (they change where and when, not what). Included: dtype
    and engine (they change logits), and those engine_args that change logits, such as quantization.
    """
    engine_args = {name: value for name, value in config.model.engine_args.items() if name in ENGINE_ARGS_OF_ANSWERS}
    frames = {name: value for name, value in config.frames.document().items() if name != "decoder"}  # told below
    return {
        "schema_version": SCHEMA_VERSION,
        "wording": wording,
        "model": {
            "fingerprint": model_fingerprint,
            "dtype": config.model.dtype,
            "engine": config.model.engine,
            **({"engine_args": engine_args} if engine_args else {}),
        },
        "clips": {**config.clips.document(), **config.clips.still_document()},
        "frames": {**frames, "decoders": [dict(decoder) for decoder in decoders]},
        "gate": dict(strategy),
    }


def config_id(document: Mapping[str, Any]) -> str:
    """16 hex digits for an `answer_document`. The first is a letter, so that no reader of paths takes it for a number.

    What stands in the document under NAMED does not count.
    """
    counted = {name: value for name, value in document.items() if name != NAMED}
    digest = hashlib.sha256(json.dumps(counted, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    match = re.search("[a-f][0-9a-f]{15}", digest)
    return match.group() if match else "f" + digest[:15]


def clip_policy(config: RunConfig) -> str:
    """16 hex digits for how videos are cut and frames are selected, whatever model is asked about them, and however
    much of them it is given."""
    frames = {name: value for name, value in config.frames.document().items() if name != "prune"}
    return config_id({"clips": config.clips.document(), "frames": frames})


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By key, such as `frames.fps`: what two documents say, where that is not the same; None where one says nothing."""
    one, other = dict(_flat(there, "")), dict(_flat(here, ""))
    return {
        key: (one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    }


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if path or key != NAMED:
                yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
