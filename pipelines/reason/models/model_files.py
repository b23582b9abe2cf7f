"""The files of a checkpoint: where they lie, and which of them may be opened.

Regular files alone are opened, inside the checkpoint's folder. Links lead to other files of that folder; those of a
snapshot in the hub's cache lead into its `blobs`. Whatever else bears a known name (a FIFO, a device, a folder, a link
out) is refused by name, and nothing of it is opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from framegate.pipelines.reason.models.packaged import PACKAGED, model_folder
from framegate.pipelines.reason.models.plain_json import parse_mapping
from framegate.schemas.errors import EngineError

CONFIG: Final = "config.json"
MAX_BYTES: Final = {
    CONFIG: 4 << 20,  # those of quantized models list their layers: some 100 KB
    "tokenizer.json": 64 << 20,  # 11 MB for the families' 151,000 tokens
    "vocab.json": 32 << 20,
    "merges.txt": 32 << 20,
    "model.safetensors.index.json": 16 << 20,
}
_OTHERS_MAX_BYTES: Final = 4 << 20
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class ModelFiles:
    """The files of a checkpoint folder, or of one commit of a hub model.

    Raises EngineError where there is no such model, or it has no config.json.
    """

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.name = name
        folder = model_folder(name)
        self.is_hub = folder is None
        self.folder = _snapshot(name, revision) if folder is None else Path(os.path.realpath(folder))
        if self.here(CONFIG) is None:
            raise EngineError(f"model folder '{name}' holds no {CONFIG}: it is not a complete checkpoint")

    def here(self, file: str) -> Path | None:
        """Where a file that is on this machine lies, links followed; None where there is none. Raises EngineError."""
        return _locate(self.name, self.folder, file)

    def find(self, file: str) -> Path | None:
        """A small file, fetched where the hub's is not cached; None where the model has none. Raises EngineError."""
        path = self.here(file)
        if path is not None or not self.is_hub:
            return path
        commit = self.folder.name
        known = try_to_load_from_cache(self.name, file, revision=commit)
        if known is not None and not isinstance(known, str):
            return None  # it is known that there is none
        try:
            hf_hub_download(self.name, file, revision=commit)
        except (EntryNotFoundError, LocalEntryNotFoundError):
            return None  # the hub has none, or is away: then an engine here has none either
        except (OSError, HfHubHTTPError) as error:
            first = str(error).strip().partition("\n")[0]
            raise EngineError(
                f"{file} of model '{self.name}' is neither cached nor found on the hub: {first}"
            ) from error
        return self.here(file)

    def read(self, file: str) -> bytes | None:
        """The bytes of a small file; None where the model has none. Raises EngineError, also for one too large."""
        path = self.find(file)
        if path is None:
            return None
        limit = MAX_BYTES.get(file, _OTHERS_MAX_BYTES)
        try:
            with open_regular(path) as opened:
                data = opened.read(limit + 1)
        except OSError as error:
            raise EngineError(f"the {file} of model '{self.name}' cannot be read: {error.strerror}") from error
        if len(data) > limit:
            raise EngineError(f"the {file} of model '{self.name}' has more than {limit >> 20} MiB, which none needs")
        return data

    def mapping(self, file: str) -> dict[str, Any] | None:
        """What a small file of JSON holds; None where the model has none. Raises EngineError."""
        data = self.read(file)
        if data is None:
            return None
        try:
            return parse_mapping(data)
        except ValueError as error:
            raise EngineError(f"the {file} of model '{self.name}' {error}") from None

    def config(self) -> dict[str, Any]:
        """What config.json holds. Raises EngineError."""
        found = self.mapping(CONFIG)
        assert found is not None, "looked for when this object was made"
        return found

    def names(self) -> Sequence[str]:
        """The names in the folder, sorted. Raises EngineError."""
        try:
            return sorted(os.listdir(self.folder))
        except OSError as error:
            raise EngineError(f"model folder '{self.name}' cannot be listed: {error.strerror}") from error


def open_regular(path: Path) -> Any:
    """A regular file, open for reading bytes, and nothing else: a FIFO is not waited for. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def _snapshot(name: str, revision: str | None) -> Path:
    """The folder of one commit of a hub model, whose config.json is fetched where it is not cached."""
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EngineError(
            f"model '{name}' is not a folder; give a checkpoint folder, a hub name such as org/name, or one that comes"
            f" with the package: {', '.join(PACKAGED)}"
        )
    if revision is not None and not _REVISION.fullmatch(revision):
        raise EngineError(f"model.revision must be a branch, a tag or a commit of the hub, got {revision[:64]!r}")
    try:
        return Path(hf_hub_download(name, CONFIG, revision=revision)).parent
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise EngineError(f"model '{name}' is neither a folder nor found on the hub: {reason}") from error


def _locate(name: str, folder: Path, file: str) -> Path | None:
    if os.path.basename(file) != file or file in ("", ".", "..") or "\0" in file:
        raise EngineError(f"model '{name}' names the file {file[:100]!r}, which does not lie in its folder")
    try:
        path = Path(os.path.realpath(folder / file, strict=True))
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        if os.path.lexists(folder / file):
            raise EngineError(f"the {file} of model '{name}' is a link to a file that is not there") from error
        return None
    except OSError as error:
        raise EngineError(f"the {file} of model '{name}' cannot be opened: {error.strerror}") from error
    if path.parent not in _places(folder):
        raise EngineError(
            f"the {file} of model '{name}' is a link out of its folder, which is not followed; copy the file there, or"
            " name the folder where it lies"
        )
    if not stat.S_ISREG(mode):
        raise EngineError(f"the {file} of model '{name}' is {_kind(mode)}, and must be a regular file")
    return path


def _places(folder: Path) -> set[Path]:
    """Where the files of a folder may lie: in it, or beside it in the blobs of the hub's cache."""
    real = Path(os.path.realpath(folder))
    is_snapshot = real.parent.name == "snapshots" and real.parent.parent.name.startswith("models--")
    return {real, real.parent.parent / "blobs"} if is_snapshot else {real}


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
