"""What is answered and what failed, as storage has it: columns of numbers, whatever the number of rows.

A row is always somewhere: it is in the journal until the seal that took it has written all of its files, and in those
from then on. So the journal is read first and the sealed tables after it. Whatever a sealer moves in between is met
twice or once, and never missed; an object of the journal that is gone when its turn comes was sealed by then, or
erased. Knows nothing of what is asked of the rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.output import Output
from framegate.pipelines.plan.standing import has_answer, is_overtaken, last_of_each_key, num_undecoded
from framegate.pipelines.store import ObjectInfo, Store
from framegate.pipelines.store.parquet import one_of_ours, parse_parquet, read_columns
from framegate.schemas.keys import id_numbers, positions_among
from framegate.schemas.tables import ANSWERED_KEYS, FAILED_KEYS, JOURNAL, KEY_COLUMNS

READ_THREADS = 4  # sealed files that are read at the same time
JOURNAL_THREADS = 2  # more find nothing to do: most of a read is native code
JOURNAL_OBJECTS = 1024  # that are read before their rows become numbers

_ANSWER = (*KEY_COLUMNS, "clip_is_last")
_FAILURE = (*_ANSWER, "reason", "attempts", "written_at")
_TIME = ("video_id", "clip_index", "written_at")
_TEXTS = ("video_id", "question_hash", "reason")
_UNSEALED = pa.schema([JOURNAL.field(name).remove_metadata() for name in ("row_kind", *_FAILURE)])
_TIMES = pa.schema(
    [("video", pa.uint64()), ("clip_index", pa.int32()), ("written_at", FAILED_KEYS.field("failed_at").type)]
)


@dataclass(frozen=True, kw_only=True)
class Done:
    """All of one config_id, sealed or not.

    answered   in ANSWERED_KEYS: 21 bytes a row. Keys may stand twice
    failed     in FAILED_KEYS, the failures that stand: the last of its key, of a key without an answer and, where it is
               of a whole video or the rest of one, with no later answer to a clip from there on
    undecoded  columns video and attempts: how often each video gave no frames, whether that stands or not
    """

    answered: pa.Table
    failed: pa.Table
    undecoded: pa.Table


def read_done(output: Output, config_id: str) -> Done:
    """Fresh from storage. Raises StorageError."""
    unsealed = [*_read_journal(output.store, output.layout.folder("journal", config_id))]
    results = [*_read_sealed(output.store, output.layout.folder("results", config_id), _ANSWER, _answered)]
    failures = [*_read_sealed(output.store, output.layout.folder("failures", config_id), _FAILURE, _failed)]
    answered = _concat(ANSWERED_KEYS, [*(rows.answered for rows in unsealed), *(rows for _, rows in results)])
    history = _concat(FAILED_KEYS, [*(rows.failed for rows in unsealed), *(rows for _, rows in failures)])

    last = last_of_each_key(history)
    of_clip = last.filter(pc.field("question").is_valid())
    of_clip = of_clip.filter(pa.array(~has_answer(of_clip, answered)))
    whole = last.filter(pc.field("question").is_null())
    videos = np.unique(whole.column("video").to_numpy())
    times = chain((rows.times for rows in unsealed), _read_times(output.store, results, videos))
    whole = whole.filter(pa.array(~is_overtaken(whole, times)))
    return Done(answered=answered, failed=_concat(FAILED_KEYS, [of_clip, whole]), undecoded=num_undecoded(history))


@dataclass(frozen=True, kw_only=True)
class _Unsealed:
    answered: pa.Table
    failed: pa.Table
    times: pa.Table


def _read_journal(store: Store, folder: str) -> Iterator[_Unsealed]:
    uris = (info.uri for info in store.list(folder))
    with ThreadPoolExecutor(JOURNAL_THREADS) as threads:
        waiting: deque[Future[_Unsealed]] = deque()
        while some := list(islice(uris, JOURNAL_OBJECTS)):
            waiting.append(threads.submit(_read_objects, store, some))
            if len(waiting) > JOURNAL_THREADS:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


def _read_objects(store: Store, uris: Sequence[str]) -> _Unsealed:
    found = store.read_present(uris)
    return _unsealed([_read_object(uri, data) for uri, data in found if data is not None])


def _read_object(uri: str, data: bytes) -> pa.Table:
    # For so few rows, threads cost more than they gain.
    rows = parse_parquet(uri, data, _UNSEALED.names, use_threads=False)
    with one_of_ours(uri):
        return rows.select(_UNSEALED.names).cast(_UNSEALED)


def _unsealed(tables: Sequence[pa.Table]) -> _Unsealed:
    # A thousand chunks of some rows would be a thousand calls of whatever is done to them.
    rows = pa.concat_tables([_UNSEALED.empty_table(), *tables]).combine_chunks()
    answers = rows.filter(pc.field("row_kind") == "answer")
    failures = rows.filter(pc.field("row_kind") == "failure")
    return _Unsealed(answered=_answered(answers), failed=_failed(failures), times=_times(answers))


def _read_sealed(
    store: Store, folder: str, columns: Sequence[str], convert: Callable[[pa.Table], pa.Table]
) -> Iterator[tuple[ObjectInfo, pa.Table]]:
    """Each file of a table with its rows as numbers, in order of their names."""
    files = [info for info in store.list(folder) if info.uri.endswith(".parquet")]
    with ThreadPoolExecutor(READ_THREADS) as threads:
        tables = threads.map(lambda info: convert(_read_columns(store, info, columns)), files)
        yield from zip(files, tables, strict=True)


def _read_times(store: Store, results: Sequence[tuple[ObjectInfo, pa.Table]], videos: np.ndarray) -> Iterator[pa.Table]:
    """When answers of the videos were written, from those files alone that have any."""
    for info, rows in results:
        if (positions_among(rows.column("video").to_numpy(), videos) >= 0).any():
            yield _times(_read_columns(store, info, _TIME))


def _read_columns(store: Store, info: ObjectInfo, columns: Sequence[str]) -> pa.Table:
    # Ids repeat from row to row: as a dictionary they are read and turned into numbers once a video.
    texts = [name for name in columns if name in _TEXTS]
    return read_columns(store, info.uri, columns, read_dictionary=texts, pre_buffer=True)


def _answered(rows: pa.Table) -> pa.Table:
    return _numbers(rows, ANSWERED_KEYS, {})


def _failed(rows: pa.Table) -> pa.Table:
    return _numbers(rows, FAILED_KEYS, {"failed_at": "written_at"})


def _times(rows: pa.Table) -> pa.Table:
    return _numbers(rows, _TIMES, {})


def _numbers(rows: pa.Table, schema: pa.Schema, names: Mapping[str, str]) -> pa.Table:
    """The columns of `schema`, ids as numbers; `names` are those that rows have by another name."""
    ids = {"video": "video_id", "question": "question_hash"}
    columns = []
    for field in schema:
        column = rows.column(names.get(field.name, ids.get(field.name, field.name)))
        if field.name in ids:
            missing = column.is_null().to_numpy() if field.nullable else None
            columns.append(pa.array(id_numbers(column), field.type, mask=missing))
        else:
            columns.append(column.cast(field.type).combine_chunks())
    return pa.Table.from_arrays(columns, schema=schema)


def _concat(schema: pa.Schema, tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *tables])
