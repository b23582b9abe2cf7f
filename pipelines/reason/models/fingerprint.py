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

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from framegate.pipelines.reason.models.file_digests import digest_files
from framegate.pipelines.reason.models.packaged import model_folder
from framegate.pipelines.reason.models.vision_grid import locate_file, read_config
from framegate.schemas.errors import EngineError

WEIGHTS: Final = "model.safetensors"
WEIGHTS_INDEX: Final = "model.safetensors.index.json"
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
    files = _Files(name, revision)
    parts = [
        *(f"weights {digest}" for digest in sorted(files.weight_digests())),
        f"config {_digest(_without(read_config(name, revision), UNUSED_CONFIG))}",
    ]
    present = [(file, path) for file in TOKENIZER_FILES if (path := files.path(file)) is not None]
    digests = digest_files([path for _, path in present])
    parts += [f"{file} {digest}" for (file, _), digest in zip(present, digests, strict=True)]
    if (path := files.path("tokenizer_config.json")) is not None:
        parts.append(f"tokenizer_config {_digest(_without(_read_json(name, path), UNUSED_TOKENIZER_CONFIG))}")
    if (path := files.path("generation_config.json")) is not None:
        declared = _read_json(name, path).get("eos_token_id")  # answers are greedy: nothing else of it is used
        ends = sorted(declared) if isinstance(declared, list) else [declared]
        parts.append(f"ends {_digest(ends)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class _Files:
    """The files of a checkpoint folder, or of one commit of a hub model."""

    def __init__(self, name: str, revision: str | None) -> None:
        self._name = name
        self._is_hub = model_folder(name) is None
        self._folder = locate_file(name, "config.json", revision).parent

    def path(self, file: str) -> Path | None:
        """A small file, fetched where the hub's is not cached; None where the model has none."""
        path = self._folder / file
        if path.is_file() or not self._is_hub:
            return path if path.is_file() else None
        known = try_to_load_from_cache(self._name, file, revision=self._folder.name)
        if known is not None:
            return Path(known) if isinstance(known, str) else None  # else it is known that there is none
        try:
            return Path(hf_hub_download(self._name, file, revision=self._folder.name))
        except (EntryNotFoundError, LocalEntryNotFoundError):
            return None  # the hub has none, or is away: then an engine here has none either
        except (OSError, HfHubHTTPError) as error:
            raise self._refused(file, error) from error

    def weight_digests(self) -> list[str]:
        """The SHA-256 of each file of weights."""
        files = self._weight_files()
        there = [self._folder / file for file in files]
        named = [_name_of_content(path) for path in there]
        read = iter(digest_files([p for p, digest in zip(there, named, strict=True) if p.is_file() and digest is None]))
        return [
            digest or (next(read) if path.is_file() else self._digest_on_hub(file))
            for file, path, digest in zip(files, there, named, strict=True)
        ]

    def _weight_files(self) -> list[str]:
        if not (self._folder / WEIGHTS).is_file() and (index := self.path(WEIGHTS_INDEX)) is not None:
            files = sorted(set(_read_json(self._name, index).get("weight_map", {}).values()))
            missing = [file for file in files if not (self._folder / file).is_file()]
            if missing and not self._is_hub:
                raise EngineError(
                    f"model folder '{self._name}' holds no {missing[0]}, which its {WEIGHTS_INDEX} names:"
                    " it is not a complete checkpoint"
                )
            return files
        if self._is_hub:
            return [WEIGHTS]
        files = sorted(path.name for path in self._folder.glob("*.safetensors"))
        if not files:
            raise EngineError(f"model folder '{self._name}' holds no *.safetensors: it is not a complete checkpoint")
        return files

    def _digest_on_hub(self, file: str) -> str:
        """As the hub names its content: nothing is fetched."""
        try:
            url = hf_hub_url(self._name, file, revision=self._folder.name)
            etag = get_hf_file_metadata(url).etag or ""
        except (OSError, EntryNotFoundError, HfHubHTTPError) as error:
            raise self._refused(file, error) from error
        if not _SHA256.fullmatch(etag):
            raise EngineError(
                f"the hub does not name the content of {file} of model '{self._name}'; fetch the model with"
                f" 'hf download {self._name}' first"
            )
        return etag

    def _refused(self, file: str, error: Exception) -> EngineError:
        first = str(error).strip().partition("\n")[0]
        return EngineError(f"{file} of model '{self._name}' is neither cached nor found on the hub: {first}")


def _name_of_content(path: Path) -> str | None:
    """The SHA-256 of a file in the hub's cache: the name of the blob that a snapshot links to."""
    blob = path.resolve()
    return blob.name if path.is_symlink() and blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def _without(value: Any, unused: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner, unused) for key, inner in value.items() if key not in unused}
    return [_without(inner, unused) for inner in value] if isinstance(value, list) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _read_json(name: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"the {path.name} of model '{name}' cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise EngineError(f"the {path.name} of model '{name}' holds no mapping")
    return value
