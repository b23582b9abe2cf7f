"""Whether a sealed file has the content that its seal gave it, or that an erasure since then put in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from framegate.pipelines.commit.seal_log import SealedFile
from framegate.pipelines.erase.records import Note
from framegate.pipelines.store import ObjectInfo, Store

_CHUNK_BYTES: Final = 8 * 2**20


def replacements(
    file: SealedFile, info: ObjectInfo, num_rows: int, digest: str | None, notes: Sequence[Note]
) -> list[Note] | None:
    """What erasures did to it, in order; empty where it is as it was sealed, None where neither explains what is there.

    `digest` None: rows and size alone are compared, and an erasure is told by the number of rows that it left.
    """
    if num_rows == file.num_rows and info.size_bytes == file.size_bytes and digest in (None, file.sha256):
        return []
    ours = [note for note in notes if note.file == file.uri]
    waiting: list[tuple[str | None, list[Note]]] = [(file.sha256, [])]
    seen: set[str | None] = set()
    while waiting:
        here, steps = waiting.pop(0)
        if steps and steps[-1].rows_after == num_rows and digest in (None, here):
            return steps
        if here not in seen:
            seen.add(here)
            waiting += [(note.sha256_after, [*steps, note]) for note in ours if note.sha256_before == here]
    return None


def difference(file: SealedFile, info: ObjectInfo, num_rows: int, digest: str | None) -> str:
    """One sentence on a file that nothing explains."""
    what = f"{num_rows:,} rows and {info.size_bytes:,} bytes" + (f" with sha256 {digest}" if digest else "")
    was = f"{file.num_rows:,} rows and {file.size_bytes:,} bytes" + (f" with {file.sha256}" if digest else "")
    return f"{file.uri} has {what}, and was sealed with {was}; no erasure replaced it: bring it back from a copy"


def sha256_of(store: Store, uri: str) -> str:
    """Of the bytes on storage, some MiB in memory at a time. Raises StorageError, OSError."""
    digest = hashlib.sha256()
    with store.open_read(uri) as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
