"""What is read back of an output to plan: which keys are answered, which failed, as numbers (`schemas.keys`)."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from framegate.schemas.columns import column, optional

ANSWERED_KEYS: Final = pa.schema(
    [
        column("video", pa.uint64(), "video_id as a number (schemas.keys)"),
        column("clip_index", pa.int32(), "the clip"),
        column("question", pa.uint64(), "question_hash as a number"),
        column("clip_is_last", pa.bool_(), "no clip of the video comes after it"),
    ]
)
"""What is answered, sealed or not: 21 bytes a row. A key may stand twice: sealed, and still in the journal."""

FAILED_KEYS: Final = pa.schema(
    [
        column("video", pa.uint64(), "video_id as a number"),
        optional("clip_index", pa.int32(), "the clip, or the first of those without frames; null: the whole video"),
        optional("question", pa.uint64(), "question_hash as a number; null: all of them"),
        column("clip_is_last", pa.bool_(), "nothing of the video comes after this row"),
        column("reason", pa.string(), "reason code"),
        column("attempts", pa.int32(), "how often it failed"),
        column("failed_at", pa.timestamp("us", tz="UTC"), "when it failed last"),
    ]
)
"""What failed and still stands, sealed or not: the last failure of each key that has no answer."""
