"""Rows of `results` as a run over cameras leaves them, made of random numbers: what `bench query` queries.

Every figure follows from a seed, so that the same arguments give the same rows. Ids are digests, as real ones are, so
that they have no order in time or by camera.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.schemas.tables import RESULTS

CONFIG_ID: Final = "beec000000000001"
FIRST_NIGHT: Final = date(2026, 11, 1)
THINKING_SHARE: Final = 0.3
UNPARSED_SHARE: Final = 0.002
CLIP_SECONDS: Final = 10.0
INPUTS: Final = [pa.field("input_camera", pa.string()), pa.field("input_taken", pa.string())]
SCHEMA: Final = pa.schema([*RESULTS, *INPUTS])
_NUM_THOUGHTS: Final = 4096  # different ones; a thought of some 40 words repeats after so many
_WORDS: Final = ("the", "car", "leaves", "a", "yard", "while", "one", "person", "walks", "to", "gate", "and", "waits")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """`num_nights` nights of `num_videos` videos each, spread evenly over `num_cameras`; `num_clips` clips a video, and
    `num_questions` answers a clip."""

    num_nights: int
    num_videos: int
    num_cameras: int
    num_clips: int
    num_questions: int

    @property
    def num_rows(self) -> int:
        return self.num_nights * self.num_videos * self.num_clips * self.num_questions

    @property
    def cameras(self) -> list[str]:
        return [f"cam-{number:02d}" for number in range(self.num_cameras)]

    def night(self, number: int) -> date:
        return FIRST_NIGHT + timedelta(days=number)

    def run_id(self, night: int) -> str:
        return f"{self.night(night):%Y%m%d}T010000Z-{night:06x}"

    def videos_of(self, night: int, camera: int) -> list[str]:
        """The URIs of one camera's videos of one night."""
        name, day = self.cameras[camera], self.night(night)
        numbers = range(camera, self.num_videos, self.num_cameras)
        return [f"s3://archive/{name}/{day:%Y/%m/%d}/{number:05d}.mp4" for number in numbers]


def video_id(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


def question_id(number: int) -> str:
    return f"question-{number:02d}"


def question_hash(number: int) -> str:
    return hashlib.sha256(question_id(number).encode()).hexdigest()[:16]


def rows_of(archive: Archive, night: int, camera: int) -> pa.Table:
    """All answers about one camera's videos of one night, in SCHEMA, in no particular order."""
    uris = archive.videos_of(night, camera)
    per_clip, per_video = archive.num_questions, archive.num_clips * archive.num_questions
    place = np.arange(len(uris) * per_video)
    video, clip, question = place // per_video, place // per_clip % archive.num_clips, place % per_clip
    chance = np.random.default_rng([20, night, camera])
    columns = {
        **_about_video(uris, video, archive, night, camera),
        **_about_clip(clip, archive, chance),
        **_about_answer(question, len(place), chance),
    }
    arrays = [columns[field.name] if field.name in columns else _constant(field, len(place)) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _about_video(uris: list[str], video: np.ndarray, archive: Archive, night: int, camera: int) -> dict[str, pa.Array]:
    taken = datetime.combine(archive.night(night), datetime.min.time(), UTC)
    times = [(taken + timedelta(seconds=86_400 / len(uris) * n)).isoformat() for n in range(len(uris))]
    of_video = {"video_uri": uris, "video_id": [video_id(uri) for uri in uris], "input_taken": times}
    num_rows = len(video)
    written_at = pa.scalar(taken + timedelta(days=1, hours=2), SCHEMA.field("written_at").type)
    return {
        **{name: pa.array(values, pa.string()).take(pa.array(video)) for name, values in of_video.items()},
        "input_camera": pa.repeat(archive.cameras[camera], num_rows),
        "run_id": pa.repeat(archive.run_id(night), num_rows),
        "written_at": pa.repeat(written_at, num_rows),
    }


def _about_clip(clip: np.ndarray, archive: Archive, chance: np.random.Generator) -> dict[str, pa.Array]:
    num_rows = len(clip)
    return {
        "clip_index": pa.array(clip, pa.int32()),
        "start_seconds": pa.array(clip * CLIP_SECONDS),
        "end_seconds": pa.array((clip + 1) * CLIP_SECONDS),
        "clip_is_last": pa.array(clip == archive.num_clips - 1),
        "num_frames": pa.array(np.full(num_rows, 16, np.int32)),
        "decode_seconds": pa.array(chance.uniform(0.1, 0.4, num_rows)),
        "bytes_read": pa.array(chance.integers(2**18, 2**20, num_rows)),
    }


def _about_answer(question: np.ndarray, num_rows: int, chance: np.random.Generator) -> dict[str, pa.Array]:
    numbers = range(int(question.max(initial=0)) + 1)
    texts = {
        "question_id": [question_id(n) for n in numbers],
        "question_hash": [question_hash(n) for n in numbers],
        "question": [f"How many things of kind {n} are in the picture?" for n in numbers],
    }
    thinks, is_unparsed = chance.random(num_rows) < THINKING_SHARE, chance.random(num_rows) < UNPARSED_SHARE
    answers = pa.array([str(n) for n in range(9)]).take(pa.array(chance.integers(0, 9, num_rows)))
    thoughts = pa.array(list(_thoughts())).take(pa.array(chance.integers(0, _NUM_THOUGHTS, num_rows)))
    missing = pa.scalar(None, pa.string())
    either = {True: pa.array(thinks), False: pa.array(~thinks)}
    return {
        **{name: pa.array(values).take(pa.array(question)) for name, values in texts.items()},
        "answer_type": pa.repeat("number", num_rows),
        "answer": _where(pa.array(is_unparsed), missing, answers),
        "answer_first": answers,
        "answer_second": _where(either[True], answers, missing),
        "confidence_first": pa.array(chance.random(num_rows)),
        "confidence_second": pa.array(chance.random(num_rows), mask=~thinks),
        "thinking": either[True],
        "gate_reason": _where(either[True], pa.scalar("unsure"), pa.scalar("confident")),
        "thinking_text": _where(either[True], thoughts, missing),
        "num_prompt_tokens": pa.array(chance.integers(900, 1100, num_rows), pa.int32()),
        "num_answer_tokens": pa.array(np.full(num_rows, 5, np.int32)),
        "num_thinking_tokens": pa.array(np.where(thinks, chance.integers(40, 60, num_rows), 0), pa.int32()),
        "status": _where(pa.array(is_unparsed), pa.scalar("unparsed"), pa.scalar("answered")),
        "engine_seconds": pa.array(chance.uniform(0.05, 0.5, num_rows)),
    }


def _where(condition: pa.Array, yes: Any, no: Any) -> pa.Array:
    return pc.call_function("if_else", [condition, yes, no])


def _thoughts() -> Iterator[str]:
    chance = np.random.default_rng(7)
    for words in chance.integers(0, len(_WORDS), (_NUM_THOUGHTS, 40)):
        yield " ".join(_WORDS[word] for word in words)


def _constant(field: pa.Field, num_rows: int) -> pa.Array:
    """The same value in each row: null where that may be."""
    if field.nullable:
        return pa.nulls(num_rows, field.type)
    return pa.repeat(pa.scalar("same" if pa.types.is_string(field.type) else 0).cast(field.type), num_rows)
