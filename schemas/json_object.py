"""JSON of which every reader sees the same: a key that stands twice in an object is an error, and not the last one."""

from __future__ import annotations

import json
from typing import Any


def load_json(data: bytes | str) -> Any:
    """Raises ValueError for what is no JSON, and for a key that stands twice; RecursionError where it is too deep."""
    return json.loads(data, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found
