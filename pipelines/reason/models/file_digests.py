"""The SHA-256 of large files, which is worked out once: until a file changes, it is remembered.

A file is the same as long as its device, inode, size and both of its times are: a change that keeps all of them has set
the machine's clock back on purpose. What is remembered lies in $XDG_CACHE_HOME/framegate/digests (~/.cache by default),
one small file for each; where that cannot be written, files are read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

REMEMBERED_BYTES: Final = 16 << 20  # smaller files are read in some milliseconds
THREADS: Final = 4  # hashing runs without the interpreter's lock


def digest_files(paths: Sequence[Path]) -> list[str]:
    """64 hex digits for each file, in order. Raises OSError."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(digest_file, paths))


def digest_file(path: Path) -> str:
    """64 hex digits. Raises OSError."""
    found = os.stat(path)
    note = _note_of(found) if found.st_size >= REMEMBERED_BYTES else None
    if note is not None and (known := _read(note)) is not None:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if note is not None and _note_of(os.stat(path)) == note:  # else it was changed while it was read
        _remember(note, digest)
    return digest


def _note_of(found: os.stat_result) -> Path | None:
    """None where this user has no home: a relative path would lead into whatever folder the run was started in."""
    key = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(home):
        return None
    return Path(home) / "framegate" / "digests" / hashlib.sha256(key.encode()).hexdigest()[:32]


def _read(note: Path) -> str | None:
    try:
        text = note.read_text()
    except (OSError, UnicodeDecodeError):  # none yet, or not ours to read: the file itself says the same
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None


def _remember(note: Path, digest: str) -> None:
    with suppress(OSError):  # no room, or a home that cannot be written: the next run reads the file again
        note.parent.mkdir(parents=True, exist_ok=True)
        half = note.with_name(f".{note.name}.{uuid.uuid4().hex}")
        half.write_text(digest)
        half.replace(note)
