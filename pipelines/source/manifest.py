"""A table of videos: .parquet, .csv or .jsonl with a `uri` column; its other columns are kept as inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from framegate.pipelines.source.input_columns import plain_columns
from framegate.pipelines.store import Store
from framegate.schemas.errors import InputError

SUFFIXES = (".parquet", ".csv", ".jsonl")
BATCH_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`names` are the videos in order, relative paths resolved; row n of `inputs` holds the other columns of name n,
    with the prefix `input_`; it is None where there are none."""

    names: pa.ChunkedArray
    inputs: pa.Table | None

    def batches(self, num_rows: int) -> Iterator[list[str]]:
        """The names, so many at a time."""
        for start in range(0, len(self.names), num_rows):
            yield self.names.slice(start, num_rows).to_pylist()


def is_manifest(uri: str) -> bool:
    return uri.lower().endswith(SUFFIXES) and not any(char in uri for char in "*?[")


def read_manifest(store: Store, uri: str) -> Manifest:
    """Raises InputError, StorageError."""
    table = _parse(uri, store.read(uri))
    if "uri" not in table.column_names:
        raise InputError(f"the manifest {uri} has no column `uri`; it has {', '.join(table.column_names) or 'none'}")
    column = table.column("uri")
    chunks = [_names(uri, column.slice(start, BATCH_ROWS), start + 1) for start in range(0, table.num_rows, BATCH_ROWS)]
    names = pa.chunked_array(chunks, pa.string())
    if len(names.unique()) < len(names):
        raise InputError(_twice(uri, names))
    others = table.drop_columns(["uri"])
    return Manifest(names=names, inputs=plain_columns(others) if others.num_columns else None)


def _names(manifest: str, uris: pa.ChunkedArray, first_row: int) -> pa.Array:
    names = []
    for number, video in enumerate(uris.to_pylist(), start=first_row):
        if not isinstance(video, str) or not video.strip():
            raise InputError(f"the manifest {manifest} has no uri in row {number}, got {video!r}")
        names.append(_beside(manifest, video))
    return pa.array(names, pa.string())


def _twice(manifest: str, names: pa.ChunkedArray) -> str:
    seen: set[str] = set()
    for number, video in enumerate(names.to_pylist(), start=1):
        if video in seen:
            return f"the manifest {manifest} names {video} twice (row {number}); keep one row for each video"
        seen.add(video)
    raise AssertionError("all names differ")


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
