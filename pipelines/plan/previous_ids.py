"""The config_id that releases before this one gave a job: an archive of theirs goes on under it, and is not asked anew.

They counted names, commits, whole files of settings and the versions of decoders, too (`schema_version` 1).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.decode.readers.reader import decoder_version
from framegate.pipelines.reason.models.packaged import model_folder
from framegate.pipelines.reason.models.vision_grid import locate_file
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
    folder = locate_file(config.model.name, "config.json", config.model.revision).parent
    return folder.name if model_folder(config.model.name) is None else _hash_folder(folder)


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)}):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()[:16]
