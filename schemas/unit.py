"""Work on its way through a run: PlannedVideo, DecodedUnit, AnsweredUnit.

    PLANNED row ──> PlannedVideo ──decode──> DecodedUnit ──> DECODED row ──> DecodedUnit ──answer──> AnsweredUnit

Stages of one process hand over these dataclasses. Between processes a PlannedVideo and a DecodedUnit travel as Arrow
rows: `to_table(items, schema)` there, `X.from_table(table)` back. `schemas.tables` says what the columns mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from framegate.schemas.clip import Clip, ClipLook, ClipSteps, FrameBatch, Refusal, Video, VideoFacts
from framegate.schemas.deepening import GivenAnswer, Wanted, wanted_of, wanted_rows
from framegate.schemas.packed_frames import pack_pixels, unpack_pixels
from framegate.schemas.qa import Answer
from framegate.schemas.signatures import hide
from framegate.schemas.still import SameAs
from framegate.schemas.video_row import video_of, video_row


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something has no answer. `stage` is decode or reason, `reason` a code of `schemas.errors`. The message
    holds no signature of a URL, whoever wrote it."""

    stage: str
    reason: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", hide(self.message))


@dataclass(frozen=True, kw_only=True)
class PlannedVideo:
    """A video that has work left: the questions that are missing somewhere in it, and what of them is stored.

    done                 each (clip_index, question_hash) that is stored already
    attempts             how often a (clip_index, question_hash) that is tried again has failed
    undecoded_attempts   how often the video, or the rest of it, gave no frames
    breaks_off           the first clip without frames, where that is known and not tried again
    part, num_parts      of a long video that several workers decode at once, each one part of it; from 0
    wanted               the rows that are deepened, and nothing else is asked; None: all that is missing is
    """

    video: Video
    question_hashes: tuple[str, ...]
    done: frozenset[tuple[int, str]] = frozenset()
    attempts: Mapping[tuple[int, str], int] = field(default_factory=dict)
    undecoded_attempts: int = 0
    breaks_off: int | None = None
    part: int = 0
    num_parts: int = 1
    wanted: Wanted | None = None

    def missing(self, clip_index: int) -> tuple[str, ...]:
        """The questions still to be asked of one clip; empty: the clip need not be decoded."""
        if self.wanted is not None:
            return tuple(hash for hash in self.question_hashes if (clip_index, hash) in self.wanted)
        return tuple(hash for hash in self.question_hashes if (clip_index, hash) not in self.done)

    def attempts_at(self, clip_index: int, question_hashes: Iterable[str]) -> tuple[int, ...]:
        """Which attempt, from 1, the next one is, for each of these questions of one clip."""
        if self.wanted is not None:
            return tuple(self.wanted[clip_index, hash].attempt for hash in question_hashes)
        return tuple(1 + self.attempts.get((clip_index, hash), 0) for hash in question_hashes)

    def wanted_of(self, clip_indexes: Iterable[int]) -> Wanted | None:
        """Of these clips, the rows that are deepened; None where none ever is."""
        if self.wanted is None:
            return None
        keys = ((index, hash) for index in clip_indexes for hash in self.question_hashes)
        return {key: self.wanted[key] for key in keys if key in self.wanted}

    def wanted_from(self, clip_index: int | None) -> Wanted | None:
        """The same of that clip and all behind it; None: of the whole video."""
        if self.wanted is None:
            return None
        return {key: given for key, given in self.wanted.items() if key[0] >= (clip_index or 0)}

    @staticmethod
    def from_table(table: pa.Table) -> Iterator[PlannedVideo]:
        """Rows in PLANNED, whole videos, or in PARTS."""
        for row in table.to_pylist():
            refusal = None if row["refusal"] is None else Refusal(**row["refusal"])
            yield PlannedVideo(
                video=replace(video_of(row), refusal=refusal),
                question_hashes=tuple(row["question_hashes"]),
                done=frozenset((key["clip_index"], key["question_hash"]) for key in row["done"]),
                attempts={(key["clip_index"], key["question_hash"]): key["attempts"] for key in row["attempts"]},
                undecoded_attempts=row["undecoded_attempts"],
                breaks_off=row["breaks_off"],
                part=row.get("part", 0),
                num_parts=row.get("num_parts", 1),
                wanted=wanted_of(row["wanted"]),
            )

    def to_row(self) -> dict[str, Any]:
        done = [{"clip_index": index, "question_hash": hash} for index, hash in sorted(self.done)]
        attempts = [
            {"clip_index": index, "question_hash": hash, "attempts": number}
            for (index, hash), number in sorted(self.attempts.items())
        ]
        return {
            **video_row(self.video),
            "access": self.video.access or None,
            "refusal": None if self.video.refusal is None else asdict(self.video.refusal),
            "question_hashes": list(self.question_hashes),
            "done": done,
            "attempts": attempts,
            "undecoded_attempts": self.undecoded_attempts,
            "breaks_off": self.breaks_off,
            "part": self.part,
            "num_parts": self.num_parts,
            "wanted": wanted_rows(self.wanted),
        }


