"""The log of videos: which ones an output has seen, in which versions, what is known of them, what became of them.

A run adds one object with a row for each video of which something changed, and none where nothing did. So a million
videos that stay as they are cost a night nothing but reading their ids. The last row of a video_id says how it is.
Objects are numbered and created once. When small ones have come together, one that stands for all of them takes their
place.

Nothing rests on this log but what is said of videos that are away: a row that is lost is found again by the next run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.layout import OBJECT_NUMBER
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plans
from framegate.pipelines.commit.tombstones import read_tombstones, without_erased
from framegate.pipelines.commit.video_rows import HAS_FACTS, join_rows, make_rows, with_facts
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store.parquet import encode_parquet, read_columns, read_parquet
from framegate.schemas.errors import ObjectNotFound
from framegate.schemas.keys import id_numbers

CURRENT: Final = "current"
SUPERSEDED: Final = "superseded"
GONE: Final = "gone"
NOT_LISTED: Final = "not_listed"

MAX_OBJECTS: Final = 32  # then they are folded into one: a month of nights, some kilobytes each
ROW_GROUP_ROWS: Final = 65_536
_READS: Final = 5  # of a log that is folded meanwhile
_NAME: Final = re.compile(rf"({OBJECT_NUMBER})(\.all)?\.parquet")
_BRIEF: Final = ("video_id", "state", HAS_FACTS)


@dataclass(frozen=True, kw_only=True)
class VideoLog:
    """The log as it was read: the last state of every video.

    ids          video_ids as numbers, ascending, each once
    states       of each of them
    has_facts    whether a decoder has opened it
    objects      URIs in order of their numbers
    last_number  the last one that is taken; -1: none is
    """

    output: Output
    ids: np.ndarray
    states: np.ndarray
    has_facts: np.ndarray
    objects: tuple[str, ...]
    last_number: int
    _object_of: np.ndarray = field(repr=False)
    _row_of: np.ndarray = field(repr=False)
    _before: pa.Table | None = field(default=None, repr=False)

    @property
    def is_begun(self) -> bool:
        """False where the output has no log yet: `rows` are then those of its plans."""
        return self._before is None

    def rows(self, some: np.ndarray | None = None) -> pa.Table:
        """The last row of each of `some` video_ids (numbers that are in the log), or of all, in VIDEO_STATES and
        with the columns of manifests (`video_rows`)."""
        places = np.arange(len(self.ids)) if some is None else np.searchsorted(self.ids, some)
        tables: list[pa.Table] = []
        for number in np.unique(self._object_of[places]).tolist():
            table = self._before if self._before is not None else _read(self.output, self.objects[number])
            tables.append(table.take(pa.array(np.sort(self._row_of[places[self._object_of[places] == number]]))))
        return join_rows(tables)


def read_video_log(output: Output) -> VideoLog:
    """Fresh from storage. Raises StorageError."""
    for num_reads_left in reversed(range(_READS)):
        try:
            return _read_log(output)
        except ObjectNotFound:  # folded meanwhile: the object that has it all is there by now
            if num_reads_left == 0:
                raise
    raise AssertionError("the last read returns or raises")


def add_to_video_log(output: Output, changes: pa.Table, log: VideoLog) -> None:
    """Stores rows of VIDEO_STATES that are not in the log yet, as it was read. Raises StorageError."""
    changes = without_erased(changes, read_tombstones(output))
    while changes.num_rows and not _put(output, _with_known_facts(changes, log), log):
        log = read_video_log(output)  # another run was first: most of its changes are ours
        changes = _without_known(without_erased(changes, read_tombstones(output)), log)
    if len(log.objects) >= MAX_OBJECTS:
        _fold(output)


def change_video_log(output: Output, make: Callable[[VideoLog], pa.Table]) -> int:
    """Stores the rows that `make` gives for the log as it is; where others change it meanwhile, it is asked again.

    Returns how many rows were stored. Raises StorageError.
    """
    while True:
        log = read_video_log(output)
        changes = without_erased(make(log), read_tombstones(output))
        if not changes.num_rows or _put(output, changes, log):
            break
    if len(log.objects) >= MAX_OBJECTS:
        _fold(output)
    return changes.num_rows


def _put(output: Output, changes: pa.Table, log: VideoLog) -> bool:
    """False where the log has changed since it was read, or a video was erased meanwhile: nothing is stored then."""
    uri = output.layout.video_log(log.last_number + 1, is_whole=not log.objects)
    if not output.store.put_once(uri, _encode(changes)).is_ours:
        return False
    reach("videos.added")
    return _kept_after_erasures(output, uri, changes).num_rows == changes.num_rows


def _with_known_facts(changes: pa.Table, log: VideoLog) -> pa.Table:
    """Changes may have been made of an older log, which did not have the facts of a video yet."""
    ids = np.intersect1d(id_numbers(changes.column("video_id")), log.ids[log.has_facts])
    lacks = changes.column(HAS_FACTS).null_count if HAS_FACTS in changes.column_names else changes.num_rows
    return with_facts(join_rows([changes]), log.rows(ids)) if len(ids) and lacks else changes


def _fold(output: Output) -> None:
    log = read_video_log(output)
    rows = without_erased(log.rows(), read_tombstones(output))
    uri = output.layout.video_log(log.last_number + 1, is_whole=True)
    if not output.store.put_once(uri, _encode(rows)).is_ours:
        return  # another run is at it
    reach("videos.folded")
    if _kept_after_erasures(output, uri, rows).num_rows == rows.num_rows:
        output.store.delete(info.uri for info in output.list("videos") if _number(info.uri) <= log.last_number)


def _kept_after_erasures(output: Output, uri: str, rows: pa.Table) -> pa.Table:
    """The rows of an object that was just stored, without those of videos that were erased meanwhile.

    Deletes the object where there are some: that erasure may have looked for them before they were there.
    """
    kept = without_erased(rows, read_tombstones(output))
    if kept.num_rows < rows.num_rows:
        output.store.delete([uri])
    return kept


def _without_known(changes: pa.Table, log: VideoLog) -> pa.Table:
    numbers = id_numbers(changes.column("video_id"))
    places = np.minimum(np.searchsorted(log.ids, numbers), max(len(log.ids) - 1, 0))
    is_known = log.ids[places] == numbers if len(log.ids) else np.zeros(len(numbers), bool)
    is_same = is_known & (log.states[places] == _texts(changes.column("state"))) if len(log.ids) else is_known
    return changes.filter(pa.array(~is_same))


def _read_log(output: Output) -> VideoLog:
    numbered = sorted(
        (_number(info.uri), info.uri) for info in output.list("videos") if _NAME.fullmatch(info.uri.rpartition("/")[2])
    )
    whole = max((number for number, uri in numbered if uri.endswith(".all.parquet")), default=-1)
    kept = [(number, uri) for number, uri in numbered if number >= whole]
    if not kept:
        return _log_of_plans(output)
    objects = [uri for _, uri in kept]
    tables = [_brief(read_columns(output.store, uri, _BRIEF)) for uri in objects]
    return _last_of_each(output, tables, objects=objects, last_number=kept[-1][0])


def _log_of_plans(output: Output) -> VideoLog:
    """What an output from before this log tells: the videos that its runs have planned, the oldest run first."""
    planned = sorted(read_plans(output, ["video_id", "video_uri", "video_version"]), key=lambda plan: plan[0])
    rows = join_rows(_planned(rows) for _, rows in planned).combine_chunks()
    return _last_of_each(output, [rows.select(_BRIEF)], objects=(), last_number=-1, before=rows)


def _planned(plan: pa.Table) -> pa.Table:
    plan = plan.filter(pc.field("video_version") != "absent")
    known = {name: plan.column(name) for name in ("video_id", "video_uri", "video_version")}
    constant = {"state": CURRENT, "since": datetime.fromtimestamp(0).astimezone(), "source": ""}
    return make_rows({**known, **constant}, plan.num_rows)


def _last_of_each(
    output: Output,
    tables: Sequence[pa.Table],
    *,
    objects: Sequence[str],
    last_number: int,
    before: pa.Table | None = None,
) -> VideoLog:
    ids = np.concatenate([np.empty(0, np.uint64), *(id_numbers(table.column("video_id")) for table in tables)])
    states = np.concatenate([np.empty(0, object), *(_texts(table.column("state")) for table in tables)])
    facts = np.concatenate(
        [np.empty(0, np.bool_), *(table.column(HAS_FACTS).is_valid().to_numpy() for table in tables)]
    )
    lengths = [table.num_rows for table in tables]
    object_of = np.repeat(np.arange(len(tables)), lengths)
    row_of = np.concatenate([np.empty(0, np.int64), *(np.arange(length) for length in lengths)])
    order = np.argsort(ids, kind="stable")  # later rows of an id stay behind earlier ones
    is_last = np.append(ids[order][1:] != ids[order][:-1], True) if len(ids) else np.empty(0, bool)
    last = order[is_last]
    return VideoLog(
        output=output,
        ids=ids[last],
        states=states[last],
        has_facts=facts[last],
        objects=tuple(objects),
        last_number=last_number,
        _object_of=object_of[last],
        _row_of=row_of[last],
        _before=before,
    )


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    """Python texts, of which there are a handful: each is one object, whatever the number of rows."""
    encoded = column.combine_chunks().dictionary_encode() if len(column) else None
    if encoded is None:
        return np.empty(0, object)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    return np.array(encoded.dictionary.to_pylist(), object)[encoded.indices.to_numpy()]


def _read(output: Output, uri: str) -> pa.Table:
    return join_rows([read_parquet(output.store, uri, lambda file: file.read())])


def _brief(rows: pa.Table) -> pa.Table:
    """Objects of earlier versions have no facts."""
    return rows if HAS_FACTS in rows.column_names else rows.append_column(HAS_FACTS, pa.nulls(len(rows), pa.string()))


def _encode(rows: pa.Table) -> bytes:
    return encode_parquet(join_rows([rows]).combine_chunks(), row_group_rows=ROW_GROUP_ROWS)


def _number(uri: str) -> int:
    return int(uri.rpartition("/")[2].partition(".")[0])
