"""Which models are folders on this machine: those that a path names, and those that come with the package."""

from __future__ import annotations

from pathlib import Path

PACKAGED = {"dock": Path(__file__).parents[2] / "weights" / "dock"}


def model_folder(name: str) -> Path | None:
    """The folder of `name`; None where it is neither packaged nor an existing folder (a hub name, or a mistake)."""
    folder = PACKAGED.get(name) or Path(name).expanduser()
    return folder if folder.is_dir() else None
