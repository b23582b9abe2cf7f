"""The folder that an engine loads a checkpoint from: what of it is used, and nothing else.

Libraries look for many files beside the weights (adapters, code, templates, other weights), and follow what they read
there to other places. They are given a folder of ours. It holds config.json with the settings that are used
(`config_keys`), the tokenizer's files, and links to the weights, whose headers are checked. It lies in
$XDG_CACHE_HOME/framegate/checkpoints (~/.cache by default), named after its content, and is some megabytes large.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from framegate.pipelines.reason.models.config_keys import used_settings
from framegate.pipelines.reason.models.file_digests import digest_file
from framegate.pipelines.reason.models.fingerprint import declared_ends, name_of_content
from framegate.pipelines.reason.models.model_files import CONFIG, ModelFiles
from framegate.pipelines.reason.models.tokenizer_settings import (
    used_added_tokens,
    used_special_tokens,
    used_tokenizer_settings,
)
from framegate.pipelines.reason.models.vision_settings import used_processors
from framegate.pipelines.reason.models.weights import INDEX, WEIGHTS, check_weights, weight_files
from framegate.schemas.errors import EngineError

_AS_THEY_ARE: Final = ("tokenizer.json", "vocab.json", "merges.txt")


def make_clean_folder(name: str, revision: str | None = None) -> Path:
    """Fetches what of a hub model is not here. Raises EngineError, one sentence, for a checkpoint that is not sound."""
    files = ModelFiles(name, revision)
    if files.is_hub:
        _fetch_weights(files)
        _check_names(files)
    return _lay_out(_contents(files), _weights(files))


def _fetch_weights(files: ModelFiles) -> None:
    missing = [file for file in weight_files(files) if files.here(file) is None]
    if not missing:
        return
    try:
        snapshot_download(files.name, revision=files.folder.name, allow_patterns=missing)
    except (OSError, ValueError, HfHubHTTPError) as error:
        first = str(error).strip().partition("\n")[0]
        raise EngineError(f"the weights of model '{files.name}' cannot be fetched: {first}") from error


def _check_names(files: ModelFiles) -> None:
    """The hub's cache names weights by their SHA-256, and so does config_id: here it is held against the bytes."""
    for file in weight_files(files):
        path = files.here(file)
        if path is not None and (name := name_of_content(path)) is not None and digest_file(path) != name:
            raise EngineError(
                f"the {file} of model '{files.name}' is not what the hub's cache says it is: delete {path} and fetch it"
                " again"
            )


def _contents(files: ModelFiles) -> dict[str, bytes]:
    settings, _ = used_settings(files.config(), files.name)
    written: dict[str, Mapping[str, Any] | None] = {
        CONFIG: settings,
        "tokenizer_config.json": used_tokenizer_settings(files)[0],
        "special_tokens_map.json": used_special_tokens(files),
        "added_tokens.json": used_added_tokens(files),
        **used_processors(files),
    }
    if (ends := declared_ends(files)) is not None:
        written["generation_config.json"] = {"eos_token_id": ends[0] if len(ends) == 1 else ends}
    if (places := check_weights(files, settings)) and weight_files(files) != [WEIGHTS]:
        written[INDEX] = {"metadata": {}, "weight_map": places}
    contents = {file: _text(value) for file, value in written.items() if value is not None}
    contents |= {file: data for file in _AS_THEY_ARE if (data := files.read(file)) is not None}
    return contents


def _weights(files: ModelFiles) -> dict[str, str]:
    return {file: str(path) for file in weight_files(files) if (path := files.here(file)) is not None}


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _lay_out(contents: Mapping[str, bytes], links: Mapping[str, str]) -> Path:
    digest = hashlib.sha256()
    for name, data in sorted({**contents, **{name: path.encode() for name, path in links.items()}}.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if os.path.isabs(home):
        place = Path(home) / "framegate" / "checkpoints"
        try:
            return _keep(place / digest.hexdigest()[:32], contents, links)
        except OSError:  # no room, or a home that cannot be written: then for this process alone
            pass
    folder = Path(tempfile.mkdtemp(prefix="framegate-checkpoint-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _fill(folder, contents, links)
    return folder


def _keep(folder: Path, contents: Mapping[str, bytes], links: Mapping[str, str]) -> Path:
    if _holds(folder, contents, links):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    half.mkdir(mode=0o700)
    try:
        _fill(half, contents, links)
        if folder.exists():  # half deleted, or changed: another process may read it, so it is moved and not emptied
            folder.rename(half.with_name(f"{half.name}.old"))
            shutil.rmtree(half.with_name(f"{half.name}.old"), ignore_errors=True)
        half.rename(folder)
    except OSError:
        shutil.rmtree(half, ignore_errors=True)
        if not _holds(folder, contents, links):  # else another process was quicker
            raise
    return folder


def _fill(folder: Path, contents: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    for name, path in links.items():
        (folder / name).symlink_to(path)


def _holds(folder: Path, contents: Mapping[str, bytes], links: Mapping[str, str]) -> bool:
    try:
        return (
            set(os.listdir(folder)) == {*contents, *links}
            and all(os.readlink(folder / name) == path for name, path in links.items())
            and all(
                not (folder / name).is_symlink() and (folder / name).read_bytes() == data
                for name, data in contents.items()
            )
        )
    except OSError:
        return False
