"""A table of videos: .parquet, .csv, .tsv or .jsonl with a `uri` column; its other columns are kept as inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet
import pyarrow.types as pt

from framegate.pipelines.source.column_values import MAX_DEPTH, Unfit, depth_of, from_arrow, from_texts, guess_type
from framegate.pipelines.source.csv_table import parse_csv
from framegate.pipelines.source.jsonl_table import parse_jsonl
from framegate.pipelines.source.raw_table import BATCH_ROWS, NoTable, RawColumn, RawTable, check_names
from framegate.pipelines.source.signed_values import without_signatures
from framegate.pipelines.source.time_texts import look_like
from framegate.pipelines.store import Store
from framegate.schemas.column_types import TIMESTAMP, column_word
from framegate.schemas.errors import InputError
from framegate.schemas.escape import escape
from framegate.schemas.tables import INPUT_PREFIX
from framegate.schemas.uris import public, split_access, without_query

MAX_ROWS: Final = 50_000_000
SUFFIXES: Final = (".parquet", ".csv", ".tsv", ".jsonl")
URI: Final = "uri"
_SHOWN_CHARACTERS: Final = 80  # of a value that does not fit


@dataclass(frozen=True, kw_only=True)
class ColumnTypes:
    """What is known of a manifest's columns before it is read.

    fixed      types that the output has for them since their first values
    declared   types that the job declares
    times      columns whose times are needed: to partition by, or for when videos began
    zone       of times that name none
    """

    fixed: Mapping[str, pa.DataType] = field(default_factory=dict)
    declared: Mapping[str, pa.DataType] = field(default_factory=dict)
    times: frozenset[str] = frozenset()
    zone: tzinfo = UTC

    def known(self, name: str) -> pa.DataType | None:
        return self.fixed.get(name, self.declared.get(name))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`names` are the videos in order, relative paths resolved; row n of `inputs` holds the other columns of name n,
    with the prefix `input_`; it is None where there are none. A column without any value has the type of nulls."""

    names: pa.ChunkedArray
    inputs: pa.Table | None

    def batches(self, num_rows: int) -> Iterator[list[str]]:
        """The names, so many at a time."""
        for start in range(0, len(self.names), num_rows):
            yield self.names.slice(start, num_rows).to_pylist()


def is_manifest(uri: str) -> bool:
    """Whether the name is that of a manifest, should it be there."""
    return without_query(uri).lower().endswith(SUFFIXES)


def read_manifest(store: Store, uri: str, types: ColumnTypes | None = None) -> Manifest:
    """Raises InputError, which names row and value, for what does not fit; StorageError."""
    types, shown = types or ColumnTypes(), public(uri)
    try:
        table = _parse(without_query(uri), store.read(uri))
        columns = table.columns if isinstance(table, RawTable) else _columns_of(table)
        if URI not in columns:
            raise NoTable(f"it has no column `uri`; it has {', '.join(map(repr, columns)) or 'none'}")
        names = _read_names(uri, columns[URI])
    except (NoTable, pa.ArrowException, OSError) as error:
        words = escape(" ".join(str(error).split()))
        kind = without_query(uri).rsplit(".", 1)[-1]
        raise InputError(f"the manifest {shown} cannot be read as {kind}: {words}") from None
    others = {name: column for name, column in columns.items() if name != URI}
    arrays = [_typed(shown, name, column, types) for name, column in others.items()]
    inputs = pa.table(arrays, names=[INPUT_PREFIX + name for name in others]) if others else None
    return Manifest(names=names, inputs=inputs)


def _parse(uri: str, data: bytes) -> RawTable | pa.Table:
    """Raises NoTable, ArrowException, OSError."""
    name = uri.lower()
    if name.endswith(".parquet"):
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > MAX_ROWS:  # a few kilobytes may stand for billions of equal rows
            raise NoTable(f"it has {file.metadata.num_rows:,} rows, and {MAX_ROWS:,} is the most; split it")
        check_names(file.schema_arrow.names)
        for column in file.schema_arrow:
            if depth_of(column.type) > MAX_DEPTH:
                raise NoTable(f"its column '{column.name}' is nested deeper than {MAX_DEPTH} levels")
        return file.read()
    return parse_jsonl(data) if name.endswith(".jsonl") else parse_csv(data, URI)


def _columns_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _read_names(manifest: str, column: RawColumn | pa.ChunkedArray) -> pa.ChunkedArray:
    """Raises InputError where a name is missing or stands twice. What may not be looked up is judged by `allowed`."""
    uris = column.texts if isinstance(column, RawColumn) else column
    shown, seen, chunks = public(manifest), set[str](), []
    for start in range(0, len(uris), BATCH_ROWS):
        names = []
        for number, video in enumerate(uris.slice(start, BATCH_ROWS).to_pylist(), start=start + 1):
            names.append(_name(manifest, number, video))
            known = split_access(names[-1])[0]
            if known in seen:
                raise InputError(
                    f"the manifest {shown} names {escape(public(known))} twice (row {number}); keep one row for each"
                    " video" + (", which is known by its URL without the query" if known != names[-1] else "")
                )
            seen.add(known)
        chunks.append(pa.array(names, pa.string()))
    return pa.chunked_array(chunks, pa.string())


def _name(manifest: str, number: int, video: Any) -> str:
    if not isinstance(video, str) or not video.strip():
        raise InputError(
            f"the manifest {public(manifest)} has no uri in row {number}, got {escape(repr(video)[:_SHOWN_CHARACTERS])}"
        )
    if "://" in video:
        video = video.strip()  # no name of storage begins or ends with a blank, and this is not to become a local one
    return _beside(manifest, video)


def _beside(manifest: str, video: str) -> str:
    if "://" in video or os.path.isabs(video):
        return video
    if "://" in manifest:
        return f"{split_access(manifest)[0].rsplit('/', 1)[0]}/{video}"
    return os.path.normpath(os.path.join(os.path.dirname(manifest), video))


def _typed(manifest: str, name: str, column: RawColumn | pa.ChunkedArray, types: ColumnTypes) -> pa.ChunkedArray:
    """Raises InputError for the first value that does not fit the column's type."""
    known = types.known(name)
    try:
        if isinstance(column, RawColumn):
            data_type = known or _time_type(name, column.texts, types) or guess_type(column)
            values = from_texts(column, data_type, types.zone, is_declared=name in types.declared)
        else:
            is_text = pt.is_string(column.type) or pt.is_large_string(column.type)
            data_type = known or (_time_type(name, column, types) if is_text else None)
            values = from_arrow(column, data_type, types.zone)
        if name in types.times and pt.is_string(values.type):  # of an older output; their times are needed
            from_arrow(values, TIMESTAMP, types.zone)
        return without_signatures(values)
    except Unfit as error:
        shown = escape(str(error.value))
        shown = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
        raise InputError(
            f"the manifest {manifest} has '{shown}' in row {error.row} of the column '{escape(name)}', which"
            f" {_why(name, known, types)}; give {error.expected}, or leave it empty"
        ) from None


def _time_type(name: str, texts: pa.ChunkedArray, types: ColumnTypes) -> pa.DataType | None:
    """Of a new column of texts whose times are needed."""
    if name not in types.times or texts.null_count == len(texts):
        return None
    return look_like(texts) or TIMESTAMP


def _why(name: str, known: pa.DataType | None, types: ColumnTypes) -> str:
    if name in types.fixed:
        return f"is {column_word(types.fixed[name])} in this output since its first value"
    if known is not None:
        return f"input.columns declares as {column_word(known)}"
    return "output.partition_by or input.started_at takes for times"
