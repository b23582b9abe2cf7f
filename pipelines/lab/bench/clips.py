"""`bench clips`: what the rows of `clips/` cost, beside decoding the clips, and how large they are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.sealed_parquet import encode_sealed
from framegate.pipelines.decode.clip_look import look_at
from framegate.pipelines.decode.clip_reader import ClipReader
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.store import Store
from framegate.schemas.clip import ClipLook, Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.tables import CLIPS
from framegate.schemas.unit import DecodedClip, PlannedVideo

_QUESTION: Final = "0" * 16
_WRITTEN_AT: Final = datetime(2026, 11, 29, 1, tzinfo=UTC)
_RANDOM: Final = np.random.default_rng(0)


@dataclass(frozen=True, kw_only=True)
class ClipFigures:
    """Of the clips of one video, or of several. Seconds are medians over the repeats. `seconds_share` is `look_seconds`
    by `decode_seconds`: of a run, which also asks, it is less. Bytes are means of a clip; `sealed_bytes` are those of
    its row in a sealed file of all these clips, an embedding among them."""

    file: str
    num_clips: int
    decode_seconds: float
    look_seconds: float
    seconds_share: float
    thumbnail_bytes: int
    sealed_bytes: int


def measure_clips(
    files: Sequence[Path], *, clip_seconds: float, num_repeats: int, num_values: int
) -> Iterator[ClipFigures]:
    """Decodes all clips of each video as a run does by default, and looks at each; with several, all come last.

    An embedding has `num_values` values of chance. Raises VideoError, StorageError.
    """
    all_runs: list[_Run] = []
    for path in files:
        runs = [_run(path, clip_seconds) for _ in range(num_repeats)]
        middle = _Run(
            median(run.decode_seconds for run in runs), median(run.look_seconds for run in runs), runs[0].rows
        )
        all_runs.append(middle)
        yield _figures(path.name, middle, num_values)
    if len(all_runs) > 1:
        rows = [row for run in all_runs for row in run.rows]
        seconds = sum(run.decode_seconds for run in all_runs), sum(run.look_seconds for run in all_runs)
        yield _figures("all", _Run(*seconds, rows), num_values)


class _Run(NamedTuple):
    decode_seconds: float
    look_seconds: float
    rows: list[dict[str, Any]]


def _figures(name: str, run: _Run, num_values: int) -> ClipFigures:
    rows = [{**row, "embedding": _chance(num_values)} for row in run.rows]
    return ClipFigures(
        file=name,
        num_clips=len(rows),
        decode_seconds=round(run.decode_seconds, 4),
        look_seconds=round(run.look_seconds, 4),
        seconds_share=round(run.look_seconds / run.decode_seconds, 4),
        thumbnail_bytes=sum(len(row["thumbnail"]) for row in rows) // len(rows),
        sealed_bytes=_sealed_bytes(rows) // len(rows),
    )


def _sealed_bytes(rows: Sequence[Mapping[str, Any]]) -> int:
    """What rows add to a sealed file, whose footer has the same size however many there are."""
    table = pa.Table.from_pylist(rows, schema=CLIPS)
    return len(encode_sealed([table], CLIPS)) - len(encode_sealed([table.slice(0, 0)], CLIPS))


def _run(path: Path, clip_seconds: float) -> _Run:
    """Seconds of decoding and of looking, clip by clip in turn, and what a row of each clip has."""
    info = Store().stat(str(path))
    video = Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes)
    policy = Policy(frames=FramesConfig(), clips=ClipsConfig(seconds=clip_seconds))
    clips = ClipReader(PlannedVideo(video=video, question_hashes=(_QUESTION,)), policy)
    rows: list[dict[str, Any]] = []
    decode_seconds = look_seconds = 0.0
    started = time.perf_counter()
    with (
        Store().open_pinned(video) as pinned,
        RangeFile(pinned.read, pinned.size_bytes) as file,
        open_reader("pyav", file) as reader,
    ):
        for clip in clips.read(reader, pinned):
            decoded = time.perf_counter()
            decode_seconds += decoded - started
            rows.append(_row(clip, look_at(clip.frames)))
            started = time.perf_counter()
            look_seconds += started - decoded
    return _Run(decode_seconds + time.perf_counter() - started, look_seconds, rows)


def _row(clip: DecodedClip, look: ClipLook) -> dict[str, Any]:
    return {
        "video_uri": f"s3://archive/camera-07/2026/11/29/{clip.clip.video_id}.mp4",
        "video_id": clip.clip.video_id,
        "clip_index": clip.clip.index,
        "start_seconds": clip.clip.start_seconds,
        "end_seconds": clip.clip.end_seconds,
        "clip_is_last": clip.is_last,
        "clip_policy": "0" * 16,
        **asdict(look),
        "run_id": "20261129-010000-abcdef",
        "written_at": _WRITTEN_AT,
    }


def _chance(num_values: int) -> np.ndarray | None:
    if not num_values:
        return None
    values = _RANDOM.standard_normal(num_values)
    return (values / np.linalg.norm(values)).astype(np.float16).astype(np.float32)
