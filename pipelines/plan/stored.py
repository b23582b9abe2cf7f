"""What is answered and what failed, as storage has it: columns of numbers, whatever the number of rows.

The journal is read first and the sealed tables after it. A row is in the journal until the seal that took it has
written all of its files, and in those from then on. So a row that a sealer moves meanwhile is met once or twice, and
never missed. An object of the journal that is gone when its turn comes was sealed by then, or erased.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.layout import is_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import read_unit
from framegate.pipelines.store import ObjectInfo, Store
from framegate.pipelines.store.parquet import MAX_READS, parse_parquet, read_columns
from framegate.pipelines.store.sealed_filesystem import WHOLE_BYTES
from framegate.schemas.errors import DamagedUnit, ObjectNotFound
from framegate.schemas.keys import Packing, id_numbers, positions_among
from framegate.schemas.read_back import ANSWERED_KEYS, FAILED_KEYS
from framegate.schemas.tables import JOURNAL, KEY_COLUMNS

READ_THREADS = 4  # sealed files that are read at the same time
REMOTE_READ_THREADS = 16  # of small ones on S3: most of them wait for the answer to their request
JOURNAL_THREADS = 2  # more find nothing to do: most of a read is native code
JOURNAL_OBJECTS = 1024  # that are read before their rows become numbers

_ANSWER = (*KEY_COLUMNS, "clip_is_last")
_FAILURE = (*_ANSWER, "reason", "attempts", "written_at")
_TIME = ("video_id", "clip_index", "written_at")
_WHOLE_VIDEO = -1  # in place of a clip index, for sorting: failures of a whole video have none
_TEXTS = ("video_id", "question_hash", "reason")
_UNSEALED = pa.schema([JOURNAL.field(name).remove_metadata() for name in ("row_kind", *_FAILURE)])
_TIMES = pa.schema(
    [("video", pa.uint64()), ("clip_index", pa.int32()), ("written_at", FAILED_KEYS.field("failed_at").type)]
)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """All of one config_id, sealed or not.

    answered   in ANSWERED_KEYS: 21 bytes a row. A key may be there twice
    failed     in FAILED_KEYS: the last failure of each key that has no answer. A failure of a whole video, or of the
               rest of one, is left out where a clip from there on was answered later
    undecoded  columns video and attempts: how often each video gave no frames, left out or not
    damaged    URIs of objects of the journal that are no units: a run sets them aside, and nothing of them is stored
    """

    answered: pa.Table
    failed: pa.Table
    undecoded: pa.Table
    damaged: tuple[str, ...] = ()


def read_stored(output: Output, config_id: str) -> Stored:
    """Fresh from storage. Raises StorageError."""
    for _ in range(MAX_READS - 1):
        with suppress(ObjectNotFound):  # files that were listed have been merged into another one
            return _read_stored(output, config_id)
    return _read_stored(output, config_id)


def _read_stored(output: Output, config_id: str) -> Stored:
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
    return Stored(
        answered=answered,
        failed=_concat(FAILED_KEYS, [of_clip, whole]),
        undecoded=num_undecoded(history),
        damaged=tuple(uri for rows in unsealed for uri in rows.damaged),
    )


@dataclass(frozen=True, kw_only=True)
class _Unsealed:
    answered: pa.Table
    failed: pa.Table
    times: pa.Table
    damaged: tuple[str, ...]


def _read_journal(store: Store, folder: str) -> Iterator[_Unsealed]:
    uris = (info.uri for info in store.list(folder) if is_unit("/".join(info.uri.rsplit("/", 2)[-2:])))
    with ThreadPoolExecutor(JOURNAL_THREADS) as threads:
        waiting: deque[Future[_Unsealed]] = deque()
        while some := list(islice(uris, JOURNAL_OBJECTS)):
            waiting.append(threads.submit(_read_objects, store, some))
            if len(waiting) > JOURNAL_THREADS:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


def _read_objects(store: Store, uris: Sequence[str]) -> _Unsealed:
    tables: list[pa.Table] = []
    damaged: list[str] = []
    for uri, data in store.read_present(uris):
        if data is None:
            continue
        try:
            tables.append(read_unit(uri, data).select(_UNSEALED.names).cast(_UNSEALED))
        except DamagedUnit:
            damaged.append(uri)
    return _unsealed(tables, tuple(damaged))


def _unsealed(tables: Sequence[pa.Table], damaged: tuple[str, ...]) -> _Unsealed:
    # A thousand chunks of some rows would be a thousand calls of whatever is done to them.
    rows = pa.concat_tables([_UNSEALED.empty_table(), *tables]).combine_chunks()
    answers = rows.filter(pc.field("row_kind") == "answer")
    failures = rows.filter(pc.field("row_kind") == "failure")
    return _Unsealed(answered=_answered(answers), failed=_failed(failures), times=_times(answers), damaged=damaged)


def _read_sealed(
    store: Store, folder: str, columns: Sequence[str], convert: Callable[[pa.Table], pa.Table]
) -> Iterator[tuple[ObjectInfo, pa.Table]]:
    """Each file of a table with its rows as numbers, in order of their names."""
    files = [info for info in store.list(folder) if info.uri.endswith(".parquet")]
    are_small = all(_is_read_whole(store, info) for info in files)
    with ThreadPoolExecutor(REMOTE_READ_THREADS if are_small else READ_THREADS) as threads:
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
    if _is_read_whole(store, info):
        return parse_parquet(info.uri, store.read(info.uri), columns, use_threads=False, read_dictionary=texts)
    return read_columns(store, info.uri, columns, read_dictionary=texts, pre_buffer=True)


def _is_read_whole(store: Store, info: ObjectInfo) -> bool:
    """A small remote object is one request, and its footer and columns are three or more."""
    return info.size_bytes <= WHOLE_BYTES and not store.is_local(info.uri)


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


def last_of_each_key(failed: pa.Table) -> pa.Table:
    """Of rows in FAILED_KEYS the last attempt at each (video, clip, question): every attempt has a row of its own."""
    if failed.num_rows == 0:
        return failed
    failed = failed.combine_chunks()
    video = failed.column("video").to_numpy()
    clip = pc.fill_null(failed.column("clip_index"), _WHOLE_VIDEO).to_numpy()
    question = pc.fill_null(failed.column("question"), 0).to_numpy()
    has_question = failed.column("question").is_valid().to_numpy()
    attempts, failed_at = failed.column("attempts").to_numpy(), failed.column("failed_at").cast(pa.int64()).to_numpy()
    order = np.lexsort((failed_at, attempts, question, has_question, clip, video))
    key = np.stack([column[order].astype(np.uint64) for column in (video, clip, question, has_question)])
    is_last = np.concatenate([(key[:, 1:] != key[:, :-1]).any(axis=0), [True]])
    return failed.take(pa.array(order[is_last]))


def num_undecoded(failed: pa.Table) -> pa.Table:
    """Columns video and attempts: the most often that a video, or the rest of it, gave no frames."""
    whole = failed.filter(pc.field("question").is_null())
    counted = whole.group_by("video").aggregate([("attempts", "max")])
    return counted.rename_columns({"attempts_max": "attempts"}).select(["video", "attempts"])


def has_answer(failed: pa.Table, answered: pa.Table) -> np.ndarray:
    """For each failure of a question at a clip: whether the same key is among `answered` (ANSWERED_KEYS)."""
    video, clip, question = (failed.column(name).to_numpy() for name in ("video", "clip_index", "question"))
    packing = Packing.make(np.unique(video), np.unique(question), [failed])
    keys = [np.empty(0, np.int64)]
    for batch in answered.to_batches():
        places = positions_among(batch.column("video").to_numpy(), packing.videos)
        about = np.flatnonzero(places >= 0)
        asked = positions_among(batch.column("question").to_numpy()[about], packing.questions)
        clips = batch.column("clip_index").to_numpy()[about].astype(np.int64)
        fits = (asked >= 0) & (clips < packing.num_clips)
        keys.append(packing.keys(places[about][fits], asked[fits], clips[fits]))
    own = packing.keys(
        positions_among(video, packing.videos), positions_among(question, packing.questions), clip.astype(np.int64)
    )
    return np.isin(own, np.concatenate(keys))


def is_overtaken(failed: pa.Table, answers: Iterable[pa.Table]) -> np.ndarray:
    """For each failure of a video as a whole, or from a clip on: whether a clip from there on was answered later.

    `answers` have the columns video, clip_index and written_at, and may be of other videos as well.
    """
    video = failed.column("video").to_numpy()
    first_clip = pc.fill_null(failed.column("clip_index"), 0).to_numpy()
    failed_at = failed.column("failed_at").cast(pa.int64()).to_numpy()
    order = np.argsort(video, kind="stable")
    videos, starts, counts = np.unique(video[order], return_index=True, return_counts=True)
    overtaken = np.zeros(failed.num_rows, bool)
    for table in answers:
        places = positions_among(table.column("video").to_numpy(), videos)
        about = np.flatnonzero(places >= 0)
        places, clip = places[about], table.column("clip_index").to_numpy()[about]
        written_at = table.column("written_at").cast(pa.int64()).to_numpy()[about]
        for number in range(counts.max(initial=0)):  # hardly ever more than one of a video
            has = counts[places] > number
            row = order[starts[places[has]] + number]
            overtaken[row[(clip[has] >= first_clip[row]) & (written_at[has] > failed_at[row])]] = True
    return overtaken
