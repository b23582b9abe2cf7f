"""A table of videos: .parquet, .csv or .jsonl with a `uri` column; its other columns are kept as inputs.

Knows nothing of what the URIs hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from pipelines.store import Store
from schemas.errors import InputError

SUFFIXES = (".parquet", ".csv", ".jsonl")


def is_manifest(uri: str) -> bool:
    return uri.lower().endswith(SUFFIXES) and not any(char in uri for char in "*?[")


def read_manifest(store: Store, uri: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Each row's URI and other columns; relative paths count from the manifest. Raises InputError, StorageError."""
    table = _parse(uri, store.read(uri))
    if "uri" not in table.column_names:
        raise InputError(f"the manifest {uri} has no column `uri`; it has {', '.join(table.column_names) or 'none'}")
    seen: set[str] = set()
    for number, row in enumerate(table.to_pylist(), start=1):
        video = row.pop("uri")
        if not isinstance(video, str) or not video.strip():
            raise InputError(f"the manifest {uri} has no uri in row {number}, got {video!r}")
        video = _beside(uri, video)
        if video in seen:
            raise InputError(f"the manifest {uri} names {video} twice (row {number}); keep one row for each video")
        seen.add(video)
        yield video, row


def _parse(uri: str, data: bytes) -> pa.Table:
    source = pa.BufferReader(data)
    try:
        if uri.lower().endswith(".parquet"):
            return pyarrow.parquet.ParquetFile(source).read()
        if uri.lower().endswith(".csv"):
            return pyarrow.csv.read_csv(source)
        return pyarrow.json.read_json(source)
    except (pa.ArrowInvalid, OSError) as error:
        first = " ".join(str(error).split())
        raise InputError(f"the manifest {uri} cannot be read as {uri.rsplit('.', 1)[-1]}: {first}") from error


def _beside(manifest: str, video: str) -> str:
    if "://" in video or os.path.isabs(video):
        return video
    if "://" in manifest:
        return f"{manifest.rsplit('/', 1)[0]}/{video}"
    return os.path.normpath(os.path.join(os.path.dirname(manifest), video))
