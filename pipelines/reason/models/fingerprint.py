"""What identifies a model: two with one fingerprint give the same answers, wherever they lie and however called.

It is made of the content of weights and tokenizer, and of those settings that are used. A hub model and a folder with
the same files have the same fingerprint. Free of torch, so that a driver can ask before any work.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from framegate.pipelines.reason.models.file_digests import digest_files
from framegate.pipelines.reason.models.model_files import ModelFiles
from framegate.pipelines.reason.models.weights import weight_files
from framegate.schemas.errors import EngineError

TOKENIZER_FILES: Final = ("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")

# Settings that no answer depends on; everything else counts, what a later release brings included. The dtype is the
# job's, and the prompt is ours.
UNUSED_CONFIG: Final = frozenset(
    {"_name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype", "use_cache",
     "initializer_range", "attention_dropout", "_attn_implementation_autoset"}
)  # fmt: skip
UNUSED_TOKENIZER_CONFIG: Final = frozenset(
    {"_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "chat_template", "processor_class",
     "model_max_length", "padding_side", "truncation_side", "tokenizer_file", "is_local", "auto_map"}
)  # fmt: skip

_SHA256: Final = re.compile("[0-9a-f]{64}")


def fingerprint_model(name: str, revision: str | None = None) -> str:
    """16 hex digits for a checkpoint folder or hub name.

    Reads the weights of a folder, as far as they are not remembered (`file_digests`). Those of the hub are named by
    their content, in its cache and by the hub itself, and are not read. Raises EngineError in one sentence where there
    is no such model, or not all of it.
    """
    files = ModelFiles(name, revision)
    parts = [
        *(f"weights {digest}" for digest in sorted(_weight_digests(files))),
        f"config {_digest(_without(files.config(), UNUSED_CONFIG))}",
    ]
    present = [(file, path) for file in TOKENIZER_FILES if (path := files.find(file)) is not None]
    digests = digest_files([path for _, path in present])
    parts += [f"{file} {digest}" for (file, _), digest in zip(present, digests, strict=True)]
    if (settings := files.mapping("tokenizer_config.json")) is not None:
        parts.append(f"tokenizer_config {_digest(_without(settings, UNUSED_TOKENIZER_CONFIG))}")
    if (ends := declared_ends(files)) is not None:
        parts.append(
            f"ends {_digest(ends)}"
        )  # strategies say how tokens are chosen: nothing else of generation_config.json is used
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def declared_ends(files: ModelFiles) -> list[int | None] | None:
    """The token ids at which a generation_config.json ends an answer, sorted; None without one. Raises EngineError."""
    found = files.mapping("generation_config.json")
    if found is None:
        return None
    declared = found.get("eos_token_id")
    ends: list[Any] = declared if isinstance(declared, list) else [declared]
    if declared is not None and not all(type(end) is int and 0 <= end <= 2**22 for end in ends):
        raise EngineError(f"the generation_config.json of model '{files.name}' ends answers at no token")
    return sorted(ends)


def _weight_digests(files: ModelFiles) -> list[str]:
    """The SHA-256 of each file of weights. What lies in a folder is read, whatever its name promises."""
    names = weight_files(files)
    there = [files.here(file) for file in names]
    named = [name_of_content(path) if path is not None and files.is_hub else None for path in there]
    read = iter(
        digest_files([path for path, digest in zip(there, named, strict=True) if path is not None and digest is None])
    )
    return [
        digest or (next(read) if path is not None else _digest_on_hub(files, file))
        for file, path, digest in zip(names, there, named, strict=True)
    ]


def _digest_on_hub(files: ModelFiles, file: str) -> str:
    """As the hub names its content: nothing is fetched."""
    try:
        url = hf_hub_url(files.name, file, revision=files.folder.name)
        etag = get_hf_file_metadata(url).etag or ""
    except (OSError, EntryNotFoundError, HfHubHTTPError) as error:
        first = str(error).strip().partition("\n")[0]
        raise EngineError(f"{file} of model '{files.name}' is neither cached nor found on the hub: {first}") from error
    if not _SHA256.fullmatch(etag):
        raise EngineError(
            f"the hub does not name the content of {file} of model '{files.name}'; fetch the model with"
            f" 'hf download {files.name}' first"
        )
    return etag


def name_of_content(path: Path) -> str | None:
    """The SHA-256 that a blob of the hub's cache is called by; None for any other file."""
    return path.name if path.parent.name == "blobs" and _SHA256.fullmatch(path.name) else None


def _without(value: Any, unused: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner, unused) for key, inner in value.items() if key not in unused}
    return [_without(inner, unused) for inner in value] if isinstance(value, list) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
