"""The config_id that releases before this one gave a job: an archive of theirs goes on under it, and is not asked anew.

They counted names, commits, whole files of settings and the versions of decoders, too (`schema_version` 1).
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from typing import Any, Final

from framegate.pipelines.decode.readers.reader import decoder_version
from framegate.pipelines.reason.models.model_files import ModelFiles, open_regular
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config import RunConfig, answer_document, config_id

OLDER_VERSION: Final = 1
_PATTERNS: Final = (
    "*.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    "merges.txt", "added_tokens.json", "special_tokens_map.json",
)  # fmt: skip
_BLOCK_BYTES: Final = 1 << 22


def older_config_id(config: RunConfig, strategy: Strategy, wording: str) -> str:
    """Reads the whole checkpoint, where it is a folder. Raises EngineError, ConfigError."""
    now = answer_document(config, wording=wording, model_fingerprint="", decoders=(), strategy=strategy.document())
    model, decoders = config.model, config.frames.decoders
    names = {"name": model.label, "revision": model.revision, "fingerprint": _older_fingerprint(config)}
    versions = ",".join(decoder_version(name) for name in decoders)
    document: dict[str, Any] = {
        **now,
        "schema_version": OLDER_VERSION,
        "model": {**now["model"], **names},
        "frames": {**config.frames.document(), "decoder_version": versions},
    }
    return config_id(document)


def _older_fingerprint(config: RunConfig) -> str:
    files = ModelFiles(config.model.name, config.model.revision)
    return files.folder.name if files.is_hub else _hash_folder(files)


def _hash_folder(files: ModelFiles) -> str:
    digest = hashlib.sha256()
    for name in files.names():
        if not any(fnmatch(name, pattern) for pattern in _PATTERNS) or (path := files.here(name)) is None:
            continue
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        with open_regular(path) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()[:16]
