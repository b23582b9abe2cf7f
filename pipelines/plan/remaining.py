"""What is left to do: the videos that were found, minus the questions that are stored or settled for all their clips.

How many clips a video has is known only once it was decoded. So completeness rests on what is stored: a video is
complete for a question when nothing is missing from clip 0 up to the one that is marked as the last, or up to where
its frames end. All of it is arithmetic on columns of numbers: a million videos with four answers each take about two
seconds and 300 MB.

This is the one definition of what is left, for a plan, a run, its books and `framegate status`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.plan.absent import are_gone
from framegate.pipelines.plan.coverage import UNKNOWN, Coverage, Retries, find_due
from framegate.pipelines.plan.stored import Stored, read_stored
from framegate.pipelines.source.input_columns import pack_inputs
from framegate.schemas.keys import Packing, id_number, id_numbers, uri_digest
from framegate.schemas.retries import SOURCE_GONE
from framegate.schemas.tables import FOUND, PLANNED

BATCH_ROWS = 65_536


class Remaining:
    """What is left of the videos that were found, and in how many of them nothing is.

    num_found      all of them: num_complete + num_settled + num_erased + num_gone + num_left
    num_complete   every question of every clip is answered
    num_settled    something failed and is not tried again now; all else is answered
    num_undecoded  of those: the video, or the rest of it, gave no frames
    num_erased     erased on request, and staying out
    num_gone       storage does not have it any more, and nothing is left to do: history
    num_left       something is missing, or failed and is tried again now
    """

    def __init__(
        self,
        found: pa.Table,
        question_hashes: Sequence[str],
        coverage: Coverage,
        video_of_row: np.ndarray,
        is_erased: np.ndarray,
        is_gone: np.ndarray,
    ) -> None:
        is_left = coverage.is_left[video_of_row] & ~is_erased
        is_history = is_gone & ~is_left & ~is_erased
        is_out = is_erased | is_history
        is_settled = coverage.is_settled[video_of_row] & ~is_out
        self.num_found = found.num_rows
        self.num_complete = int((~is_left & ~is_settled & ~is_out).sum())
        self.num_settled = int(is_settled.sum())
        self.num_undecoded = int((coverage.is_undecoded[video_of_row] & ~is_out).sum())
        self.num_erased = int(is_erased.sum())
        self.num_gone = int(is_history.sum())
        self.num_left = int(is_left.sum())
        self._found, self._question_hashes = found, question_hashes
        self._coverage, self._video_of_row, self._rows_left = coverage, video_of_row, np.flatnonzero(is_left)

    @property
    def left_ids(self) -> np.ndarray:
        """The video_ids with work left, as numbers."""
        return id_numbers(self._found.column("video_id"))[self._rows_left]

    def videos(self, limit: int | None = None) -> pa.Table:
        """Those with work left in PLANNED, in the order of what was found; at most `limit` of them."""
        rows = self._rows_left[:limit]
        batches = [
            batch
            for start in range(0, len(rows), BATCH_ROWS)
            for batch in _planned_rows(
                self._found, rows[start : start + BATCH_ROWS], self._video_of_row, self._question_hashes, self._coverage
            )
        ]
        return pa.Table.from_batches(batches, PLANNED)


def remaining(
    found: pa.Table,
    question_hashes: Sequence[str],
    stored: Stored,
    *,
    retries: Retries | None,
    erased: frozenset[str] = frozenset(),
) -> Remaining:
    """What of `found` is left to do.

    found    rows in FOUND, as `plan.absent` leaves them; where `videos` is not asked for, video_id and video_uri are
             enough
    stored   may hold rows of other videos and other questions
    retries  which failures are tried again. Until then they are settled. None: none is, so that what is left was never
             attempted. What failed because the video was gone is tried again as soon as it is there, and never before
    erased   digests of URIs (`schemas.keys.uri_digest`)
    """
    hashes = list(dict.fromkeys(question_hashes))
    numbers = id_numbers(found.column("video_id"))
    ids = np.unique(numbers)
    questions = np.array([id_number(hash) for hash in hashes], np.uint64)
    packing = Packing.make(ids, questions, [stored.answered, stored.failed])
    is_due, is_gone = find_due(stored.failed, retries), np.zeros(found.num_rows, bool)
    if retries is not None:
        is_gone = are_gone(found)
        is_due = _due_where_there(is_due, stored.failed, numbers[~is_gone])
    coverage = Coverage(packing, stored, is_due)
    return Remaining(found, hashes, coverage, np.searchsorted(ids, numbers), _are_erased(found, erased), is_gone)


def remaining_of_run(output: Output, config_id: str, planned: pa.Table, question_hashes: Sequence[str]) -> Remaining:
    """What a run left of the videos that it had planned, as storage has it now. What failed in it is not left.

    `planned` has the columns video_id and video_uri. Raises StorageError.
    """
    stored = read_stored(output, config_id)
    return remaining(planned, question_hashes, stored, retries=None, erased=read_tombstones(output))


def _planned_rows(
    found: pa.Table, some: np.ndarray, video_of_row: np.ndarray, hashes: Sequence[str], coverage: Coverage
) -> list[pa.RecordBatch]:
    rows = found.take(pa.array(some))
    rows = rows.set_column(FOUND.get_field_index("inputs"), FOUND.field("inputs"), pack_inputs(rows))
    videos, texts = video_of_row[some], pa.array(hashes, pa.string())
    num_missing, questions = coverage.missing(videos)
    num_done, *done = coverage.done(videos)
    num_due, *due = coverage.due(videos)
    breaks_off = coverage.breaks_off[videos]
    is_known = breaks_off < UNKNOWN
    columns = [
        *(rows.column(name) for name in FOUND.names),
        _lists("question_hashes", num_missing, texts.take(pa.array(questions))),
        _lists("done", num_done, _keys("done", texts, *done)),
        _lists("attempts", num_due, _keys("attempts", texts, *due)),
        pa.array(coverage.undecoded_attempts[videos], pa.int32()),
        pa.array(np.where(is_known, breaks_off, 0), pa.int32(), mask=~is_known),
        pa.nulls(len(some), PLANNED.field("wanted").type),
    ]
    return pa.Table.from_arrays(columns, schema=PLANNED).combine_chunks().to_batches()


def _due_where_there(is_due: np.ndarray, failed: pa.Table, there: np.ndarray) -> np.ndarray:
    """`is_due` of FAILED_KEYS, with those that failed because the video was gone: due if it is `there`."""
    if failed.num_rows == 0:
        return is_due
    was_gone = pc.call_function("equal", [failed.column("reason"), pa.scalar(SOURCE_GONE)]).to_numpy()
    is_there = np.isin(failed.column("video").to_numpy()[was_gone], there)
    is_due = is_due.copy()
    is_due[was_gone] = is_there
    return is_due


def _lists(name: str, lengths: np.ndarray, values: pa.Array) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=PLANNED.field(name).type)


def _keys(name: str, texts: pa.Array, clips: np.ndarray, questions: np.ndarray, *more: np.ndarray) -> pa.Array:
    """Structs of `done` or `attempts`: clip_index, question_hash and, where there is more, attempts."""
    numbers = [pa.array(one, pa.int32()) for one in more]
    arrays = [pa.array(clips, pa.int32()), texts.take(pa.array(questions)), *numbers]
    return pa.StructArray.from_arrays(arrays, fields=list(PLANNED.field(name).type.value_type))


def _are_erased(found: pa.Table, erased: frozenset[str]) -> np.ndarray:
    if not erased:
        return np.zeros(found.num_rows, bool)
    uris = found.column("video_uri")
    return np.array([uri_digest(uri) in erased for chunk in uris.chunks for uri in chunk.to_pylist()], bool)
