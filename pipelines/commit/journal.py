"""The journal: one Parquet object per unit and set of questions, created once. Also what is done already.

A unit is committed when its object exists; before that nothing of it does. The object is built and read back in memory,
then created whole: there is no moment at which a reader could meet half of it. The first writer wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.commit.layout import (
    failures_folder,
    journal_failure_uri,
    journal_folder,
    journal_uri,
    results_folder,
)
from pipelines.commit.rows import RunFacts, journal_table
from pipelines.store import Store
from schemas.errors import StorageError
from schemas.tables import KEY_COLUMNS

DONE_COLUMNS = (*KEY_COLUMNS, "clip_is_last")
DONE_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("clip_index", pa.int32()),
        ("question_hash", pa.string()),
        ("clip_is_last", pa.bool_()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What one commit did. `created` is False where the unit was there already; its rows are then not counted anew."""

    video_id: str
    created: bool
    num_clips: int
    num_answers: int
    num_failures: int
    num_thinking: int
    num_answer_tokens: int
    num_thinking_tokens: int
    engine_seconds: float
    decode_seconds: float
    undecoded: bool


def commit_unit(store: Store, root: str, unit: Mapping[str, Any], facts: RunFacts, *, written_at: datetime) -> Receipt:
    """Writes one answered unit (a row of ANSWERED) below `root`. Raises StorageError, FramegateError."""
    table = journal_table(unit, facts, written_at=written_at)
    created = store.put_once(_unit_uri(root, unit, facts), to_parquet(table)).created
    answers = [answer for clip in unit["clips"] for answer in clip["answers"]]
    return Receipt(
        video_id=unit["video_id"],
        created=created,
        num_clips=len(unit["clips"]),
        num_answers=len(answers),
        num_failures=table.num_rows - len(answers),
        num_thinking=sum(answer["thinking"] for answer in answers),
        num_answer_tokens=sum(answer["num_answer_tokens"] for answer in answers),
        num_thinking_tokens=sum(answer["num_thinking_tokens"] for answer in answers),
        engine_seconds=sum(answer["engine_seconds"] for answer in answers),
        decode_seconds=sum(clip["decode_seconds"] for clip in unit["clips"]),
        undecoded=unit["failure"] is not None,
    )


def read_done(store: Store, root: str, config_id: str) -> pa.Table:
    """The keys of every row that is stored, sealed or not, in DONE_SCHEMA. A null stands for all clips or questions."""
    tables = [
        read_columns(store, info.uri, DONE_COLUMNS)
        for folder in (results_folder(root, config_id), failures_folder(root, config_id))
        for info in store.list(folder)
    ]
    journal = [info.uri for info in store.list(journal_folder(root, config_id))]
    tables += [from_parquet(uri, data, DONE_COLUMNS) for uri, data in store.read_many(journal)]
    return pa.concat_tables([DONE_SCHEMA.empty_table(), *(table.cast(DONE_SCHEMA) for table in tables)])


def to_parquet(table: pa.Table, *, row_group_rows: int | None = None) -> bytes:
    """The table as one Parquet file, read back whole before it is let go. Same table, same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_rows, write_page_index=True)
    buffer = sink.getvalue()
    back = pq.ParquetFile(pa.BufferReader(buffer)).read()
    if back.num_rows != table.num_rows or not back.schema.equals(table.schema):
        raise StorageError(f"a table of {table.num_rows} rows did not read back as it was written; nothing was stored")
    return buffer.to_pybytes()


def from_parquet(uri: str, data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Raises StorageError where the object is no whole Parquet file."""
    try:
        return pq.ParquetFile(pa.BufferReader(data)).read(columns=list(columns) if columns else None)
    except (pa.ArrowInvalid, OSError) as error:
        raise StorageError(f"{uri} is no whole Parquet file ({error}); was it written by something else?") from error


def read_columns(store: Store, uri: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a sealed file, by range reads."""
    with store.open_read(uri) as file:
        try:
            return pq.ParquetFile(file).read(columns=list(columns))
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(
                f"{uri} is no whole Parquet file ({error}); was it written by something else?"
            ) from error


def row_keys(table: pa.Table) -> pa.ChunkedArray:
    """One string per row that is the same exactly for the same (video, clip, question)."""
    clips = pc.fill_null(pc.cast(table.column("clip_index"), pa.string()), "")
    questions = pc.fill_null(table.column("question_hash"), "")
    parts = [table.column("video_id"), clips, questions, pa.scalar("/")]
    return pc.call_function("binary_join_element_wise", parts)


def batches_of_videos(objects: Iterator, max_bytes: int) -> Iterator[list]:
    """Journal objects in order of their names, cut between videos into lists of about `max_bytes` on storage."""
    batch, size_bytes, video = [], 0, None
    for info in objects:
        folder = info.uri.rsplit("/", 2)[-2]
        if batch and folder != video and size_bytes >= max_bytes:
            yield batch
            batch, size_bytes = [], 0
        batch.append(info)
        size_bytes += info.size_bytes
        video = folder
    if batch:
        yield batch


def _unit_uri(root: str, unit: Mapping[str, Any], facts: RunFacts) -> str:
    if unit["failure"] is not None:
        return journal_failure_uri(root, facts.config_id, unit["video_id"], clip_index=unit["failed_clip_index"])
    indexes = [clip["clip_index"] for clip in unit["clips"]]
    return journal_uri(
        root, facts.config_id, unit["video_id"], clip_indexes=indexes, question_hashes=unit["question_hashes"]
    )
