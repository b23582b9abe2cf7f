"""Outputs for tests of views: rows as a run would leave them, written in a few words, sealed by the product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.commit.video_log import CURRENT, add_to_video_log, read_video_log
from framegate.schemas.qa import Question
from framegate.schemas.tables import JOURNAL, VIDEO_STATES
from tests.outputs import CONFIG_ID, answer_row
from tests.run_records import put_run

CLIP_SECONDS: Final = 10.0
COLOURS: Final = ("red", "green", "black")
BLACK: Final = Question(id="black_seen", text="Was there any black crate?", type="yes_no")
COLOUR: Final = Question(id="first_colour", text="Name the colour?", type="choice", options=COLOURS)
MOVES: Final = Question(id="parcel_moves", text="How often did it move?", type="number")
WHEN: Final = Question(id="black_when", text="When did it pass?", type="span")
BAY: Final = Question(id="parcel_from_a", text="In which bay is it?", type="choice", options=("bay A", "bay B"))
BANK: Final = (BLACK, COLOUR, MOVES, WHEN, BAY)


@dataclass(frozen=True, kw_only=True)
class Film:
    """A video in an output. `inputs` with `input_` before their names."""

    number: int
    uri: str
    version: str = "1"
    started_at: datetime | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def video_id(self) -> str:
        return f"{self.number:016x}"

    def row(self, clip: int, question: Question, answer: str | None, **values: Any) -> dict[str, Any]:
        """One answer. A span is `start,end` in seconds of the video; None: it could not be read."""
        start, end = clip * CLIP_SECONDS, (clip + 1) * CLIP_SECONDS
        began = self.started_at
        times = {} if began is None else {"clip_started_at": began + timedelta(seconds=start),
                                          "clip_ended_at": began + timedelta(seconds=end)}  # fmt: skip
        span = answer.split(",") if answer is not None and question.type == "span" else (None, None)
        return answer_row(
            video_uri=self.uri,
            video_id=self.video_id,
            video_version=self.version,
            clip_index=clip,
            start_seconds=values.pop("start_seconds", start),
            end_seconds=values.pop("end_seconds", end),
            **{
                **times,
                "question_id": question.id,
                "question_hash": question.hash,
                "question": question.text,
                "answer_type": question.type,
                "question_options": [*question.options] or None,
                "question_since": datetime(2026, 11, 1, tzinfo=UTC),
                "answer": answer if question.type != "span" or answer is None else f"[{span[0]}, {span[1]}]",
                "answer_first_value": answer,
                "answer_number": float(answer) if question.type == "number" and answer else None,
                "answer_bool": answer == "yes" if question.type == "yes_no" and answer else None,
                "span_start_seconds": None if span[0] is None else float(span[0]),
                "span_end_seconds": None if span[1] is None else float(span[1]),
                "confidence_first": 0.99,
                "gate_reason": "confident",
                "status": "unparsed" if answer is None else "answered",
                **self.inputs,
                **values,
            },
        )


def commit(output: Output, rows: Iterable[Mapping[str, Any]], *, config_id: str = CONFIG_ID) -> None:
    """Answers as units of one clip each, sealed."""
    units: dict[tuple[str, int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        units[row["video_id"], row["clip_index"], row["run_id"]].append({**row, "row_kind": "answer"})
    inputs = {name: pa.scalar(value).type for rows in units.values() for row in rows for name, value in row.items()
              if name.startswith("input_") and value is not None}  # fmt: skip
    fix(output, (), {name.removeprefix("input_"): data_type for name, data_type in inputs.items()})
    schema = pa.schema([*JOURNAL, *(pa.field(name, data_type) for name, data_type in sorted(inputs.items()))])
    for (video_id, clip, _), of_unit in units.items():
        asked = [(row["question_hash"], 1) for row in of_unit]
        uri = output.layout.unit(config_id, video_id, clip_indexes=[clip], questions=asked)
        assert output.store.put_once(uri, encode_unit(pa.Table.from_pylist(of_unit, schema=schema))).created
    seal(output, config_id)


def note_run(
    output: Output,
    run_id: str,
    bank: Iterable[Question],
    day: int,
    *,
    config_id: str = CONFIG_ID,
    job: str = "job.yaml",
) -> None:
    """The record of a run that ended well on a day of November."""
    put_run(
        output,
        run_id,
        state="complete",
        job=job,
        config_id=config_id,
        questions={question.id: question.hash for question in bank},
        started_at=f"2026-11-{day:02d}T01:00:00+00:00",
        ended_at=f"2026-11-{day:02d}T05:00:00+00:00",
    )


def note_videos(output: Output, films: Iterable[Film], *, state: str = CURRENT, day: int = 1) -> None:
    """What a run found of videos."""
    since = datetime(2026, 11, day, tzinfo=UTC)
    rows = [
        {"video_uri": film.uri, "video_id": film.video_id, "video_version": film.version, "size_bytes": 1,
         "state": state, "first_seen": since, "since": since, "source": "list"}
        for film in films
    ]  # fmt: skip
    add_to_video_log(output, pa.Table.from_pylist(rows, schema=VIDEO_STATES), read_video_log(output))
