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
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.object_info import ObjectInfo, is_hidden

_MAGIC: Final = re.compile(r"[*?\[]")


def is_glob(name: str) -> bool:
    """Whether a name would be a pattern, were it not the name of something that is there."""
    return _MAGIC.search(name) is not None


def fixed_part(pattern: str) -> str:
    """The folder in which a glob begins to match, with its slash."""
    match = _MAGIC.search(pattern)
    return pattern if match is None else pattern[: pattern.rfind("/", 0, match.start()) + 1]


def below(path: str, *, is_pattern: bool) -> Callable[[str], bool]:
    """Whether a path matches a glob, or lies below a folder."""
    if not is_pattern:
        return lambda other: other.startswith(path if path.endswith("/") else path + "/")
    matches = re.compile(glob_translate(path)).match
    return lambda other: matches(other) is not None


def matching(backend: Backend, path: str, listing: Listing | None = None) -> Iterator[ObjectInfo]:
    """Every object whose path a pattern matches; a star matches no leading dot."""
    if not _MAGIC.search(path):
        with suppress(FileNotFoundError):
            yield backend.stat(path)
        return
    root = fixed_part(path)
    parts = path[len(root) :].split("/")
    matches = re.compile(glob_translate(path)).match
    depth = None if any("**" in part for part in parts) else len(parts)
    wants_hidden = any(part.startswith(".") for part in parts)
    seen = None if listing is None else listing.of_pattern()
    for info in backend.list(root, depth=depth, hidden=wants_hidden, listing=seen):
        name = backend.path(info.uri)
        if (
            matches(name)
            and not name.endswith("/")
            and (parts[-1].startswith(".") or not is_hidden(name.rpartition("/")[2]))
        ):
            yield info
    if listing is not None and seen is not None:
        listing.add_pattern(seen, matches)
