"""A sealed file as an audit found it; by its record alone where the listing says that it is the recorded one."""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from framegate.pipelines.audit.file_history import FileHistory
from framegate.pipelines.audit.report import Check
from framegate.pipelines.audit.unknown_objects import SEALED_NAME
from framegate.pipelines.commit.growth import Mark
from framegate.pipelines.store import ObjectInfo, Store
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.counts import Counts
from framegate.schemas.errors import CredentialsError, FramegateError, ObjectNotFound

_MAGIC = b"PAR1"  # pyarrow reads the footer, and does not look at the beginning


@dataclass(frozen=True)
class FoundFile:
    """What one version of a file holds; `sha256` is None in a quick audit, and `counts`, by number of a run, empty."""

    mark: Mark
    num_rows: int
    size_bytes: int
    sha256: str | None = None
    counts: Mapping[int, Counts] = field(default_factory=dict)


class ChangedMeanwhile(Exception):
    """A file was replaced while it was read."""


def was_replaced(error: Exception) -> bool:
    """Whether a read ended with this error because another version took the file's place."""
    return isinstance(error, ObjectNotFound) or getattr(error, "errno", None) == errno.ESTALE


def number_of(name: str) -> int:
    """Of the seal that began the file; 0 where the name has none."""
    match = SEALED_NAME.fullmatch(name)
    return int(match.group(3)) if match else 0


def look_at(check: Check, store: Store, info: ObjectInfo, name: str, history: FileHistory | None) -> FoundFile | None:
    """A listed file. Its footer is read only where no record has it with this size: an erasure or a seal that is under
    way may have replaced it. None, and a finding, where it cannot be read. Raises ChangedMeanwhile, StorageError."""
    if history is not None and history.last.file.size_bytes == info.size_bytes:
        last = history.last
        mark = Mark(seal=last.seal, num_new_rows=last.file.num_new_rows)
        return FoundFile(mark, last.file.num_rows, info.size_bytes)
    try:
        with store.open_read(info.uri) as source:
            if source.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("it does not begin as Parquet")
            metadata = pq.ParquetFile(source).metadata
            mark = Mark.of(metadata, number=number_of(name))
            return FoundFile(mark, metadata.num_rows, source.seek(0, io.SEEK_END))
    except CredentialsError:
        raise
    except (*PARQUET_ERRORS, ValueError, FramegateError) as error:
        if was_replaced(error):
            raise ChangedMeanwhile from error
        check.find(f"{name} cannot be read ({first_line(error)}): bring it back from a copy")
        return None


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
