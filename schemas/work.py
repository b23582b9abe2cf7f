"""Work on its way between stages: PlannedVideo, DecodedUnit, AnsweredUnit, as dataclasses and as Arrow rows.

The rows follow `schemas.tables`. A stage reads `X.from_table(batch)` and gives back `to_table([...])`; the columns are
known here and nowhere else. Knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.clip import Clip, FrameBatch, Video
from schemas.qa import Answer


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something has no answer. `stage` is decode or reason, `reason` a code of `schemas.errors`."""

    stage: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class PlannedVideo:
    """A video that has work left: the questions that are missing somewhere in it, and what of them is stored."""

    video: Video
    question_hashes: tuple[str, ...]
    done: frozenset[tuple[int, str]] = frozenset()

    def missing(self, clip_index: int) -> tuple[str, ...]:
        """The questions still to be asked of one clip; empty: the clip need not be decoded."""
        return tuple(hash for hash in self.question_hashes if (clip_index, hash) not in self.done)

    @staticmethod
    def from_table(table: pa.Table) -> Iterator[PlannedVideo]:
        for row in table.to_pylist():
            done = frozenset((key["clip_index"], key["question_hash"]) for key in row["done"])
            yield PlannedVideo(video=_video(row), question_hashes=tuple(row["question_hashes"]), done=done)

    def to_row(self) -> dict[str, object]:
        done = [{"clip_index": index, "question_hash": hash} for index, hash in sorted(self.done)]
        return {**_video_row(self.video), "question_hashes": list(self.question_hashes), "done": done}


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """One clip with its frames. `is_last`: no clip of the video comes after it."""

    clip: Clip
    frames: FrameBatch
    is_last: bool
    decode_seconds: float


@dataclass(frozen=True, kw_only=True)
class DecodedUnit:
    """Consecutive clips of one video that miss the same questions, or the failure that ends the video.

    With a failure, `clips` is empty and `failed_clip_index` is the first clip without frames (None: the whole video).
    """

    video: Video
    question_hashes: tuple[str, ...]
    decoder: str
    clips: tuple[DecodedClip, ...] = ()
    failure: Failure | None = None
    failed_clip_index: int | None = None

    @staticmethod
    def from_table(table: pa.Table) -> Iterator[DecodedUnit]:
        """Frames are views into the table's buffers, not copies: do not write into them."""
        columns = table.drop_columns(["frames"]).to_pylist()
        for row, frames in zip(columns, table.column("frames"), strict=True):
            yield DecodedUnit(
                video=_video(row),
                question_hashes=tuple(row["question_hashes"]),
                decoder=row["decoder"],
                clips=tuple(_clips(row["video_id"], row["clips"], frames)),
                failure=_failure(row["failure"]),
                failed_clip_index=row["failed_clip_index"],
            )

    def to_row(self) -> dict[str, object]:
        return {
            **_video_row(self.video),
            "question_hashes": list(self.question_hashes),
            "decoder": self.decoder,
            "clips": [
                {
                    **_clip_row(decoded.clip, decoded.is_last, len(decoded.frames), decoded.decode_seconds),
                    "height": decoded.frames.frames_THWC.shape[1],
                    "width": decoded.frames.frames_THWC.shape[2],
                    "pts_seconds": decoded.frames.pts_seconds.tolist(),
                }
                for decoded in self.clips
            ],
            "frames": b"".join(np.ascontiguousarray(c.frames.frames_THWC).data for c in self.clips),
            "failure": _failure_row(self.failure),
            "failed_clip_index": self.failed_clip_index,
        }


@dataclass(frozen=True, kw_only=True)
class AnsweredClip:
    """One clip with what came back: `answers`, and `failures` as (question_hash, failure)."""

    clip: Clip
    is_last: bool
    num_frames: int
    decode_seconds: float
    answers: tuple[Answer, ...] = ()
    failures: tuple[tuple[str, Failure], ...] = ()


@dataclass(frozen=True, kw_only=True)
class AnsweredUnit:
    """A DecodedUnit after the engine: every question of every clip is in `answers` or in `failures`."""

    video: Video
    question_hashes: tuple[str, ...]
    decoder: str
    clips: tuple[AnsweredClip, ...] = ()
    failure: Failure | None = None
    failed_clip_index: int | None = None

    def to_row(self) -> dict[str, object]:
        return {
            **_video_row(self.video),
            "question_hashes": list(self.question_hashes),
            "decoder": self.decoder,
            "clips": [
                {
                    **_clip_row(answered.clip, answered.is_last, answered.num_frames, answered.decode_seconds),
                    "answers": [answer_row(answer) for answer in answered.answers],
                    "failures": [
                        {"question_hash": hash, **(_failure_row(failure) or {})} for hash, failure in answered.failures
                    ],
                }
                for answered in self.clips
            ],
            "failure": _failure_row(self.failure),
            "failed_clip_index": self.failed_clip_index,
        }


def to_table(
    work: Iterable[PlannedVideo] | Iterable[DecodedUnit] | Iterable[AnsweredUnit], schema: pa.Schema
) -> pa.Table:
    """Rows in the schema of their boundary: PLANNED, DECODED or ANSWERED."""
    return pa.Table.from_pylist([item.to_row() for item in work], schema=schema)


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


def _video_row(video: Video) -> dict[str, object]:
    return {
        "video_uri": video.uri,
        "video_id": video.video_id,
        "video_version": video.version,
        "video_size_bytes": video.size_bytes,
        "inputs": inputs_bytes(video.inputs),
    }


def _video(row: Mapping) -> Video:
    inputs = inputs_table(row["inputs"])
    return Video(
        uri=row["video_uri"],
        version=row["video_version"],
        size_bytes=row["video_size_bytes"],
        inputs=inputs.to_pylist()[0] if inputs is not None else {},
    )


def _clip_row(clip: Clip, is_last: bool, num_frames: int, decode_seconds: float) -> dict[str, object]:
    return {
        "clip_index": clip.index,
        "start_seconds": clip.start_seconds,
        "end_seconds": clip.end_seconds,
        "clip_is_last": is_last,
        "num_frames": num_frames,
        "decode_seconds": decode_seconds,
    }


def _clips(video_id: str, rows: Iterable[Mapping], frames: pa.Scalar) -> Iterator[DecodedClip]:
    pixels = np.frombuffer(frames.as_buffer() or b"", dtype=np.uint8)
    offset = 0
    for row in rows:
        shape = (row["num_frames"], row["height"], row["width"], 3)
        size = int(np.prod(shape))
        start, end = row["start_seconds"], row["end_seconds"]
        yield DecodedClip(
            clip=Clip(video_id=video_id, index=row["clip_index"], start_seconds=start, end_seconds=end),
            frames=FrameBatch(
                frames_THWC=pixels[offset : offset + size].reshape(shape),
                pts_seconds=np.asarray(row["pts_seconds"], dtype=np.float64),
                duration_seconds=end - start,
            ),
            is_last=row["clip_is_last"],
            decode_seconds=row["decode_seconds"],
        )
        offset += size


def _failure(row: Mapping | None) -> Failure | None:
    return None if row is None else Failure(**row)


def _failure_row(failure: Failure | None) -> dict[str, object] | None:
    if failure is None:
        return None
    return {"stage": failure.stage, "reason": failure.reason, "message": failure.message}
