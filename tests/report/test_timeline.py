"""Events are the same as a slow loop over the clips finds them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.report.rows import NIGHT, NightRows
from framegate.pipelines.report.timeline import GAP_SECONDS, find_timeline
from framegate.schemas.tables import RESULTS

BEGAN = datetime(2026, 11, 28, 22, tzinfo=UTC)
CLIPS = st.lists(
    st.tuples(
        st.sampled_from(["north", "south"]),
        st.integers(0, 120),  # second of the night
        st.integers(1, 20),  # seconds
        st.sampled_from(["yes", "no", None]),
        st.floats(0.1, 1.0),
    ),
    max_size=40,
)


class Rows(NightRows):
    """The night's rows from a list."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.__dict__["rows"] = rows

    def ask(self, sql: str) -> list[dict[str, Any]]:
        schema = pa.schema([*RESULTS, pa.field("camera", pa.string())])
        table = pa.Table.from_pylist(
            [{name: row.get(name) for name in schema.names} for row in self.__dict__["rows"]],
            schema=pa.schema([field.with_nullable(True) for field in schema]),
        )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register(NIGHT, table)
            return connection.sql(sql).to_arrow_table().to_pylist()


def row(
    camera: str, second: float, seconds: float, answer: str | None, confidence: float, **more: Any
) -> dict[str, Any]:
    began = BEGAN + timedelta(seconds=second)
    return {
        "camera": camera,
        "question_id": "person",
        "question_hash": "1" * 16,
        "answer_type": "yes_no",
        "answer": answer,
        "status": "unparsed" if answer is None else "answered",
        "confidence_first": confidence,
        "start_seconds": 0.0,
        "end_seconds": float(seconds),
        "clip_started_at": began,
        "clip_ended_at": began + timedelta(seconds=seconds),
        **more,
    }


def slowly(clips: list[tuple[str, int, int, str | None, float]]) -> Iterator[tuple[str, float, float, int, float]]:
    for camera in ("north", "south"):
        event: list[float] = []
        for _, second, seconds, _, confidence in sorted(
            (clip for clip in clips if clip[0] == camera and clip[3] == "yes"), key=lambda clip: clip[1]
        ):
            if event and second <= event[1] + GAP_SECONDS:
                event = [event[0], max(event[1], second + seconds), event[2] + 1, min(event[3], confidence)]
                continue
            if event:
                yield camera, event[0], event[1], int(event[2]), event[3]
            event = [second, second + seconds, 1, confidence]
        if event:
            yield camera, event[0], event[1], int(event[2]), event[3]


@given(CLIPS)
def test_clips_merge_to_intervals(clips: list[tuple[str, int, int, str | None, float]]) -> None:
    found = find_timeline(Rows([row(*clip) for clip in clips]))
    events = [
        (
            event.camera,
            (event.started_at - BEGAN).total_seconds(),
            (event.ended_at - BEGAN).total_seconds(),
            event.num_clips,
            event.least_confidence,
        )
        for event in found.events
    ]
    assert sorted(events) == sorted(slowly(clips))
    assert (found.why_empty is None) == bool(events)


def test_of_a_choice_the_usual_answer_is_no_event() -> None:
    answers = ["empty"] * 5 + ["forklift", "forklift", "person"]
    rows = [
        row("north", 100 * n, 10, answer, 0.9, answer_type="choice", question_id="what")
        for n, answer in enumerate(answers)
    ]
    found = find_timeline(Rows(rows))
    assert found.labels == ("what: forklift", "what: person")
    assert [event.num_clips for event in found.events] == [1, 1, 1]


def test_a_span_is_where_it_says_inside_of_its_clip() -> None:
    rows = [row("north", 60, 10, "[62, 65]", 0.9, answer_type="span", start_seconds=60.0, end_seconds=70.0,
                span_start_seconds=62.0, span_end_seconds=65.0)]  # fmt: skip
    (event,) = find_timeline(Rows(rows)).events
    assert event.started_at == BEGAN + timedelta(seconds=62)
    assert event.ended_at - event.started_at == timedelta(seconds=3)


def test_an_answer_that_could_not_be_used_and_a_number_are_no_events() -> None:
    rows = [
        row("north", 0, 10, "yes", 0.9, status="out_of_range"),
        row("north", 20, 10, "3", 0.9, answer_type="number"),
        row("north", 40, 10, "a red van", 0.9, answer_type="text"),
    ]
    found = find_timeline(Rows(rows))
    assert found.events == ()
    assert found.why_empty is not None
    assert "Nothing but the usual" in found.why_empty


@pytest.mark.parametrize("missing", ["clip_started_at", "clip_ended_at"])
def test_without_a_clock_there_is_no_event(missing: str) -> None:
    assert find_timeline(Rows([row("north", 0, 10, "yes", 0.9, **{missing: None})])).events == ()
