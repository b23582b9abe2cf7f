"""Seal: the journal becomes right-sized Parquet in results/ and failures/, then the sealed journal objects go.

A pure function of the journal: no clock, no random number; rows sorted, files named by their content. Order makes it
safe to die anywhere: (1) rows whose key is sealed already are left out, so that a journal that outlived its sealing
adds nothing; (2) files are created whole, cut between videos, so that no unit is ever seen in part; (3) only then is
the journal deleted. One sealer at a time for one config_id; `run` is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commit.journal import batches_of_videos, from_parquet, read_columns, row_keys, to_parquet
from pipelines.commit.layout import failures_folder, journal_folder, results_folder, sealed_uri
from pipelines.store import ObjectInfo, Store
from schemas.tables import FAILURES, INPUT_PREFIX, KEY_COLUMNS, PARTITION_TYPE, RESULTS

MAX_FILE_BYTES = 128 * 2**20  # in memory; zstd leaves less of it on storage
MAX_BATCH_BYTES = 256 * 2**20  # of journal objects that are sealed at a time, which bounds the memory
ROW_GROUP_ROWS = 100_000
SORT_KEYS = [(name, "ascending") for name in ("video_id", "clip_index", "question_id", "question_hash")]


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What one sealing did."""

    num_units: int = 0
    num_files: int = 0
    num_answers: int = 0
    num_failures: int = 0


def seal(store: Store, root: str, config_id: str) -> Sealed:
    """Seals everything in the journal of one config_id. On an empty journal it changes nothing."""
    folders = {"answer": results_folder(root, config_id), "failure": failures_folder(root, config_id)}
    schemas = {"answer": RESULTS, "failure": FAILURES}
    objects = list(store.list(journal_folder(root, config_id)))
    sealed_keys = _read_sealed_keys(store, folders.values()) if objects else None
    counts = {"answer": 0, "failure": 0}
    num_files = 0
    for batch in batches_of_videos(iter(objects), MAX_BATCH_BYTES):
        rows = _first_of_each_key(_read_batch(store, batch), sealed_keys)
        # Failures first: whoever sees a video's answers then sees what is missing from them, too.
        for kind in ("failure", "answer"):
            table = _conform(rows.filter(pc.field("row_kind") == kind), schemas[kind], config_id)
            counts[kind] += table.num_rows
            for part in _cut_between_videos(table, MAX_FILE_BYTES):
                data = to_parquet(part, row_group_rows=ROW_GROUP_ROWS)
                store.put_once(sealed_uri(folders[kind], data), data)
                num_files += 1
        store.delete(info.uri for info in batch)
    return Sealed(
        num_units=len(objects), num_files=num_files, num_answers=counts["answer"], num_failures=counts["failure"]
    )


def _read_batch(store: Store, batch: Sequence[ObjectInfo]) -> pa.Table:
    tables = [from_parquet(uri, data) for uri, data in store.read_many(info.uri for info in batch)]
    # Units of different manifests have different input columns; a missing one is null.
    return pa.concat_tables(tables, promote_options="permissive")


def _read_sealed_keys(store: Store, folders) -> pa.Array:
    keys = [
        row_keys(read_columns(store, info.uri, KEY_COLUMNS)).combine_chunks()
        for folder in folders
        for info in store.list(folder)
    ]
    return pa.concat_arrays([pa.array([], pa.string()), *keys])


def _first_of_each_key(rows: pa.Table, sealed_keys: pa.Array | None) -> pa.Table:
    """Two units may overlap where a later run cut the video differently: the first by name wins, row by row."""
    keys = row_keys(rows)
    numbered = pa.table({"key": keys, "row": pa.array(range(rows.num_rows), pa.int64())})
    first = numbered.group_by("key", use_threads=False).aggregate([("row", "min")])
    if sealed_keys is not None and len(sealed_keys):
        first = first.filter(~pc.field("key").isin(sealed_keys))
    return rows.take(first.column("row_min")).sort_by(SORT_KEYS)


def _conform(rows: pa.Table, schema: pa.Schema, config_id: str) -> pa.Table:
    """Exactly the columns of `schema`, then the manifest's, in order of their names."""
    rows = rows.append_column("config_id", pa.repeat(config_id, rows.num_rows).cast(PARTITION_TYPE))
    inputs = [rows.schema.field(name) for name in sorted(rows.column_names) if name.startswith(INPUT_PREFIX)]
    fields = [*schema, *(field.with_metadata({b"meaning": b"a column of the manifest"}) for field in inputs)]
    return pa.Table.from_arrays([rows.column(field.name) for field in fields], schema=pa.schema(fields))


def _cut_between_videos(table: pa.Table, max_bytes: int) -> Iterator[pa.Table]:
    if table.num_rows == 0:
        return
    rows_per_file = max(1, int(table.num_rows * max_bytes / max(table.nbytes, 1)))
    videos = table.column("video_id").to_pylist()
    start = 0
    while start < table.num_rows:
        end = min(start + rows_per_file, table.num_rows)
        while end < table.num_rows and videos[end] == videos[end - 1]:
            end += 1
        yield table.slice(start, end - start).combine_chunks()
        start = end
