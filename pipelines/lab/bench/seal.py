"""`bench seal`: seals a synthetic journal of many objects in a process of its own; time, memory, bytes.

The objects are real ones (`encode_unit`). Their rows are those of TEMPLATES, which differ in answers, confidences,
thoughts and clips, with ids and URIs of their own. They are written without fsync, since they need not survive a power
failure.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.layout import Layout
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import DEFAULT_FILE_BYTES, seal
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.lab.bench.processes import peak_rss_bytes
from framegate.schemas.errors import FramegateError, InputError
from framegate.schemas.tables import JOURNAL

CONFIG_ID: Final = "c0ffee0000000000"
CLIPS_PER_OBJECT: Final = 5
QUESTIONS: Final = ("is someone there?", "how many cars are in the picture?")
UNITS_PER_VIDEO: Final = 10
TEMPLATES: Final = 1000
THINKING_SHARE: Final = 0.3
_VIDEO_ID: Final = "@video_id_16byte"
_URI: Final = "s3://archive/camera-@@/@video_number.mp4"
_START: Final = datetime(2026, 11, 1, tzinfo=UTC)
_WORDS: Final = (
    "the",
    "car",
    "leaves",
    "yard",
    "while",
    "a",
    "person",
    "with",
    "bag",
    "walks",
    "to",
    "gate",
    "and",
    "waits",
)


@dataclass(frozen=True, kw_only=True)
class SealFigures:
    """The measurements of one seal of a whole journal."""

    num_objects: int
    num_rows: int
    make_seconds: float
    seal_seconds: float
    objects_per_second: float
    rows_per_second: float
    peak_rss_mib: float
    bytes_in: int
    bytes_out: int
    num_files: int


def make_journal(folder: Path, num_objects: int, num_processes: int) -> int:
    """Fills the journal below an empty folder; its size in bytes. Raises InputError where something is there."""
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; name a folder that is, or one that does not exist yet")
    num_videos = -(-num_objects // UNITS_PER_VIDEO)
    per_process = -(-num_videos // num_processes)
    firsts = range(0, num_videos, per_process)
    with ProcessPoolExecutor(num_processes) as pool:
        ends = [min(first + per_process, num_videos) for first in firsts]
        parts = [pool.submit(_make_videos, str(folder), *part, num_objects) for part in zip(firsts, ends, strict=True)]
        return sum(part.result() for part in parts)


def measure_seal(folder: Path, *, num_objects: int, file_bytes: int = DEFAULT_FILE_BYTES) -> SealFigures:
    """Makes a journal and seals it in a fresh process. Raises FramegateError where that fails or seals other rows."""
    started = time.monotonic()
    bytes_in = make_journal(folder, num_objects, os.cpu_count() or 1)
    make_seconds = time.monotonic() - started
    command = [sys.executable, "-m", "framegate.pipelines.lab.bench.seal", str(folder), str(file_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FramegateError(f"the process that seals ended with {done.returncode}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    num_rows, num_made = told["num_answers"] + told["num_failures"], num_objects * CLIPS_PER_OBJECT * len(QUESTIONS)
    if num_rows != num_made:
        raise FramegateError(
            f"{num_rows} rows were sealed of a journal of {num_made}: the figures would be of no worth"
        )
    return SealFigures(
        num_objects=told["num_units"],
        num_rows=num_rows,
        make_seconds=round(make_seconds, 3),
        seal_seconds=round(told["seconds"], 3),
        objects_per_second=round(told["num_units"] / told["seconds"], 1),
        rows_per_second=round(num_rows / told["seconds"], 1),
        peak_rss_mib=round(told["peak_rss_mib"], 1),
        bytes_in=bytes_in,
        bytes_out=told["size_bytes"],
        num_files=told["num_files"],
    )


def _make_videos(root: str, first: int, end: int, num_objects: int) -> int:
    layout, written = Layout(root), 0
    templates = list(_templates())
    for video in range(first, end):
        video_id = f"{random.Random(video).getrandbits(64):016x}"  # as ids are: without any order
        uri = _URI.replace("@@", f"{video % 40:02d}").replace("@video_number", f"{video:013d}")
        for unit in range(min(UNITS_PER_VIDEO, num_objects - video * UNITS_PER_VIDEO)):
            rows = templates[(video * UNITS_PER_VIDEO + unit) % TEMPLATES]
            data = encode_unit(_with_video(rows, video_id=video_id, video_uri=uri))
            clips = range(unit * CLIPS_PER_OBJECT, (unit + 1) * CLIPS_PER_OBJECT)
            path = layout.unit(CONFIG_ID, video_id, clip_indexes=clips, questions=[(_question_hash(0), 1)])
            if unit == 0:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                written += file.write(data)
    return written


def _with_video(rows: pa.Table, **values: str) -> pa.Table:
    for name, value in values.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), pa.array([value] * rows.num_rows))
    return rows


def _templates() -> Iterator[pa.Table]:
    chance = random.Random(20)
    for number in range(TEMPLATES):
        unit = number % UNITS_PER_VIDEO
        clips = range(unit * CLIPS_PER_OBJECT, (unit + 1) * CLIPS_PER_OBJECT)
        rows = [_row(clip, question, number, chance) for clip in clips for question in range(len(QUESTIONS))]
        yield pa.Table.from_pylist(rows, schema=JOURNAL)


def _question_hash(question: int) -> str:
    return f"{0xABCDEF0123456789 + question:016x}"


def _row(clip: int, question: int, number: int, chance: random.Random) -> dict[str, Any]:
    is_last = clip == UNITS_PER_VIDEO * CLIPS_PER_OBJECT - 1
    thinks = chance.random() < THINKING_SHARE
    answer = chance.choice(["yes", "no"]) if question == 0 else str(chance.randrange(9))
    return {
        "row_kind": "answer", "video_uri": _URI, "video_id": _VIDEO_ID, "clip_index": clip,
        "start_seconds": 8.0 * clip, "end_seconds": 8.0 * clip + 8, "clip_is_last": is_last, "num_frames": 16,
        "clip_is_truncated": False, "clip_is_letterboxed": False,
        "decode_seconds": chance.uniform(0.1, 0.4), "bytes_read": chance.randrange(2**20),
        "question_id": f"question-{question}", "question_hash": _question_hash(question),
        "question": QUESTIONS[question], "answer_type": ["yes_no", "number"][question], "answer": answer,
        "answer_first": answer, "answer_second": answer if thinks else None,
        "confidence_first": chance.random(), "confidence_second": chance.random() if thinks else None,
        "thinking": thinks, "gate_reason": "unsure" if thinks else "confident",
        "thinking_text": " ".join(chance.choices(_WORDS, k=40)) if thinks else None,
        "num_prompt_tokens": chance.randrange(900, 1100), "num_video_tokens": 800, "num_answer_tokens": 5,
        "num_thinking_tokens": chance.randrange(40, 60) if thinks else 0, "finish_reason": "exit",
        "status": "answered", "engine_seconds": chance.uniform(0.05, 0.5), "threshold": 0.97, "model": "model",
        "strategy": "gated", "engine": "transformers", "decoder": "pyav-18.1.0", "run_id": "20261101T000000Z-abcdef",
        "written_at": _START + timedelta(seconds=60 * number + chance.random()),
    }  # fmt: skip


def main(folder: str, file_bytes: str) -> None:
    """Seal the journal and print on standard output what it took."""
    started = time.monotonic()
    sealed = seal(Output.at(folder), CONFIG_ID, file_bytes=int(file_bytes))
    seconds = time.monotonic() - started
    peak_rss_mib = peak_rss_bytes(os.getpid()) / 2**20
    print(json.dumps({**asdict(sealed), "seconds": seconds, "peak_rss_mib": peak_rss_mib}))


if __name__ == "__main__":
    main(*sys.argv[1:])
