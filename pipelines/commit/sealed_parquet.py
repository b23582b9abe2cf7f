"""Sealed files: rows of the journal as Parquet in which engines skip most of what a query does not need.

A file has the columns of RESULTS, FAILURES or CLIPS, sorted row groups with statistics, a page index, checksums and
zstd. Here too are its rows counted by run, as the record of a seal holds them.

Rows are sorted by question, four row groups at a time, which hold neighbouring videos. So each row group has some of
the questions and some of the videos, and a filter on either leaves most of a large file unread. By question alone, a
filter on a video would have to look into every row group; by video alone, one on a question would have to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.commit.sealed_columns import align
from framegate.pipelines.store.parquet import encode_row_groups
from framegate.schemas.counts import Counts
from framegate.schemas.gate_reason import DEFERRED
from framegate.schemas.keys import id_numbers

ROW_KINDS: Final = {"results": "answer", "failures": "failure", "clips": "clip"}
ROW_GROUP_ROWS: Final = 65_536
"""Enough rows for a quick scan, few enough that statistics spare a query for one video most of a file."""

CLIP_GROUP_ROWS: Final = 2048
"""The same of clips, of which each has a picture: some 10 MB."""

SORTED_ROWS: Final = 4 * ROW_GROUP_ROWS
"""So many rows are sorted by question together."""

SORTED_BY: Final = ("question_id", "question_hash", "video_id", "clip_index")
"""The order of the rows of each row group, as far as a table has these columns; those without a question or a clip come
first."""

_ALL_DIFFERENT: Final = (
    "thinking_text", "confidence_first", "confidence_second", "confidence_min_probability", "confidence_margin",
    "confidence_entropy", "engine_seconds", "thumbnail", "motion", "darkness", "embedding",
)  # fmt: skip
_NOT_FILTERED: Final = (
    "thinking_text",
    "thumbnail",
    "embedding",
)  # texts of kilobytes, which statistics would hold twice per page
_UNIT: Final = ("run_id", "video_id", "clip_index", "question_hash")
_COUNTED_COLUMNS: Final = {
    "results": (*_UNIT, "status", "thinking", "num_answer_tokens", "num_thinking_tokens", "gate_reason"),
    "failures": _UNIT,
    "clips": ("run_id",),
}
_COUNTED_VALUES: Final = {"status": "unparsed", "gate_reason": DEFERRED}


def group_rows(table: str) -> int:
    """How many rows a row group of a table has at most."""
    return CLIP_GROUP_ROWS if table == "clips" else ROW_GROUP_ROWS


def row_positions(table: str, rows: pa.Table) -> np.ndarray:
    """The positions, among rows of the journal, of those that belong to one table."""
    return np.flatnonzero(pc.call_function("equal", [rows.column("row_kind"), ROW_KINDS[table]]).to_numpy())


def sort_order(table: str, rows: pa.Table) -> np.ndarray:
    """The positions of rows in the order of a sealed file: as many at a time as SORTED_ROWS, each by SORTED_BY."""
    if table == "clips":
        return np.lexsort([clip_numbers(rows.column("clip_index")), id_numbers(rows.column("video_id"))])
    by_question = [_ranks(rows.column("question_id")), id_numbers(rows.column("question_hash"))]
    by_video = [id_numbers(rows.column("video_id")), clip_numbers(rows.column("clip_index"))]
    if table == "failures":
        by_video.append(clip_numbers(rows.column("attempts")))
    if rows.num_rows <= SORTED_ROWS:
        return np.lexsort([*by_question, *by_video][::-1])
    order = np.lexsort([*by_video, *by_question][::-1])
    for first in range(0, len(order), SORTED_ROWS):
        some = order[first : first + SORTED_ROWS]  # in order of videos, in which rows of one question stay
        order[first : first + SORTED_ROWS] = some[np.lexsort([column[some] for column in by_question][::-1])]
    return order


def in_order(table: str, rows: pa.Table) -> pa.Table:
    """The rows of one row group by SORTED_BY: one that an older version wrote is sorted by video."""
    order = sort_order(table, rows)
    return rows if bool((order[1:] > order[:-1]).all()) else rows.take(pa.array(order))


def clip_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """int64 of each value, from 0; a null is -1."""
    return pc.fill_null(pc.cast(column, pa.int64()), -1).to_numpy()


def take_sealed(table: str, rows: pa.Table, positions: np.ndarray, schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows of the journal at these positions as row groups of a sealed file of one table.

    `schema` has the columns of `sealed_schema(table, rows.schema)`, or more: those are null, and types may be wider.
    """
    size = group_rows(table)
    there = rows.select([name for name in schema.names if name in rows.column_names])
    for first in range(0, len(positions), size):
        yield align(there.take(pa.array(positions[first : first + size])), schema)


