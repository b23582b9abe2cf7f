"""A checkpoint is looked over before any work, by whoever reads a job: in the same words, and loading nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from framegate.pipelines.reason.models.config_keys import used_settings
from framegate.pipelines.reason.models.model_files import ModelFiles
from framegate.pipelines.reason.models.tokenizer_settings import (
    used_added_tokens,
    used_special_tokens,
    used_tokenizer_settings,
)
from framegate.pipelines.reason.models.tokenizer_trial import try_tokenizer
from framegate.pipelines.reason.models.weights import check_weights, text_setting, weight_files
from framegate.schemas.errors import EngineError

_log = logging.getLogger(__name__)


def check_model(name: str, revision: str | None, texts: Sequence[str]) -> None:
    """Raises EngineError, one sentence, for a checkpoint that is not sound. `texts` are what its tokenizer will encode.

    What it names and an engine does not use is told in one warning. Weights of a hub model that are not here yet are
    looked over where they are loaded.
    """
    files = ModelFiles(name, revision)
    used, unused = used_settings(files.config(), name)
    for key in ("video_token_id", "image_token_id"):
        if used.get(key, 0) >= text_setting(used, "vocab_size"):
            raise EngineError(
                f"the config.json of model '{name}' gives {key} the value {used[key]}, beyond its vocab_size"
                f" {text_setting(used, 'vocab_size')}"
            )
    if not files.is_hub or all(files.here(file) is not None for file in weight_files(files)):
        check_weights(files, used)
    _, unused_by_tokenizer = used_tokenizer_settings(files)
    used_special_tokens(files)
    used_added_tokens(files)
    try_tokenizer(files, texts, vocab_size=text_setting(used, "vocab_size"))
    _warn(name, {"config.json": unused, "tokenizer_config.json": unused_by_tokenizer})


def _warn(name: str, unused: dict[str, list[str]]) -> None:
    told = "; ".join(f"{', '.join(_short(keys))} of its {file}" for file, keys in unused.items() if keys)
    if told:
        _log.warning("model '%s' names what is not used, and runs without it: %s", name, told)


def _short(keys: list[str]) -> list[str]:
    shown = [key[:60] if key.isprintable() else ascii(key)[:60] for key in keys[:20]]
    return [*shown, f"and {len(keys) - 20} more"] if len(keys) > 20 else shown
