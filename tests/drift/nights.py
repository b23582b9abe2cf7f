"""An output of many nights for tests of drift: what its cameras' videos are answered, in a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.job import Job, parse_job
from framegate.schemas.qa import Question
from framegate.schemas.tables import FAILURES, RESULTS
from tests.outputs import CONFIG_ID, answer_row
from tests.run_records import put_run

CAMERAS: Final = ("north", "south")
EVENING: Final = datetime(2026, 11, 1, 22, 0, tzinfo=UTC)
QUESTIONS: Final = (
    Question(id="door", text="Is it open?", type="choice", options=("open", "closed", "gone")),
    Question(id="anyone", text="Is anyone there?", type="yes_no"),
    Question(id="people", text="How many?", type="number"),
    Question(id="colour", text="Which colour?", type="text"),
    Question(id="when", text="When?", type="span"),
)
USUAL: Final = {"door": "closed", "anyone": "no", "people": "3", "colour": "red", "when": "[1, 2]"}
VIDEOS: Final = 15  # of each camera, each night
CLIPS: Final = 3
Change = Callable[[dict[str, Any]], Mapping[str, Any] | None]
"""What of a row is otherwise; the row has `camera`, `number` of its video, `question_id` and so on."""


@dataclass
class Nights:
    """Writes one night after the other."""

    output: Output
    num_nights: int = 0
    run_ids: list[str] = field(default_factory=list)

    def add(
        self,
        change: Change = lambda row: None,
        *,
        failed: Mapping[str, str] | None = None,
        again: Mapping[str, str] | None = None,
        num_videos: int = VIDEOS,
        questions: tuple[Question, ...] = QUESTIONS,
        rows: Mapping[str, Any] | None = None,
        **record: Any,
    ) -> str:
        """A night of so many videos of each camera; its run_id. `failed`: by video, as `video_name` has it, the
        reason for which it failed in place of being answered. `again`: videos of earlier nights that it tried again,
        and why they failed. `rows`: values of all rows. `record`: of the run."""
        night, self.num_nights = self.num_nights, self.num_nights + 1
        began = EVENING + timedelta(days=night)
        run_id = f"{began:%Y%m%dT%H%M%SZ}-{night:06x}"
        answers: list[dict[str, Any]] = []
        failures = [_failure(name, name.split("/")[1], reason, run_id, began) for name, reason in (again or {}).items()]
        for camera in CAMERAS:
            for number in range(num_videos):
                name = video_name(night, camera, number)
                if name in (failed or {}):
                    failures.append(_failure(name, camera, (failed or {})[name], run_id, began))
                    continue
                for row in _answers(name, camera, number, questions, run_id, began):
                    answers.append({**row, **(rows or {}), **(change(row) or {})})
        self._put("results", RESULTS, night, answers)
        self._put("failures", FAILURES, night, failures)
        counts = {"num_answers": len(answers), "num_failures": len(failures)}
        fields = {"state": "complete", "job": "the job", "config_id": CONFIG_ID, "counts": counts}
        put_run(self.output, run_id, **{**fields, "started_at": began.isoformat(), **record})
        self.run_ids.append(run_id)
        return run_id

    def _put(self, table: str, schema: pa.Schema, night: int, rows: list[dict[str, Any]]) -> None:
        if rows:
            columns = pa.schema([*schema, pa.field("input_camera", pa.string())])
            kept = [{name: row.get(name) for name in columns.names} for row in rows]
            data = encode_parquet(pa.Table.from_pylist(kept, schema=columns))
            assert self.output.store.put_once(self.output.layout.sealed(table, CONFIG_ID, "", night), data).created


def video_name(night: int, camera: str, number: int) -> str:
    return f"{night}/{camera}/{number}.mp4"


def _answers(
    name: str, camera: str, number: int, questions: tuple[Question, ...], run_id: str, began: datetime
) -> Iterator[dict[str, Any]]:
    """Answers as always: one clip in three of every second video is unsure."""
    for question in questions:
        for clip in range(CLIPS):
            is_unsure = clip == 0 and number % 2 == 0
            answer = USUAL[question.id]
            yield {
                **answer_row(video_uri=name, video_id=_id(name), clip_index=clip),
                "question_id": question.id,
                "question_hash": question.hash,
                "question": question.text,
                "answer_type": question.type,
                "answer": answer,
                "answer_first_value": answer,
                "answer_second_value": answer if is_unsure else None,
                "answer_second": answer if is_unsure else None,
                "confidence_first": 0.85 if is_unsure else 0.995,
                "thinking": is_unsure,
                "gate_reason": "unsure" if is_unsure else "confident",
                "threshold": 0.97,
                "run_id": run_id,
                "written_at": began + timedelta(minutes=5),
                "input_camera": camera,
                "camera": camera,
                "number": number,
            }


def _failure(name: str, camera: str, reason: str, run_id: str, began: datetime) -> dict[str, Any]:
    return {
        "video_uri": name,
        "video_id": _id(name),
        "clip_is_last": True,
        "stage": "decode",
        "reason": reason,
        "message": "It does not decode.",
        "attempts": 1,
        "run_id": run_id,
        "written_at": began + timedelta(minutes=5),
        "input_camera": camera,
    }


def _id(name: str) -> str:
    night, camera, number = name.removesuffix(".mp4").split("/")
    return f"{int(night):08x}{CAMERAS.index(camera):04x}{int(number):04x}"


def job_of(output: Output, questions: tuple[Question, ...] = QUESTIONS, **drift: Any) -> Job:
    listed = [
        {"id": each.id, "text": each.text, "type": each.type, **({"options": [*each.options]} if each.options else {})}
        for each in questions
    ]
    return parse_job(
        {
            "input": {"videos": "videos/"},
            "model": {"name": "dock"},
            "output": {"uri": output.root},
            "questions": listed,
            "drift": drift,
        }
    )
