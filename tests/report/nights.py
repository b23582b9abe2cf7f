"""An output of two nights, as runs leave one: two cameras, four questions, failures, odd names, pictures of nothing.

Everything in it is counted: tests of figures say what the numbers must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import add_to_video_log, read_video_log
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.tables import FAILURES, RESULTS, VIDEO_STATES
from tests.outputs import CONFIG_ID, answer_row
from tests.run_records import put_run

EVENING: Final = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
QUESTIONS: Final = {"person": "1" * 16, "load": "2" * 16, "count": "3" * 16, "when": "4" * 16}
TYPES: Final = {"person": "yes_no", "load": "choice", "count": "number", "when": "span"}
CLIP_SECONDS: Final = 10.0
NUM_CLIPS: Final = 5
HOSTILE: Final = '<script>alert("x")</script><img src=x onerror=alert(1)>'
INPUTS: Final = [pa.field("input_camera", pa.string())]


@dataclass(frozen=True, kw_only=True)
class Night:
    """One run. `videos` are numbers: even ones are of camera north, odd ones of south."""

    run_id: str
    began: datetime
    videos: Sequence[int]
    hours: float = 2.0
    answers: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


def uri_of(number: int) -> str:
    return f"s3://cameras/{camera_of(number)}/v{number}.mp4"


def camera_of(number: int) -> str:
    return "north" if number % 2 == 0 else "south"


def video(number: int) -> dict[str, Any]:
    return {"video_uri": uri_of(number), "video_id": f"{number:016x}", "input_camera": camera_of(number)}


def answers_of(night: Night) -> list[dict[str, Any]]:
    """Rows of a night. Of each question the gate lets 4 of 5 clips go and thinks about the last one of each video,
    100 tokens and one second long, and comes to another answer in every second video."""
    rows = []
    for number in night.videos:
        for clip in range(NUM_CLIPS):
            start = clip * CLIP_SECONDS
            at = night.began + timedelta(minutes=10 + number, seconds=start)
            for question, hash in QUESTIONS.items():
                thinks = clip == NUM_CLIPS - 1
                value = {"person": "yes" if clip in (1, 2) else "no", "load": "crate", "count": "3", "when": "[1, 2]"}
                first = value[question] if not thinks or number % 2 == 0 else "other"
                rows.append(
                    answer_row(
                        **{
                            **video(number),
                            "clip_index": clip,
                            "start_seconds": start,
                            "end_seconds": start + CLIP_SECONDS,
                            "clip_is_last": clip == NUM_CLIPS - 1,
                            "clip_started_at": at,
                            "clip_ended_at": at + timedelta(seconds=CLIP_SECONDS),
                            "question_id": question,
                            "question_hash": hash,
                            "question": f"What of {question}?",
                            "answer_type": TYPES[question],
                            "answer": value[question],
                            "answer_letter": "A" if question == "load" else None,
                            "answer_first_value": first,
                            "answer_first": first,
                            "answer_second": value[question] if thinks else None,
                            "confidence_first": 0.55 if thinks else 0.99,
                            "confidence_second": 0.9 if thinks else None,
                            "thinking": thinks,
                            "gate_reason": "unsure" if thinks else "confident",
                            "num_answer_tokens": 4,
                            "num_thinking_tokens": 100 if thinks else 0,
                            "engine_seconds": 1.5 if thinks else 0.5,
                            "prompt_seconds": 0.3,
                            "first_answer_seconds": 0.2,
                            "thinking_seconds": 1.0 if thinks else 0.0,
                            "span_start_seconds": start + 1 if question == "when" else None,
                            "span_end_seconds": start + 2 if question == "when" else None,
                            "threshold": 0.97,
                            "run_id": night.run_id,
                            "written_at": night.began + timedelta(minutes=number),
                            **night.answers,
                        }
                    )
                )
    return rows


def failure(number: int, reason: str, night: Night, **values: Any) -> dict[str, Any]:
    row = dict.fromkeys(FAILURES.names)
    return {
        **row,
        **video(number),
        "clip_is_last": True,
        "stage": "decode",
        "reason": reason,
        "message": "The file is text.",
        "attempts": 1,
        "run_id": night.run_id,
        "written_at": night.began + timedelta(minutes=number),
        **values,
    }


def put_rows(
    output: Output, table: str, number: int, rows: Sequence[Mapping[str, Any]], config_id: str = CONFIG_ID
) -> None:
    """One sealed file, as seal `number` would have begun it."""
    schema = pa.schema([*{"results": RESULTS, "failures": FAILURES}[table], *INPUTS])
    kept = [{name: row.get(name) for name in schema.names} for row in rows]
    data = encode_parquet(pa.Table.from_pylist(kept, schema=schema).sort_by("video_id"))
    assert output.store.put_once(output.layout.sealed(table, config_id, "", number), data).created


def put_night(
    output: Output,
    number: int,
    night: Night,
    *,
    rows: Sequence[Mapping[str, Any]] | None = None,
    failures: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Its rows, its failures, its record, and its videos as ones that are there."""
    rows = answers_of(night) if rows is None else rows
    if rows:
        put_rows(output, "results", number, rows)
    if failures:
        put_rows(output, "failures", number, failures)
    failed = {row["video_id"] for row in failures}
    ended = night.began + timedelta(hours=night.hours)
    record = {
        "state": "complete",
        "job": "job.yaml",
        "config_id": CONFIG_ID,
        "questions": QUESTIONS,
        "started_at": night.began.isoformat(),
        "ended_at": ended.isoformat(),
        "elapsed_seconds": night.hours * 3600,
        "phase_seconds": {"starting": 1.0, "loading": 20.0, "working": night.hours * 3600 - 21},
        "num_videos_answered": len(night.videos),
        "num_videos_failed": len(failed),
        "num_videos_skipped": 0,
        "num_videos_left": 0,
        "counts": {"num_answers": len(rows), "num_unparsed": 0, "num_clips": len(night.videos) * NUM_CLIPS},
        **night.fields,
    }
    put_run(output, night.run_id, **record)
    see_videos(output, [*night.videos, *(int(id, 16) for id in failed)], night.began)


