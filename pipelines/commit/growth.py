"""A sealed file's versions: each has the rows of one more seal at its end, and is marked with the number of that seal.

    version   row groups, each sorted                    who wrote it
    1         [ 400 rows ]                               seal 7 began the file
    2         [ 400 rows ][ 380 rows ]                   seal 8
    3         [ 780 rows ][ 410 rows ]                   seal 9: it wrote the first two again as one

A version is the one before it, whole, with row groups and a footer appended (`pipelines.store.append`), so that a
reader in the middle of the old version goes on reading it out of the new one. Small row groups are merged as they come
to as many rows as what follows them: there are never more than about log2 of the number of seals, and each row is
written about that often. What is written again stays in the file as dead bytes, as old footers do. Where these come to
more than the living (of clips to a quarter of them), or fill the file up, the version is a clean one without them,
which is no prefix of the next. So is one that gives the file columns that it lacked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.sealed_columns import align, has_columns
from framegate.pipelines.commit.sealed_parquet import ROW_GROUP_ROWS, encode_sealed, group_rows, in_order, sort_order
from framegate.pipelines.store.append import DifferentColumns, append_row_groups, measure

MAX_DEAD_BYTES: Final = 256 * 2**10
"""So many dead bytes are always fine: most are footers, of 15 kB and more, and a clean version is no prefix."""

MIN_LIVE_PARTS: Final = {"clips": 4}
"""By table, how many times as many living bytes as dead ones there are at least. Pictures are most of an output."""

_KEY: Final = "framegate_seal"
_COMPLETED_KEY: Final = "framegate_completed"
_RESERVED: Final = -1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a file says of the last seal that wrote to it: its number, and how many of the last rows are its own.

    sha256_before   of the version that the seal added to; None where it began the file
    sha256_sealed   of the version that the seal made, where an erasure has taken rows out of it since
    nonce           of a name that is reserved for a seal that has not written to it yet: no two reservations have the
                    same bytes, so that none is taken for another
    completed       of a seal that completed rows: what has changed (`commit.completion.Changes`). A metadata key of its
                    own, since earlier versions refuse a mark with more in it
    """

    seal: int
    num_new_rows: int
    sha256_before: str | None = None
    sha256_sealed: str | None = None
    nonce: str | None = None
    completed: Mapping[str, Any] | None = None

    @staticmethod
    def reservation(nonce: str) -> Mark:
        return Mark(seal=_RESERVED, num_new_rows=0, nonce=nonce)

    @staticmethod
    def of(metadata: pq.FileMetaData, *, number: int) -> Mark:
        """The mark of a file whose name has this `number`. Older versions marked none: the seal that began it wrote it.

        Raises ValueError where the mark is none.
        """
        text = (metadata.metadata or {}).get(_KEY.encode())
        if text is None:
            return Mark(seal=number, num_new_rows=metadata.num_rows)
        completed = (metadata.metadata or {}).get(_COMPLETED_KEY.encode())
        try:
            return Mark(**json.loads(text), completed=None if completed is None else json.loads(completed))
        except TypeError as error:
            raise ValueError(f"its mark {text!r} is none of ours") from error

    @property
    def is_reservation(self) -> bool:
        return self.seal == _RESERVED

    def to_metadata(self) -> dict[str, str]:
        told = {name: value for name, value in asdict(self).items() if value is not None}
        completed = told.pop("completed", None)
        more = {} if completed is None else {_COMPLETED_KEY: json.dumps(completed, sort_keys=True)}
        return {_KEY: json.dumps(told), **more}


def encode_marked(row_groups: Iterable[pa.Table], schema: pa.Schema, mark: Mark) -> bytes:
    """A file of these row groups alone."""
    return encode_sealed(row_groups, schema.remove_metadata(), metadata=mark.to_metadata())


def grow(
    table: str, old: bytes, row_groups: Sequence[pa.Table], schema: pa.Schema, mark: Mark, *, file_bytes: int
) -> bytes:
    """The next version of the file `old`, with the columns of `schema`. The same arguments give the same bytes.

    `row_groups` are what a seal adds, `mark` says so. Where `old` has other columns, it is written anew. Raises what
    pyarrow raises where `old` is damaged, StorageError.
    """
    file = pq.ParquetFile(pa.BufferReader(old), page_checksum_verification=True)
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    if not sum(sizes):
        return encode_marked(row_groups, schema, mark)
    if not has_columns(file.schema_arrow, schema):
        return encode_marked((align(rows, schema) for rows in _all_anew(table, file, sizes, row_groups)), schema, mark)
    num_new_rows = sum(rows.num_rows for rows in row_groups)
    first = first_to_merge(sizes, num_new_rows, full_rows=group_rows(table))
    added = [*_merged(table, file, range(first, len(sizes))), *row_groups]
    try:
        new = append_row_groups(old, encode_marked(added, schema, mark), num_kept=first)
    except DifferentColumns:  # another version of the library wrote the same columns in other words
        new = None
    if new is not None:
        size = measure(new)
        is_filled_up = len(new) >= file_bytes > size.live_bytes
        may_be_dead = size.live_bytes // MIN_LIVE_PARTS.get(table, 1)
        if size.dead_bytes <= max(may_be_dead, MAX_DEAD_BYTES) and not is_filled_up:
            return new
    return encode_marked(_all_anew(table, file, sizes, row_groups), schema, mark)


def groups_of_last_seal(metadata: pq.FileMetaData, mark: Mark) -> range:
    """The row groups that the last seal added: the last ones, which hold its rows alone."""
    first, num_rows = metadata.num_row_groups, 0
    while num_rows < mark.num_new_rows:
        first -= 1
        num_rows += metadata.row_group(first).num_rows
    return range(first, metadata.num_row_groups)


def first_to_merge(sizes: Sequence[int], num_new_rows: int, *, full_rows: int = ROW_GROUP_ROWS) -> int:
    """The row groups from this one on become one; as many as there are where none are merged.

    A small row group is merged once what follows it, new rows included, has as many rows as it has. A single one is
    left as it is.
    """
    first, num_following = len(sizes), num_new_rows
    while first and sizes[first - 1] < full_rows and sizes[first - 1] <= num_following:
        first -= 1
        num_following += sizes[first]
    return first if len(sizes) - first > 1 else len(sizes)


def merge_sorted(table: str, parts: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """The rows of tables with the same columns in order, as row groups."""
    rows = pa.concat_tables(parts).combine_chunks()
    rows = rows.take(pa.array(sort_order(table, rows)))
    size = group_rows(table)
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _merged(table: str, file: pq.ParquetFile, numbers: Sequence[int]) -> Iterator[pa.Table]:
    if numbers:
        yield from merge_sorted(table, [file.read_row_group(number) for number in numbers])


def _all_anew(
    table: str, file: pq.ParquetFile, sizes: Sequence[int], row_groups: Sequence[pa.Table]
) -> Iterator[pa.Table]:
    """The row groups of a clean version: the small ones at the end are one, the seal's own stay the last."""
    first = len(sizes)
    while first and sizes[first - 1] < group_rows(table):
        first -= 1
    for number in range(first):
        yield in_order(table, file.read_row_group(number))
    yield from _merged(table, file, range(first, len(sizes)))
    yield from row_groups
