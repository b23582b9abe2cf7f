"""What is left to do: the videos that exist, minus the questions that are stored for all of their clips.

How many clips a video has is known only once it was decoded, so that completeness rests on what is stored: a video is
complete for a question when its rows reach from clip 0 without a gap to one that is marked as the last. Works on
columns; nothing here grows with the rows of complete videos but Arrow arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.clip import Video
from schemas.qa import Question
from schemas.work import PlannedVideo


def plan_videos(videos: Sequence[Video], questions: Sequence[Question], done: pa.Table) -> list[PlannedVideo]:
    """The videos with work left, in the order given.

    `done` has the columns video_id, clip_index (null: the whole video), question_hash (null: every question, those of
    later runs too) and clip_is_last; it may hold rows of other videos and other questions.
    """
    hashes = [question.hash for question in questions]
    ids = pa.array([video.video_id for video in videos], pa.string())
    rows = done.filter(pc.field("video_id").isin(ids))
    rows = rows.set_column(
        rows.schema.get_field_index("clip_index"), "clip_index", pc.fill_null(rows.column("clip_index"), 0)
    )
    complete = {hash: set(_complete_videos(_rows_of(rows, hash)).to_pylist()) for hash in hashes}
    missing = {
        video.video_id: left
        for video in videos
        if (left := tuple(hash for hash in hashes if video.video_id not in complete[hash]))
    }
    stored = _stored_keys(rows, missing)
    return [
        PlannedVideo(video=video, question_hashes=missing[video.video_id], done=frozenset(stored[video.video_id]))
        for video in videos
        if video.video_id in missing
    ]


def _rows_of(rows: pa.Table, question_hash: str) -> pa.Table:
    question = pc.field("question_hash")
    return rows.filter((question == question_hash) | question.is_null())


def _complete_videos(rows: pa.Table) -> pa.ChunkedArray:
    """The videos whose clips are all there, given the rows of one question."""
    last = rows.filter(pc.field("clip_is_last")).group_by("video_id").aggregate([("clip_index", "min")])
    both = rows.join(last, keys="video_id", join_type="inner")
    upto = both.filter(pc.field("clip_index") <= pc.field("clip_index_min"))
    counts = upto.group_by("video_id").aggregate([("clip_index", "count_distinct"), ("clip_index_min", "min")])
    whole = counts.filter(pc.field("clip_index_count_distinct") == pc.field("clip_index_min_min") + 1)
    return whole.column("video_id")


def _stored_keys(rows: pa.Table, missing: dict[str, tuple[str, ...]]) -> dict[str, set[tuple[int, str]]]:
    """(clip_index, question_hash) that need not be asked again, for the videos that are only partly done."""
    stored: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for row in rows.filter(pc.field("video_id").isin(pa.array(list(missing), pa.string()))).to_pylist():
        wanted = missing[row["video_id"]]
        asked = wanted if row["question_hash"] is None else (row["question_hash"],)
        stored[row["video_id"]] |= {(row["clip_index"], hash) for hash in asked if hash in wanted}
    return stored
