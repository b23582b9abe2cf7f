"""Work on its way between stages: DecodedUnit and AnsweredUnit, as dataclasses and as Arrow rows.

The rows follow `schemas.tables`. A stage reads `X.from_table(batch)` and gives back `to_table([...])`; the columns are
known here and nowhere else. Knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from framegate.schemas.clip import Clip, FrameBatch, Video
from framegate.schemas.planned import PlannedVideo
from framegate.schemas.qa import Answer
from framegate.schemas.rows import Failure, answer_row, clip_row, failure_row, video_of, video_row


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """One clip with its frames.

    is_last        no clip of the video comes after it
    is_truncated   the file breaks off in it, so that it has fewer frames than it should
    bytes_read     fetched from storage for it
    """

    clip: Clip
    frames: FrameBatch
    is_last: bool
    decode_seconds: float
    is_truncated: bool = False
    bytes_read: int = 0

    def answered(self, answers: Iterable[Answer], failures: Iterable[tuple[str, Failure]]) -> AnsweredClip:
        """The clip without its frames, and what became of its questions."""
        return AnsweredClip(
            clip=self.clip,
            is_last=self.is_last,
            num_frames=len(self.frames),
            decode_seconds=self.decode_seconds,
            is_truncated=self.is_truncated,
            bytes_read=self.bytes_read,
            answers=tuple(answers),
            failures=tuple(failures),
        )


@dataclass(frozen=True, kw_only=True)
class DecodedUnit:
    """Consecutive clips of one video that miss the same questions, or the failure that ends the video.

    With a failure, `clips` is empty, `failed_clip_index` is the first clip without frames (None: the whole video) and
    `failed_bytes_read` what was fetched from storage without a clip to show for it. `decoder` is empty where none was
    asked. `attempts` says for each question, and `failed_attempt` for the failure, which attempt this is, from 1.
    """

    video: Video
    question_hashes: tuple[str, ...]
    attempts: tuple[int, ...]
    decoder: str
    clips: tuple[DecodedClip, ...] = ()
    failure: Failure | None = None
    failed_clip_index: int | None = None
    failed_bytes_read: int | None = None
    failed_attempt: int = 1

    @staticmethod
    def from_table(table: pa.Table) -> Iterator[DecodedUnit]:
        """Frames are views into the table's buffers, not copies: do not write into them."""
        columns = table.drop_columns(["frames"]).to_pylist()
        for row, frames in zip(columns, table.column("frames"), strict=True):
            yield DecodedUnit(
                video=video_of(row),
                question_hashes=tuple(row["question_hashes"]),
                attempts=tuple(row["attempts"]),
                decoder=row["decoder"],
                clips=tuple(_clips(row["video_id"], row["clips"], frames)),
                failure=None if row["failure"] is None else Failure(**row["failure"]),
                failed_clip_index=row["failed_clip_index"],
                failed_bytes_read=row["failed_bytes_read"],
                failed_attempt=row["failed_attempt"],
            )

    def answered(self, clips: Iterable[AnsweredClip]) -> AnsweredUnit:
        """The unit without its frames, and what became of its clips."""
        return AnsweredUnit(
            video=self.video,
            question_hashes=self.question_hashes,
            attempts=self.attempts,
            decoder=self.decoder,
            clips=tuple(clips),
            failure=self.failure,
            failed_clip_index=self.failed_clip_index,
            failed_bytes_read=self.failed_bytes_read,
            failed_attempt=self.failed_attempt,
        )

    def all_failed(self, failure: Failure) -> AnsweredUnit:
        """The unit with the same failure for every question of every clip."""
        failures = [(question_hash, failure) for question_hash in self.question_hashes]
        return self.answered(decoded.answered((), failures) for decoded in self.clips)

    def to_row(self) -> dict[str, object]:
        return {
            **video_row(self.video),
            "question_hashes": list(self.question_hashes),
            "attempts": list(self.attempts),
            "decoder": self.decoder,
            "clips": [
                {
                    **clip_row(
                        decoded.clip,
                        is_last=decoded.is_last,
                        is_truncated=decoded.is_truncated,
                        num_frames=len(decoded.frames),
                        decode_seconds=decoded.decode_seconds,
                        bytes_read=decoded.bytes_read,
                    ),
                    "height": decoded.frames.frames_THWC.shape[1],
                    "width": decoded.frames.frames_THWC.shape[2],
                    "pts_seconds": decoded.frames.pts_seconds.tolist(),
                }
                for decoded in self.clips
            ],
            "frames": b"".join(np.ascontiguousarray(c.frames.frames_THWC).data for c in self.clips),
            "failure": failure_row(self.failure),
            "failed_clip_index": self.failed_clip_index,
            "failed_bytes_read": self.failed_bytes_read,
            "failed_attempt": self.failed_attempt,
        }


@dataclass(frozen=True, kw_only=True)
class AnsweredClip:
    """One clip with what came back: `answers`, and `failures` as (question_hash, failure)."""

    clip: Clip
    is_last: bool
    num_frames: int
    decode_seconds: float
    is_truncated: bool = False
    bytes_read: int = 0
    answers: tuple[Answer, ...] = ()
    failures: tuple[tuple[str, Failure], ...] = ()


@dataclass(frozen=True, kw_only=True)
class AnsweredUnit:
    """A DecodedUnit after the engine: every question of every clip is in `answers` or in `failures`."""

    video: Video
    question_hashes: tuple[str, ...]
    attempts: tuple[int, ...]
    decoder: str
    clips: tuple[AnsweredClip, ...] = ()
    failure: Failure | None = None
    failed_clip_index: int | None = None
    failed_bytes_read: int | None = None
    failed_attempt: int = 1

    def to_row(self) -> dict[str, object]:
        return {
            **video_row(self.video),
            "question_hashes": list(self.question_hashes),
            "attempts": list(self.attempts),
            "decoder": self.decoder,
            "clips": [
                {
                    **clip_row(
                        answered.clip,
                        is_last=answered.is_last,
                        is_truncated=answered.is_truncated,
                        num_frames=answered.num_frames,
                        decode_seconds=answered.decode_seconds,
                        bytes_read=answered.bytes_read,
                    ),
                    "answers": [answer_row(answer) for answer in answered.answers],
                    "failures": [
                        {"question_hash": hash, **(failure_row(failure) or {})} for hash, failure in answered.failures
                    ],
                }
                for answered in self.clips
            ],
            "failure": failure_row(self.failure),
            "failed_clip_index": self.failed_clip_index,
            "failed_bytes_read": self.failed_bytes_read,
            "failed_attempt": self.failed_attempt,
        }


def to_table(
    work: Iterable[PlannedVideo] | Iterable[DecodedUnit] | Iterable[AnsweredUnit], schema: pa.Schema
) -> pa.Table:
    """Rows in the schema of their boundary: PLANNED, DECODED or ANSWERED."""
    return pa.Table.from_pylist([item.to_row() for item in work], schema=schema)


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
            is_truncated=row["clip_is_truncated"],
            bytes_read=row["bytes_read"],
        )
        offset += size
