"""Many JSON documents in one compressed object, of which a new version takes the old one's place as a whole."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.errors import StorageError, VersionChanged
from framegate.schemas.json_object import load_json

_DOCUMENTS: Final = "records"
MAX_UNPACKED_BYTES: Final = 2**28  # more than a hundred thousand records of runs


def encode_documents(documents: Iterable[Mapping[str, Any]], **about: Any) -> bytes:
    """The same documents give the same bytes. `about`: fields beside the list."""
    value = {**about, _DOCUMENTS: [dict(document) for document in documents]}
    return gzip.compress(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)


def parse_documents(uri: str, data: bytes, *, what: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The documents, and the fields beside them. Raises StorageError where the object is no `what`, as it should be."""
    try:
        about = load_json(_unpack(data))
        documents = about.pop(_DOCUMENTS)
        if not all(isinstance(document, dict) for document in documents):
            raise ValueError("what it lists are no mappings")
        return documents, about
    except (OSError, EOFError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{uri} is no {what} ({error!r}); {NOT_OURS}") from error


def _unpack(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
        text = packed.read(MAX_UNPACKED_BYTES + 1)
    if len(text) > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    return text


def put_version(store: Store, uri: str, data: bytes, version: str | None) -> bool:
    """Puts the next version of an object in the place of `version`; None: there is none yet. False where another
    process was first. Raises StorageError."""
    if version is None:
        return store.put_once(uri, data).is_ours
    try:
        store.replace(uri, data, if_match=version)
    except VersionChanged:
        return False
    return True
