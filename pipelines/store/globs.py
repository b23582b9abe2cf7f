"""The objects that a glob matches, from a listing that starts at its fixed prefix and goes no deeper than the pattern.

fsspec's own `glob` collects all names before it gives the first one: a kilobyte for each of a million.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from fsspec.utils import glob_translate

from framegate.pipelines.store.backend import Backend
from framegate.pipelines.store.object_info import ObjectInfo, is_hidden

_MAGIC: Final = re.compile(r"[*?\[]")


def below(path: str) -> Callable[[str], bool]:
    """Whether a path matches a glob, or lies below a folder."""
    if not _MAGIC.search(path):
        return lambda other: other.startswith(path.rstrip("/") + "/")
    matches = re.compile(glob_translate(path)).match
    return lambda other: matches(other) is not None


def matching(backend: Backend, path: str) -> Iterator[ObjectInfo]:
    """Every object whose path a pattern matches; a star matches no leading dot."""
    if not _MAGIC.search(path):
        with suppress(FileNotFoundError):
            yield backend.stat(path)
        return
    root = path[: _MAGIC.search(path).start()].rpartition("/")[0]  # type: ignore[union-attr]
    parts = path[len(root) :].lstrip("/").split("/")
    matches = re.compile(glob_translate(path)).match
    depth = None if any("**" in part for part in parts) else len(parts)
    wants_hidden = any(part.startswith(".") for part in parts)
    for info in backend.list(root, depth=depth, hidden=wants_hidden):
        name = backend.path(info.uri)
        if matches(name) and (parts[-1].startswith(".") or not is_hidden(name.rpartition("/")[2])):
            yield info
