"""What identifies a model's bytes: two runs with one fingerprint ran the same weights, tokenizer and configuration.

Free of torch, so that a driver can ask before any work.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from framegate.pipelines.reason.models.packaged import model_folder
from framegate.pipelines.reason.models.vision_grid import locate_file
from framegate.schemas.errors import EngineError

# Files that can change an answer. Optimizer states, read-mes and settings of processors (ours are in the job) cannot.
_PATTERNS = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
_BLOCK_BYTES = 1 << 22


def fingerprint_model(name: str, revision: str | None = None) -> str:
    """16 hex digits over a checkpoint folder's files, or the commit that a hub name and revision stand for.

    Raises EngineError in one sentence where there is no such model.
    """
    config = locate_file(name, "config.json", revision)
    return config.parent.name if model_folder(name) is None else _hash_folder(config.parent, name)


def _hash_folder(folder: Path, name: str) -> str:
    files = sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise EngineError(f"model folder '{name}' holds no *.safetensors: it is not a complete checkpoint")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()[:16]
