"""Which failures stand: nothing that was tried again later, nothing that was answered.

Works on columns of numbers. Knows nothing of storage.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.schemas.keys import Packing, positions_among

WHOLE = -1  # in place of a clip where the whole video is meant


def last_of_each_key(failed: pa.Table) -> pa.Table:
    """Of rows in FAILED_KEYS the last attempt at each (video, clip, question), as every row of them is kept."""
    if failed.num_rows == 0:
        return failed
    failed = failed.combine_chunks()
    video = failed.column("video").to_numpy()
    clip = pc.fill_null(failed.column("clip_index"), WHOLE).to_numpy()
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
