"""What decoders found out about videos, brought into the log of videos as their clips are sealed.

It is done before the seal is recorded, so that a sealer that dies leaves it to the one that completes the seal.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.sealed_parquet import row_positions
from framegate.pipelines.commit.video_log import VideoLog, change_video_log
from framegate.pipelines.commit.video_rows import HAS_FACTS, with_facts
from framegate.schemas.keys import id_numbers
from framegate.schemas.tables import FACT_NAMES, VIDEO_STATES

_NEEDED: Final = ("video_id", "start_seconds", "clip_started_at", *FACT_NAMES)


def learn_facts(output: Output, rows: pa.Table) -> None:
    """Adds to the log what rows of the journal say of videos of which it knows no facts yet. Raises StorageError.

    A log that is not begun stays so: its first object has all videos of an output, which a run alone knows.
    """
    found = _facts(rows)
    if found.num_rows:
        change_video_log(output, lambda log: _changes(found, log))


def _facts(rows: pa.Table) -> pa.Table:
    """One row for each video that has clips here: its facts, and when it began."""
    clips = rows.select(list(_NEEDED)).take(pa.array(row_positions("clips", rows)))
    clips = clips.filter(clips.column(HAS_FACTS).is_valid())
    _, first = np.unique(id_numbers(clips.column("video_id")), return_index=True)
    clips = clips.take(pa.array(first))
    after = pc.call_function("multiply", [clips.column("start_seconds"), pa.scalar(1e6)])
    after = pc.call_function("round", [after]).cast(pa.int64()).cast(pa.duration("us"))
    return clips.append_column("started_at", pc.call_function("subtract", [clips.column("clip_started_at"), after]))


def _changes(found: pa.Table, log: VideoLog) -> pa.Table:
    if not log.is_begun:
        return VIDEO_STATES.empty_table()
    lacking = np.intersect1d(id_numbers(found.column("video_id")), log.ids[~log.has_facts])
    return with_facts(log.rows(lacking), found) if len(lacking) else VIDEO_STATES.empty_table()
