"""Clips with one answer become intervals: held against a slow oracle, and case by case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.events import events_sql
from framegate.pipelines.results.view_sql import SECONDS_AFTER
from framegate.pipelines.results.views import query
from tests.mornings import BLACK, COLOUR, WHEN, Film, commit

BEGAN = datetime(2026, 11, 16, 8, tzinfo=UTC)
COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("config_id", "video_id", "video_uri", "question_id", "question_hash")),
        *((name, pa.string()) for name in ("answer_type", "answer", "status", "input_dock")),
        ("clip_index", pa.int32()),
        *((name, pa.float64()) for name in ("start_seconds", "end_seconds", "answer_number", "confidence")),
        *((name, pa.float64()) for name in ("span_start_seconds", "span_end_seconds")),
        *((name, pa.timestamp("us", "UTC")) for name in ("clip_started_at", "clip_ended_at")),
    ]
)
KEY = ("video_id", "question_id", "answer")


@st.composite
def clips(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Answers to two questions at clips of two videos, which overlap, leave gaps, and are not always answered."""
    rows = []
    for video in ("a", "b"):
        for index in range(draw(st.integers(0, 9))):
            start = draw(st.integers(0, 40)) / 2
            length = draw(st.sampled_from([0.5, 2.0, 10.0, 25.0]))
            for question in draw(st.sets(st.sampled_from(["q", "r", "when"]))):
                answer = draw(st.sampled_from(["yes", "no", None]))
                is_span = question == "when"
                span = (start + length / 4, start + length / 2) if is_span and answer else (None, None)
                rows.append(
                    {
                        "config_id": "c", "video_id": video, "video_uri": f"{video}.mp4", "question_id": question,
                        "question_hash": question, "answer_type": "span" if is_span else "yes_no",
                        "answer": str(span) if is_span and answer else answer,
                        "status": "unparsed" if answer is None else "answered", "input_dock": video,
                        "clip_index": index, "start_seconds": start, "end_seconds": start + length,
                        "answer_number": None, "confidence": draw(st.sampled_from([None, 0.5, 0.75, 1.0])),
                        "span_start_seconds": span[0], "span_end_seconds": span[1],
                        "clip_started_at": BEGAN + timedelta(seconds=start),
                        "clip_ended_at": BEGAN + timedelta(seconds=start + length),
                    }
                )  # fmt: skip
    return rows


def slow_events(rows: Sequence[dict[str, Any]], max_gap: float) -> list[tuple[Any, ...]]:
    """Groups that are merged two by two, until no two of them are near enough."""
    groups = []
    for row in rows:
        if row["answer"] is not None:
            is_span = row["answer_type"] == "span"
            start, end = ("span_start_seconds", "span_end_seconds") if is_span else ("start_seconds", "end_seconds")
            key = tuple("span" if is_span and name == "answer" else row[name] for name in KEY)
            groups.append((key, row[start], row[end], [row]))
    while pair := next(
        (
            (one, other)
            for one in groups
            for other in groups
            if one is not other and one[0] == other[0]
            and max(one[1], other[1]) - min(one[2], other[2]) <= max_gap + 0.001
        ),
        None,
    ):  # fmt: skip
        one, other = pair
        groups = [group for group in groups if group is not one and group is not other]
        groups.append((one[0], min(one[1], other[1]), max(one[2], other[2]), one[3] + other[3]))
    return sorted((_described(*group) for group in groups), key=str)


