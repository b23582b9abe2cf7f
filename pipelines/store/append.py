"""Appending row groups to a Parquet file, so that each version of it is a prefix of the next one.

    PAR1  row groups, page indexes, footer 1   row groups, page indexes, footer 2   ...
    |---------- the old file, whole --------|
    |------------------------ the new file, whole ------------------------------|

Footer 2 lists row groups of both parts. Who holds the old size and the old footer goes on reading exactly the old rows
out of the new file. What footer 2 does not list is dead: footer 1, and row groups that were written again.

Parquet's writers cannot begin at an offset. So the new row groups are written as a file of their own, and everything in
it that counts from its first byte is shifted: chunks and pages in the footer, pages in the offset indexes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.store.thrift import (
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    ThriftList,
    decode_struct,
    encode_struct,
)

_MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 8  # the footer's length and the magic number
# Fields of parquet.thrift.
_SCHEMA, _NUM_ROWS, _ROW_GROUPS = 2, 3, 4
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_OFFSET, _CHUNK_METADATA = 2, 3
_OFFSET_INDEX, _OFFSET_INDEX_LENGTH, _COLUMN_INDEX, _COLUMN_INDEX_LENGTH = 4, 5, 6, 7
_CHUNK_BYTES = 7
_PAGE_OFFSETS: Final = (9, 10, 11)  # of the first data page, index page and dictionary page
_BLOOM_FILTER: Final = 14
_PAGE_LOCATIONS, _PAGE_OFFSET = 1, 1


@dataclass(frozen=True)
class Layout:
    """How many bytes of a file a reader of it can meet, footer included, and how many it cannot."""

    live_bytes: int
    dead_bytes: int


class DifferentColumns(ValueError):
    """The files have not the same columns, word by word, so that one footer cannot speak for both."""


def append_row_groups(old: bytes, new: bytes, *, num_kept: int) -> bytes:
    """The file `old`, whole, and after it the row groups of the file `new`.

    The footer lists the first `num_kept` row groups of `old` and all of `new`, and has the metadata of `new`. Both are
    Parquet files without bloom filters. Raises DifferentColumns, ValueError where one of them is no such file.
    """
    before, _ = _read_footer(old)
    footer, footer_start = _read_footer(new)
    if before[_SCHEMA] != footer[_SCHEMA]:
        raise DifferentColumns("the files to be joined differ in their columns")
    kept, added = _items(before, _ROW_GROUPS)[:num_kept], _items(footer, _ROW_GROUPS)
    pages_end = _pages_end(added, footer_start)
    indexes = bytearray()
    for group in added:
        _shift_pages(group, len(old))
    for group in added:
        _move_column_indexes(new, group, len(old) + pages_end, indexes)
    for group in added:
        _move_offset_indexes(new, group, len(old), len(old) + pages_end, indexes)
    for ordinal, group in enumerate(groups := [*kept, *added]):
        if _ORDINAL in group:
            group[_ORDINAL] = I16, ordinal
    footer[_ROW_GROUPS] = LIST, ThriftList(STRUCT, groups)
    footer[_NUM_ROWS] = I64, sum(group[3][1] for group in groups)
    encoded = encode_struct(footer)
    return b"".join((old, memoryview(new)[:pages_end], indexes, encoded, struct.pack("<I", len(encoded)), _MAGIC))


def measure(data: bytes) -> Layout:
    """Raises ValueError where `data` is no Parquet file."""
    footer, start = _read_footer(data)
    live = len(data) - start + len(_MAGIC)
    for group in _items(footer, _ROW_GROUPS):
        for chunk in _items(group, _COLUMNS):
            live += chunk[_CHUNK_METADATA][1][_CHUNK_BYTES][1]
            live += sum(chunk[field][1] for field in (_OFFSET_INDEX_LENGTH, _COLUMN_INDEX_LENGTH) if field in chunk)
    return Layout(live_bytes=live, dead_bytes=len(data) - live)


def _read_footer(data: bytes) -> tuple[Struct, int]:
    """The footer, and where it starts."""
    if len(data) < 12 or data[-4:] != _MAGIC:
        raise ValueError("no Parquet file: it does not end as one")
    (length,) = struct.unpack("<I", data[-_TAIL_BYTES:-4])
    start = len(data) - _TAIL_BYTES - length
    if start < len(_MAGIC):
        raise ValueError("no Parquet file: its footer is longer than the file")
    return decode_struct(data[start:-_TAIL_BYTES]), start


def _items(holder: Struct, field: int) -> list[Any]:
    return holder[field][1].items if field in holder else []


def _pages_end(groups: list[Struct], footer_start: int) -> int:
    """Where the pages end: page indexes, if there are some, and the footer follow."""
    starts = [footer_start]
    for group in groups:
        for chunk in _items(group, _COLUMNS):
            starts += [chunk[field][1] for field in (_OFFSET_INDEX, _COLUMN_INDEX) if field in chunk]
            if _BLOOM_FILTER in chunk[_CHUNK_METADATA][1]:
                raise ValueError("a file with bloom filters cannot be appended")
    return min(starts)


def _shift_pages(group: Struct, shift: int) -> None:
    if _GROUP_OFFSET in group:
        group[_GROUP_OFFSET] = I64, group[_GROUP_OFFSET][1] + shift
    for chunk in _items(group, _COLUMNS):
        if offset := chunk[_CHUNK_OFFSET][1]:  # 0 where the writer says nothing
            chunk[_CHUNK_OFFSET] = I64, offset + shift
        metadata: Struct = chunk[_CHUNK_METADATA][1]
        for field in _PAGE_OFFSETS:
            if field in metadata:
                metadata[field] = I64, metadata[field][1] + shift


def _move_column_indexes(data: bytes, group: Struct, first: int, indexes: bytearray) -> None:
    """Adds them, as they are, to the `indexes` that lie in the new file from its byte `first` on."""
    for chunk in _items(group, _COLUMNS):
        if _COLUMN_INDEX in chunk:
            start = chunk[_COLUMN_INDEX][1]
            chunk[_COLUMN_INDEX] = I64, first + len(indexes)
            indexes += data[start : start + chunk[_COLUMN_INDEX_LENGTH][1]]


def _move_offset_indexes(data: bytes, group: Struct, shift: int, first: int, indexes: bytearray) -> None:
    """The same of offset indexes, whose pages have moved by `shift`."""
    for chunk in _items(group, _COLUMNS):
        if _OFFSET_INDEX in chunk:
            index = decode_struct(data, chunk[_OFFSET_INDEX][1])
            for page in _items(index, _PAGE_LOCATIONS):
                page[_PAGE_OFFSET] = I64, page[_PAGE_OFFSET][1] + shift
            encoded = encode_struct(index)
            chunk[_OFFSET_INDEX] = I64, first + len(indexes)
            chunk[_OFFSET_INDEX_LENGTH] = I32, len(encoded)
            indexes += encoded
