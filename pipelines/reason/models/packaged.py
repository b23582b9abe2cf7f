"""Which models are folders on this machine: those that a path names, and those that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

# Their names, and where their weights lie among the data of `framegate.pipelines`.
PACKAGED: Mapping[str, str] = MappingProxyType({"dock": "weights/dock"})


def model_folder(name: str) -> Path | None:
    """The folder of `name`; None where it is neither packaged nor an existing folder (a hub name, or a mistake)."""
    folder = Path(str(files("framegate.pipelines") / PACKAGED[name])) if name in PACKAGED else Path(name).expanduser()
    return folder if folder.is_dir() else None
