"""What stands for a model's bytes: two runs with one fingerprint ran the same weights, tokenizer and configuration.

Free of torch, so that a driver may ask before any work.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from schemas.errors import EngineError

# What changes an answer. Optimizer states, read-mes and the processors' settings (ours are the job's) do not.
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
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _hash_folder(folder, name)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EngineError(f"model '{name}' is not a folder; give a checkpoint folder or a hub name such as org/name")
    try:
        # The file lies in a folder named after the commit, also where it comes from the cache and no network is there.
        return Path(hf_hub_download(name, "config.json", revision=revision)).parent.name
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise EngineError(f"model '{name}' is neither a folder nor found on the hub: {reason}") from error


def _hash_folder(folder: Path, name: str) -> str:
    files = sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)})
    names = {path.name for path in files}
    if "config.json" not in names or not any(file.endswith(".safetensors") for file in names):
        raise EngineError(
            f"model folder '{name}' holds no config.json or no *.safetensors: it is not a complete checkpoint"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()[:16]