def encode_sealed(
    row_groups: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    metadata: Mapping[str, str] | None = None,
    is_checked: bool = True,
) -> bytes:
    """One Parquet file of tables in `schema`, one row group each. The same tables give the same bytes.

    Raises StorageError where `is_checked` finds that the file is not whole (see `encode_row_groups`).
    """
    return encode_row_groups(
        row_groups,
        schema,
        metadata=metadata,
        is_checked=is_checked,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in _ALL_DIFFERENT],
        write_statistics=[name for name in schema.names if name not in _NOT_FILTERED],
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=[
            pq.SortingColumn(schema.get_field_index(name), nulls_first=True)
            for name in SORTED_BY
            if name in schema.names
        ],
    )


def counted_columns(table: str) -> Sequence[str]:
    """The columns that `count_runs` needs of a table."""
    return _COUNTED_COLUMNS[table]


def count_runs(parts: Sequence[tuple[str, pa.Table]]) -> dict[str, Counts]:
    """SEALED_COUNTS by run_id of any number of (table, rows with its counted columns), of results and failures."""
    counts: dict[str, dict[str, int]] = {}
    clips = []
    for table, found in parts:
        rows = pa.table({name: _number(name, found.column(name)) for name in _COUNTED_COLUMNS[table]})
        groups = rows.group_by("run_id", use_threads=False)
        if table == "results":
            sums = groups.aggregate([([], "count_all"), *((name, "sum") for name in _COUNTED_COLUMNS[table][-5:])])
            names = [
                "run_id",
                "num_answers",
                "num_unparsed",
                "num_thinking",
                "num_answer_tokens",
                "num_thinking_tokens",
                "num_deferred",
            ]
        else:
            sums, names = groups.aggregate([([], "count_all")]), ["run_id", "num_failures"]
        for row in sums.rename_columns(names).to_pylist():
            mine = counts.setdefault(str(row["run_id"]), {})
            for name in names[1:]:
                mine[name] = mine.get(name, 0) + row[name]
        asked = rows.filter(pc.field("question_hash"))
        clips.append(asked.select(["run_id", "video_id", "clip_index"]))
    if clips:
        different = (
            pa.concat_tables(clips).group_by(["run_id", "video_id", "clip_index"], use_threads=False).aggregate([])
        )
        for row in different.group_by("run_id", use_threads=False).aggregate([([], "count_all")]).to_pylist():
            counts[row["run_id"]]["num_clips"] = row["count_all"]
    return {run_id: Counts(**mine) for run_id, mine in sorted(counts.items())}


def _number(name: str, column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The column as numbers: a quarter of the memory, and twice as fast to group by."""
    if name == "video_id":
        return pa.array(id_numbers(column))
    if name == "question_hash":  # all that counts is whether there is one
        return column.is_valid()
    if name in _COUNTED_VALUES:
        is_counted = pc.call_function("equal", [pc.cast(column, pa.string()), _COUNTED_VALUES[name]])
        return pc.cast(is_counted, pa.int64())
    if name == "thinking":
        return pc.fill_null(pc.cast(column, pa.int64()), 0)
    return pc.cast(column, pa.string()) if name == "run_id" else pc.cast(column, pa.int64())


def _ranks(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers in the order of the texts; a null is -1."""
    words = column.combine_chunks()
    if not isinstance(words, pa.DictionaryArray):
        words = words.dictionary_encode()
    texts = words.dictionary.to_pylist()
    ranks = np.empty(len(texts) + 1, np.int64)
    ranks[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    ranks[-1] = -1
    return ranks[pc.fill_null(words.indices, len(texts)).to_numpy(zero_copy_only=False)]