@dataclass(frozen=True, kw_only=True)
class _ClipOfUnit:
    """What a clip is before and after the engine.

    is_last         no clip of the video comes after it
    is_truncated    the file breaks off in it, so that it has fewer frames than it should
    is_letterboxed frames of it have another shape than the first one of the video, and black beside them
    bytes_read      fetched from storage for it
    look            what it looks like; None where nobody looked
    """

    clip: Clip
    is_last: bool
    decode_seconds: float
    is_truncated: bool = False
    is_letterboxed: bool = False
    bytes_read: int = 0
    look: ClipLook | None = None


@dataclass(frozen=True, kw_only=True)
class DecodedClip(_ClipOfUnit):
    """One clip with its frames. With `same_as` it shows what an earlier clip of the unit shows; where it is asked
    nothing itself, its pixels are that clip's."""

    frames: FrameBatch
    same_as: SameAs | None = None

    @property
    def has_pixels(self) -> bool:
        return self.same_as is None or bool(self.same_as.asked)

    def answered(
        self,
        answers: Iterable[Answer],
        failures: Iterable[tuple[str, Failure]],
        embedding: np.ndarray | None = None,
        steps: ClipSteps | None = None,
    ) -> AnsweredClip:
        """The clip without its frames, and what became of its questions."""
        return AnsweredClip(
            **_shared_fields(self, _ClipOfUnit),
            num_frames=len(self.frames),
            frame_size=self.frames.frames_THWC.shape[1:3],
            fps=_fps(self.frames.pts_seconds),
            answers=tuple(answers),
            failures=tuple(failures),
            embedding=embedding,
            steps=steps,
        )


@dataclass(frozen=True, kw_only=True)
class AnsweredClip(_ClipOfUnit):
    """One clip with what came back: `answers`, and `failures` as (question_hash, failure).

    frame_size   (height, width) of its frames, in pixels
    fps          frames a second that were selected; None for a single frame
    embedding    float32 (E,) of length 1 from the engine's vision states; None where it gives none
    steps        what the engine's vision tower was given; None where it does not tell
    """

    num_frames: int
    frame_size: tuple[int, int]
    fps: float | None
    answers: tuple[Answer, ...] = ()
    failures: tuple[tuple[str, Failure], ...] = ()
    embedding: np.ndarray | None = field(default=None, compare=False)
    steps: ClipSteps | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """What a unit is before and after the engine: consecutive clips of one video that miss the same questions, or the
    failure that ends the video.

    attempts            for each question: which attempt this is, from 1
    decoder             package and version; empty where no decoder was asked
    failure             with it, the unit has no clips
    failed_clip_index   the first clip without frames; None: the whole video
    failed_bytes_read   fetched from storage without a clip to show for it
    failed_attempt      which attempt at the video the failure is, from 1
    video_clips         how many clips the video is expected to have; of scenes by the length of those before
    facts               what the file says of itself; None where it could not be opened
    wanted              of these clips, or with a failure of those without frames, the rows that are deepened; None
                        where the questions are asked for the first time
    """

    video: Video
    question_hashes: tuple[str, ...]
    attempts: tuple[int, ...]
    decoder: str
    failure: Failure | None = None
    failed_clip_index: int | None = None
    failed_bytes_read: int | None = None
    failed_attempt: int = 1
    video_clips: float | None = None
    facts: VideoFacts | None = None
    wanted: Wanted | None = None

    def given(self, clip_index: int) -> dict[str, GivenAnswer]:
        """By question_hash the first answers of one clip that are gone on from."""
        return {hash: given for (index, hash), given in (self.wanted or {}).items() if index == clip_index}


