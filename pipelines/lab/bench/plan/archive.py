"""An archive of empty files and an output with an answer to every question: what `bench plan` plans.

A plan opens none of the files. The answers are Parquet as sealing leaves it, sorted by video.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.layout import Layout
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.config import InputConfig
from framegate.schemas.qa import Question
from framegate.schemas.tables import RESULTS

CONFIG_ID = "beec000000000000"
FILES_PER_FOLDER = 1000  # a day of cameras
ROWS_PER_FILE, ROW_GROUP_ROWS = 400_000, 100_000
_WRITTEN_AT = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """`num_videos` in `videos/stored/`, each with `num_clips` and `num_questions` answers to each of these in `index/`;
    and a hundredth as many in `videos/new/` that have none."""

    folder: str
    num_videos: int
    num_clips: int
    num_questions: int

    @property
    def num_new(self) -> int:
        return max(1, self.num_videos // 100)

    @property
    def stored(self) -> str:
        return f"{self.folder}/videos/stored/"

    @property
    def everything(self) -> str:
        return f"{self.folder}/videos/"

    @property
    def layout(self) -> Layout:
        return Layout(f"{self.folder}/index")

    def questions(self, num_more: int = 0) -> list[Question]:
        """The question bank, with `num_more` new questions."""
        return [
            Question(id=f"q{n}", text=f"Is there anything of kind {n}?", type="yes_no")
            for n in range(self.num_questions + num_more)
        ]


def make_archive(archive: Archive, *, on_done: Callable[[str, int], None] = lambda what, num_done: None) -> None:
    """Makes the archive where it does not exist; one that was begun and not finished is made again.

    `on_done` is called after each thousand videos with "files" or "answers", and with how many of them exist.
    """
    root, ready = Path(archive.folder), Path(archive.folder) / "ready.json"
    if ready.exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    for name, num_videos in (("stored", archive.num_videos), ("new", archive.num_new)):
        for first in range(0, num_videos, FILES_PER_FOLDER):
            folder = root / "videos" / name / f"{first // FILES_PER_FOLDER:04d}"
            folder.mkdir(parents=True)
            for number in range(first, min(first + FILES_PER_FOLDER, num_videos)):
                (folder / f"camera-{number:07d}.mp4").touch()
            on_done("files", first)
    store, num_written = Store(), 0
    for number, rows in enumerate(_answers(archive)):
        uri = archive.layout.sealed("results", CONFIG_ID, "", number)
        store.put_once(uri, encode_parquet(rows, row_group_rows=ROW_GROUP_ROWS))
        num_written += rows.num_rows // (archive.num_clips * archive.num_questions)
        on_done("answers", num_written)
    ready.write_text(json.dumps(asdict(archive)))


def _answers(archive: Archive) -> Iterator[pa.Table]:
    """Rows in RESULTS by video, clip and question, a file at a time."""
    found = find_videos(InputConfig(videos=archive.stored)).select(["video_uri", "video_id"])
    found = found.sort_by("video_id")
    per_video = archive.num_clips * archive.num_questions
    videos_per_file = max(1, ROWS_PER_FILE // per_video)
    for first in range(0, found.num_rows, videos_per_file):
        videos = found.slice(first, videos_per_file)
        yield _rows(videos.take(pa.array(np.repeat(np.arange(videos.num_rows), per_video))), archive)


def _rows(videos: pa.Table, archive: Archive) -> pa.Table:
    num_rows, per_clip = videos.num_rows, archive.num_questions
    place = np.arange(num_rows)
    clip, question = place // per_clip % archive.num_clips, place % per_clip
    bank = archive.questions()
    texts = {"question_id": [one.id for one in bank], "question_hash": [one.hash for one in bank]}
    columns = {
        **{name: videos.column(name) for name in videos.column_names},
        **{name: pa.array(values, pa.string()).take(pa.array(question)) for name, values in texts.items()},
        "clip_index": pa.array(clip, pa.int32()),
        "start_seconds": pa.array(clip * 10.0),
        "end_seconds": pa.array(clip * 10.0 + 10.0),
        "clip_is_last": pa.array(clip == archive.num_clips - 1),
    }
    return pa.Table.from_arrays(
        [columns.get(field.name, _constant(field, num_rows)) for field in RESULTS], schema=RESULTS
    )


def _constant(field: pa.Field, num_rows: int) -> pa.Array:
    """Some value of the field's type; null where that may be."""
    if field.nullable:
        return pa.nulls(num_rows, field.type)
    if pa.types.is_timestamp(field.type):
        return pa.repeat(pa.scalar(_WRITTEN_AT, field.type), num_rows)
    return pa.repeat(pa.scalar("answered" if pa.types.is_string(field.type) else 0).cast(field.type), num_rows)