def see_videos(output: Output, numbers: Sequence[int], at: datetime, state: str = "current") -> None:
    changes = [
        {
            **{name: video(number)[name] for name in ("video_uri", "video_id")},
            "video_version": "1",
            "size_bytes": 1000,
            "state": state,
            "first_seen": at,
            "since": at,
            "source": "s3://cameras/",
        }
        for number in numbers
    ]
    add_to_video_log(output, pa.Table.from_pylist(changes, schema=VIDEO_STATES), read_video_log(output))


FIRST: Final = Night(run_id="20261127T220000Z-aaaaaa", began=EVENING - timedelta(days=1), videos=range(8))
LAST: Final = Night(run_id="20261128T220000Z-bbbbbb", began=EVENING, videos=range(10, 34), hours=3.0)


def write_nights(root: Path) -> Output:
    """Two nights of 8 and 24 videos. In the last one two videos failed, one is seen and not asked, one answer is
    unparsed, one is out of range, and one answer and its video's name would be a script."""
    output = Output.at(str(root))
    put_night(output, 0, FIRST)
    rows = answers_of(LAST)
    rows[0] |= {"status": "unparsed", "answer": None, "answer_first": HOSTILE, "answer_first_value": None}
    rows[4] |= {"status": "out_of_range", "answer": "[90, 95]", "question": f"{HOSTILE}?"}
    for row in rows:
        if row["video_id"] == video(10)["video_id"]:
            row["video_uri"] = f"s3://cameras/north/{HOSTILE}.mp4"
    failures = [
        failure(50, "not_video", LAST, message=f"The file is {HOSTILE}."),
        failure(51, "storage", LAST),
    ]
    put_night(output, 1, LAST, rows=rows, failures=failures)
    see_videos(output, [60], EVENING)
    return output