@dataclass(frozen=True, kw_only=True)
class DecodedUnit(_Unit):
    """A unit on its way to the engine."""

    clips: tuple[DecodedClip, ...] = ()

    @property
    def num_asked(self) -> int:
        """Questions of clips that the engine is asked; answers that are taken over are not among them."""
        return sum(len(self.question_hashes if c.same_as is None else c.same_as.asked) for c in self.clips)

    @property
    def frame_bytes(self) -> int:
        return sum(clip.frames.frames_THWC.nbytes for clip in self.clips if clip.has_pixels)

    @staticmethod
    def from_table(table: pa.Table) -> Iterator[DecodedUnit]:
        """Rows in DECODED. Frames are views into the table's buffers, not copies: do not write into them."""
        columns = table.drop_columns(["frames"]).to_pylist()
        for row, frames in zip(columns, table.column("frames"), strict=True):
            yield DecodedUnit(
                video=video_of(row),
                question_hashes=tuple(row["question_hashes"]),
                attempts=tuple(row["attempts"]),
                decoder=row["decoder"],
                clips=tuple(_clips_of(row["video_id"], row["clips"], frames)),
                failure=None if row["failure"] is None else Failure(**row["failure"]),
                failed_clip_index=row["failed_clip_index"],
                failed_bytes_read=row["failed_bytes_read"],
                failed_attempt=row["failed_attempt"],
                video_clips=row["video_clips"],
                facts=None if row["facts"] is None else VideoFacts(**row["facts"]),
                wanted=wanted_of(row["wanted"]),
            )

    def answered(self, clips: Iterable[AnsweredClip]) -> AnsweredUnit:
        """The unit without its frames, and what became of its clips."""
        return AnsweredUnit(**_shared_fields(self, _Unit), clips=tuple(clips))

    def all_failed(self, failure: Failure) -> AnsweredUnit:
        """The unit with the same failure for every question of every clip."""
        failures = [(question_hash, failure) for question_hash in self.question_hashes]
        return self.answered(decoded.answered((), failures) for decoded in self.clips)

    def to_row(self) -> dict[str, Any]:
        return {
            **video_row(self.video),
            "question_hashes": list(self.question_hashes),
            "attempts": list(self.attempts),
            "decoder": self.decoder,
            "clips": [
                {
                    **clip_row(decoded, num_frames=len(decoded.frames)),
                    "height": decoded.frames.frames_THWC.shape[1],
                    "width": decoded.frames.frames_THWC.shape[2],
                    "pts_seconds": decoded.frames.pts_seconds.tolist(),
                    "look": None if decoded.look is None else asdict(decoded.look),
                    "same_as": None if decoded.same_as is None else asdict(decoded.same_as),
                }
                for decoded in self.clips
            ],
            "frames": pack_pixels(clip.frames.frames_THWC for clip in self.clips if clip.has_pixels),
            "failure": None if self.failure is None else asdict(self.failure),
            "failed_clip_index": self.failed_clip_index,
            "failed_bytes_read": self.failed_bytes_read,
            "failed_attempt": self.failed_attempt,
            "video_clips": self.video_clips,
            "facts": None if self.facts is None else asdict(self.facts),
            "wanted": wanted_rows(self.wanted),
        }


@dataclass(frozen=True, kw_only=True)
class AnsweredUnit(_Unit):
    """A DecodedUnit after the engine: every question of every clip is in its `answers` or in its `failures`."""

    clips: tuple[AnsweredClip, ...] = ()


def to_table(items: Iterable[PlannedVideo] | Iterable[DecodedUnit], schema: pa.Schema) -> pa.Table:
    """Rows in the schema of their boundary: PLANNED, PARTS or DECODED."""
    return pa.Table.from_pylist([item.to_row() for item in items], schema=schema)


def _fps(pts_seconds: np.ndarray) -> float | None:
    return round((len(pts_seconds) - 1) / float(pts_seconds[-1] - pts_seconds[0]), 3) if len(pts_seconds) > 1 else None


def clip_row(clip: DecodedClip | AnsweredClip, *, num_frames: int) -> dict[str, Any]:
    """The columns that DECODED and RESULTS have for a clip."""
    return {
        "clip_index": clip.clip.index,
        "start_seconds": clip.clip.start_seconds,
        "end_seconds": clip.clip.end_seconds,
        "clip_is_last": clip.is_last,
        "clip_is_truncated": clip.is_truncated,
        "clip_is_letterboxed": clip.is_letterboxed,
        "num_frames": num_frames,
        "decode_seconds": clip.decode_seconds,
        "bytes_read": clip.bytes_read,
    }


def _clips_of(video_id: str, rows: Iterable[Mapping[str, Any]], frames: pa.Scalar) -> Iterator[DecodedClip]:
    for row, frames_THWC, same_as in unpack_pixels(rows, frames):
        start, end = row["start_seconds"], row["end_seconds"]
        yield DecodedClip(
            clip=Clip(video_id=video_id, index=row["clip_index"], start_seconds=start, end_seconds=end),
            frames=FrameBatch(
                frames_THWC=frames_THWC,
                pts_seconds=np.asarray(row["pts_seconds"], dtype=np.float64),
                duration_seconds=end - start,
            ),
            is_last=row["clip_is_last"],
            decode_seconds=row["decode_seconds"],
            is_truncated=row["clip_is_truncated"],
            is_letterboxed=row["clip_is_letterboxed"],
            bytes_read=row["bytes_read"],
            look=None if row["look"] is None else ClipLook(**row["look"]),
            same_as=same_as,
        )


def _shared_fields(item: _ClipOfUnit | _Unit, shared: type[_ClipOfUnit] | type[_Unit]) -> dict[str, Any]:
    return {each.name: getattr(item, each.name) for each in fields(shared)}
