"""Where the rows of a query go: a file that is there whole or not at all, or standard output."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from framegate.schemas.errors import ConfigError, StorageError

SPOOL_BYTES = 64 * 2**20  # of what goes to standard output: beyond it, it is on disk until it is whole


def check_free(path: Path | None, *, is_forced: bool) -> None:
    """Raises ConfigError where a file is there that nobody said may be replaced."""
    if path is not None and re.match(r"[a-z][a-z0-9+.-]+:/", str(path)):  # a Path has one slash of two
        raise ConfigError(f"--out {path}: give a local file; copy it to where it has to be")
    if path is not None and path.is_file() and not is_forced:
        raise ConfigError(f"--out {path}: there is such a file; give another name, or --force to replace it")


@contextmanager
def open_sink(path: Path | None) -> Iterator[IO[bytes]]:
    """A stream to write into and to seek in. What is in it goes to `path`, or to standard output where that is None,
    once all went well; where not, nothing does. Raises StorageError."""
    if path is None or (path.exists() and not path.is_file()):  # such as /dev/stdout, which no file could replace
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            yield spool
            spool.seek(0)
            _copy(spool, path)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w+b") as file:
            yield file
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def _copy(spool: IO[bytes], path: Path | None) -> None:
    if path is None:
        sys.stdout.flush()
        shutil.copyfileobj(spool, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("wb") as device:
            shutil.copyfileobj(spool, device)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