def _described(key: tuple[str, ...], start: float, end: float, rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    sure = [row["confidence"] for row in rows if row["confidence"] is not None]
    indexes = [row["clip_index"] for row in rows]
    times = tuple(BEGAN + timedelta(seconds=seconds) for seconds in (start, end))
    mean = round(sum(sure) / len(sure), 9) if sure else None
    return (*key, start, end, *times, len(rows), min(indexes), max(indexes), min(sure, default=None), mean, key[0])


def found_events(rows: Sequence[dict[str, Any]], max_gap: float) -> list[tuple[Any, ...]]:
    table = pa.Table.from_pylist([*rows], schema=COLUMNS)
    with duckdb.connect() as connection:
        connection.execute(SECONDS_AFTER)
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("clips", table)
        connection.execute("CREATE TEMP VIEW current AS FROM clips")
        sql = events_sql(str(max_gap), ["input_dock"], "UTC")
        shown = (*KEY, "start_seconds", "end_seconds", "started_at", "ended_at", "num_clips", "first_clip_index",
                 "last_clip_index", "min_confidence", "round(mean_confidence, 9)", "input_dock")  # fmt: skip
        return sorted(connection.execute(f"SELECT {', '.join(shown)} FROM ({sql})").fetchall(), key=str)


@settings(max_examples=60, deadline=None)
@given(rows=clips(), max_gap=st.sampled_from([0, 0.5, 3, 1000]))
def test_events_are_those_of_a_slow_oracle(rows: list[dict[str, Any]], max_gap: float) -> None:
    assert found_events(rows, max_gap) == slow_events(rows, max_gap)


@settings(max_examples=40, deadline=None)
@given(rows=clips(), max_gap=st.sampled_from([0, 3]))
def test_no_answer_is_lost_and_none_stands_in_two_events(rows: list[dict[str, Any]], max_gap: float) -> None:
    events = found_events(rows, max_gap)
    assert sum(event[7] for event in events) == sum(row["answer"] is not None for row in rows)
    for one in events:
        others = [event for event in events if event is not one and event[:3] == one[:3]]
        assert all(other[3] > one[4] + max_gap or other[4] < one[3] - max_gap for other in others)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


FILM = Film(number=1, uri="s3://cameras/dock.mp4", started_at=BEGAN, inputs={"input_dock": "dock-3"})


def ask(output: Output, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in query(output.root, {}, sql).to_pylist()]


def test_a_gap_is_bridged_where_it_is_allowed(output: Output) -> None:
    commit(output, [FILM.row(clip, BLACK, answer) for clip, answer in enumerate(["yes", "no", "yes", None, "yes"])])
    sql = "SELECT start_seconds, end_seconds, num_clips FROM {} WHERE answer = 'yes' ORDER BY 1"
    assert ask(output, sql.format("events")) == [(0.0, 10.0, 1), (20.0, 30.0, 1), (40.0, 50.0, 1)]
    assert ask(output, sql.format("events(9.9)")) == [(0.0, 10.0, 1), (20.0, 30.0, 1), (40.0, 50.0, 1)]
    assert ask(output, sql.format("events(10)")) == [(0.0, 50.0, 3)]


def test_sums_of_floats_are_no_gaps(output: Output) -> None:
    rows = []
    end = 0.0
    for clip in range(30):
        start, end = end, math.fsum([0.1] * (clip + 1))
        rows.append(FILM.row(clip, BLACK, "yes", start_seconds=start + 1e-9, end_seconds=end))
    commit(output, rows)
    assert ask(output, "SELECT num_clips FROM events") == [(30,)]


def test_events_have_wall_clock_and_the_manifests_columns(output: Output) -> None:
    commit(output, [FILM.row(clip, COLOUR, "black") for clip in (1, 2)])
    sql = "SELECT answer, started_at, ended_at, local_date::VARCHAR, local_hour, input_dock FROM events"
    times = BEGAN + timedelta(seconds=10), BEGAN + timedelta(seconds=30)
    assert ask(output, sql) == [("black", *times, "2026-11-16", 8, "dock-3")]


def test_spans_are_intervals_themselves(output: Output) -> None:
    commit(output, [FILM.row(0, WHEN, "8.5,10"), FILM.row(1, WHEN, "10,12.25"), FILM.row(3, WHEN, "31,32")])
    sql = "SELECT answer, start_seconds, end_seconds, started_at, num_clips FROM events ORDER BY 2"
    assert ask(output, sql) == [
        ("span", 8.5, 12.25, BEGAN + timedelta(seconds=8.5), 2),
        ("span", 31.0, 32.0, BEGAN + timedelta(seconds=31), 1),
    ]


def test_videos_without_a_clock_have_events_without_times(output: Output) -> None:
    commit(output, [Film(number=1, uri="a.mp4").row(0, WHEN, "1,2")])
    assert ask(output, "SELECT start_seconds, started_at, local_date FROM events") == [(1.0, None, None)]
