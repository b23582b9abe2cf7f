"""What is read back of an output to plan: which keys are answered, which failed, as numbers (`schemas.keys`)."""

from __future__ import annotations

from typing import Final

import pyarrow as pa


def _there(name: str, type: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, type, nullable=False, metadata={"meaning": meaning})


def _optional(name: str, type: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, type, metadata={"meaning": meaning})


ANSWERED_KEYS: Final = pa.schema(
    [
        _there("video", pa.uint64(), "video_id as a number (schemas.keys)"),
        _there("clip_index", pa.int32(), "the clip"),
        _there("question", pa.uint64(), "question_hash as a number"),
        _there("clip_is_last", pa.bool_(), "no clip of the video comes after it"),
    ]
)
"""What is answered, sealed or not: 21 bytes a row. A key may stand twice: sealed, and still in the journal."""

FAILED_KEYS: Final = pa.schema(
    [
        _there("video", pa.uint64(), "video_id as a number"),
        _optional("clip_index", pa.int32(), "the clip, or the first of those without frames; null: the whole video"),
        _optional("question", pa.uint64(), "question_hash as a number; null: all of them"),
        _there("clip_is_last", pa.bool_(), "nothing of the video comes after this row"),
        _there("reason", pa.string(), "reason code"),
        _there("attempts", pa.int32(), "how often it failed"),
        _there("failed_at", pa.timestamp("us", tz="UTC"), "when it failed last"),
    ]
)
"""What failed and still stands, sealed or not: the last failure of each key that has no answer."""
