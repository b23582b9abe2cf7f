"""Our Parquet files: encoded, read back, parsed, and read by ranges.

A file is encoded in memory and read back before it is handed out, so that no object is ever put that cannot be read.
An erasure may replace a file while another process reads ranges of it. The reader then meets the footer of one version
and the bytes of another, and begins again (`read_parquet`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.store.store import Store
from framegate.schemas.errors import StorageError

MAX_READS: Final = 3
"""How often a file is read that turns out broken: each time an erasure may have replaced it meanwhile."""

PARQUET_ERRORS: Final = (pa.ArrowException, OSError, KeyError)
"""What pyarrow raises of a file that is not one of ours; KeyError where a column is missing."""

OURS: Final = "whole Parquet file of ours"
NOT_OURS: Final = "was it written by something else?"

_Result = TypeVar("_Result")


def encode_parquet(table: pa.Table, *, row_group_rows: int | None = None, **options: Any) -> bytes:
    """The table as one Parquet file. The same table and options give the same bytes.

    `options` are those of `pyarrow.parquet.write_table` (default: zstd, with a page index). Raises StorageError where
    the file does not read back as the table.
    """
    sink = pa.BufferOutputStream()
    settings = {"compression": "zstd", "write_page_index": True, **options}
    pq.write_table(table, sink, row_group_size=row_group_rows, **settings)
    buffer = sink.getvalue()
    back = pq.ParquetFile(pa.BufferReader(buffer)).read()
    if back.num_rows != table.num_rows or not back.schema.equals(table.schema):
        raise StorageError(f"a table of {table.num_rows} rows did not read back as it was written; nothing was stored")
    return buffer.to_pybytes()


def encode_row_groups(
    row_groups: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    metadata: Mapping[str, str] | None = None,
    is_checked: bool = True,
    **options: Any,
) -> bytes:
    """One Parquet file of tables in `schema`, one row group each, which need not fit into memory together.

    `metadata` are texts for the footer. `options` are those of `pyarrow.parquet.ParquetWriter`. With `is_checked` every
    page is read back once, a row group at a time, against its checksum. Raises StorageError where it is not whole.
    """
    sink = pa.BufferOutputStream()
    num_rows = 0
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for table in row_groups:
            num_rows += table.num_rows
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
        if metadata:
            writer.add_key_value_metadata(dict(metadata))
    buffer = sink.getvalue()
    if is_checked:
        _check_row_groups(buffer, schema, num_rows)
    return buffer.to_pybytes()


def _check_row_groups(buffer: pa.Buffer, schema: pa.Schema, num_rows: int) -> None:
    try:
        file = pq.ParquetFile(pa.BufferReader(buffer), page_checksum_verification=True)
        found = sum(file.read_row_group(n).num_rows for n in range(file.num_row_groups))
        is_whole = found == file.metadata.num_rows == num_rows and file.schema_arrow.equals(schema)
    except PARQUET_ERRORS as error:
        raise StorageError(
            f"a sealed file of {num_rows} rows cannot be read back ({error}); nothing was stored"
        ) from error
    if not is_whole:
        raise StorageError(f"a sealed file of {num_rows} rows did not read back as it was written; nothing was stored")


@contextmanager
def one_of_ours(uri: str, *, what: str = OURS, cure: str = NOT_OURS) -> Iterator[None]:
    """What pyarrow raises in here becomes a StorageError: the object at `uri` is no `what`, and what to do about it."""
    try:
        yield
    except PARQUET_ERRORS as error:
        raise StorageError(f"{uri} is no {what} ({error}); {cure}") from error


def parse_parquet(
    uri: str,
    data: bytes,
    columns: Sequence[str] | None = None,
    *,
    use_threads: bool = True,
    what: str = OURS,
    cure: str = NOT_OURS,
    **options: Any,
) -> pa.Table:
    """All rows of an object that was read whole. `options` are those of `pyarrow.parquet.ParquetFile`. Raises
    StorageError, in the words of `one_of_ours`."""
    with one_of_ours(uri, what=what, cure=cure):
        file = pq.ParquetFile(pa.BufferReader(data), **options)
        return file.read(columns=None if columns is None else [*columns], use_threads=use_threads)


def read_parquet(store: Store, uri: str, read: Callable[[pq.ParquetFile], _Result], **options: Any) -> _Result:
    """What `read` finds in a file that it reads by ranges. `options` are those of `pyarrow.parquet.ParquetFile`.

    `read` is called again, MAX_READS times at most, where the file turns out broken: an erasure may have replaced it
    meanwhile. Raises ObjectNotFound, StorageError.
    """
    for num_reads_left in reversed(range(MAX_READS)):
        try:
            with store.open_read(uri) as file:
                return read(pq.ParquetFile(file, **options))
        except PARQUET_ERRORS as error:
            if num_reads_left == 0:
                raise StorageError(f"{uri} is no {OURS} ({error}); {NOT_OURS}") from error
    raise AssertionError("the last read returns or raises")


def read_columns(store: Store, uri: str, columns: Sequence[str], **options: Any) -> pa.Table:
    """Some columns of a file, all rows. Raises ObjectNotFound, StorageError."""
    return read_parquet(store, uri, lambda file: file.read(columns=[*columns]), **options)
