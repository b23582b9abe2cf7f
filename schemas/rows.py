"""The parts that rows of several boundaries share, as columns and back: video, clip, answer, failure.

The columns follow `schemas.tables`. Knows nothing of whole units (`schemas.work`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from framegate.schemas.clip import Clip, Member, Video
from framegate.schemas.qa import Answer


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something has no answer. `stage` is decode or reason, `reason` a code of `schemas.errors`."""

    stage: str
    reason: str
    message: str


def video_row(video: Video) -> dict[str, object]:
    """A Video as columns; a refusal is a column of PLANNED alone, as no later stage sees a refused video."""
    member = video.member
    return {
        "video_uri": video.uri,
        "video_id": video.video_id,
        "video_version": video.version,
        "video_size_bytes": video.size_bytes,
        "member_name": member.name if member else None,
        "member_offset_bytes": member.offset_bytes if member else None,
        "inputs": inputs_bytes(video.inputs),
    }


def video_of(row: Mapping) -> Video:
    inputs = inputs_table(row["inputs"])
    name = row["member_name"]
    return Video(
        uri=row["video_uri"],
        version=row["video_version"],
        size_bytes=row["video_size_bytes"],
        inputs=inputs.to_pylist()[0] if inputs is not None else {},
        member=None if name is None else Member(name=name, offset_bytes=row["member_offset_bytes"]),
    )


def inputs_bytes(inputs: Mapping[str, object]) -> bytes:
    """A manifest row with its types: an Arrow IPC stream of one row; empty where the manifest has no other columns."""
    if not inputs:
        return b""
    table = pa.Table.from_pylist([dict(inputs)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def inputs_table(data: bytes) -> pa.Table | None:
    """The one-row table that `inputs_bytes` packed, or None."""
    return pa.ipc.open_stream(data).read_all() if data else None


def clip_row(
    clip: Clip, *, is_last: bool, is_truncated: bool, num_frames: int, decode_seconds: float, bytes_read: int
) -> dict[str, object]:
    return {
        "clip_index": clip.index,
        "start_seconds": clip.start_seconds,
        "end_seconds": clip.end_seconds,
        "clip_is_last": is_last,
        "clip_is_truncated": is_truncated,
        "num_frames": num_frames,
        "decode_seconds": decode_seconds,
        "bytes_read": bytes_read,
    }


def failure_row(failure: Failure | None) -> dict[str, object] | None:
    if failure is None:
        return None
    return {"stage": failure.stage, "reason": failure.reason, "message": failure.message}


def answer_row(answer: Answer) -> dict[str, object]:
    """An Answer as the columns that results have for it."""
    question = answer.question
    return {
        "question_id": question.id,
        "question_hash": question.hash,
        "question": question.text,
        "answer_type": question.type,
        "answer": answer.answer,
        "answer_first": answer.answer_first,
        "answer_second": answer.answer_second,
        "confidence_first": answer.confidence_first,
        "confidence_second": answer.confidence_second,
        "thinking": answer.thinking,
        "gate_reason": answer.verdict.reason,
        "thinking_text": answer.thinking_text,
        "span_start_seconds": answer.span_start_seconds,
        "span_end_seconds": answer.span_end_seconds,
        "num_prompt_tokens": answer.num_prompt_tokens,
        "num_video_tokens": answer.num_video_tokens,
        "num_answer_tokens": answer.num_answer_tokens,
        "num_thinking_tokens": answer.num_thinking_tokens,
        "finish_reason": answer.finish_reason,
        "status": answer.status,
        "engine_seconds": answer.engine_seconds,
    }
