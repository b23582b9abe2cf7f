"""What is left to do: the videos that exist, minus the questions that are stored or settled for all of their clips.

How many clips a video has is known only once it was decoded, so that completeness rests on what is stored: a video is
complete for a question when nothing is missing from clip 0 up to the one that is marked as the last, or up to where
its frames end. All of it is arithmetic on columns of numbers: a million videos with four answers each take about two
seconds and 300 MB. Knows nothing of where the columns come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from framegate.pipelines.plan.due import Ledger, find_due
from framegate.pipelines.source.input_columns import pack_inputs
from framegate.schemas.keys import Packing, id_number, id_numbers, uri_digest
from framegate.schemas.qa import Question
from framegate.schemas.tables import FOUND, PLANNED

BATCH_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan as a table, and what of the videos that were found has no place in it.

    table         in PLANNED, in the order of what was found: the videos that have work left
    num_found     all of them: num_complete + num_settled + num_erased + the rows of `table`
    num_complete  every question of every clip is answered
    num_settled   something failed, and is not tried again now; all else is answered
    num_erased    erased on request, and staying out
    """

    table: pa.Table
    num_found: int
    num_complete: int
    num_settled: int
    num_erased: int


def plan_videos(
    found: pa.Table,
    questions: Sequence[Question],
    answered: pa.Table,
    failed: pa.Table,
    *,
    now: datetime,
    max_attempts: int,
    retry_failed: bool = False,
    erased: frozenset[str] = frozenset(),
    undecoded: pa.Table | None = None,
) -> Planned:
    """What of `found` (rows in FOUND) is left to do.

    `answered` (ANSWERED_KEYS) and `failed` (FAILED_KEYS, failures that stand) may hold rows of other videos and other
    questions. A failure is tried again when `schemas.retries` says so and it was tried less than `max_attempts` times,
    or with `retry_failed`; until then it is settled. `erased` are digests of URIs (`schemas.keys.uri_digest`).
    `undecoded` (columns video, attempts) says how often each video gave no frames before, whether that still stands or
    not, so that the next failure has a number of its own.
    """
    hashes = list(dict.fromkeys(question.hash for question in questions))
    ids = np.unique(id_numbers(found.column("video_id")))
    of_row = np.searchsorted(ids, id_numbers(found.column("video_id")))
    due = find_due(failed, now=now, max_attempts=max_attempts, retry_failed=retry_failed)
    packing = Packing.make(ids, np.array([id_number(hash) for hash in hashes], np.uint64), [answered, failed])
    ledger = Ledger(packing, answered, failed, due, undecoded)

    is_erased = _are_erased(found, erased)
    is_open = ledger.is_open[of_row] & ~is_erased
    is_settled = ledger.is_settled[of_row] & ~is_open & ~is_erased
    places = np.flatnonzero(is_open)
    batches = [
        batch
        for start in range(0, len(places), BATCH_ROWS)
        for batch in _rows(found, places[start : start + BATCH_ROWS], of_row, hashes, ledger)
    ]
    return Planned(
        table=pa.Table.from_batches(batches, PLANNED),
        num_found=found.num_rows,
        num_complete=int((~is_open & ~is_settled & ~is_erased).sum()),
        num_settled=int(is_settled.sum()),
        num_erased=int(is_erased.sum()),
    )


def _rows(
    found: pa.Table, places: np.ndarray, of_row: np.ndarray, hashes: Sequence[str], ledger: Ledger
) -> list[pa.RecordBatch]:
    rows = found.take(pa.array(places))
    rows = rows.set_column(FOUND.get_field_index("inputs"), FOUND.field("inputs"), pack_inputs(rows))
    videos, texts = of_row[places], pa.array(hashes, pa.string())
    num_missing, questions = ledger.missing(videos)
    num_done, *done = ledger.done(videos)
    num_due, *due = ledger.due(videos)
    columns = [
        *(rows.column(name) for name in FOUND.names),
        _lists("question_hashes", num_missing, texts.take(pa.array(questions))),
        _lists("done", num_done, _keys("done", texts, *done)),
        _lists("attempts", num_due, _keys("attempts", texts, *due)),
        pa.array(ledger.undecoded_attempts[videos], pa.int32()),
    ]
    return pa.Table.from_arrays(columns, schema=PLANNED).combine_chunks().to_batches()


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
