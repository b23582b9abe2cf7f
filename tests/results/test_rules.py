"""Composite events against an oracle that looks at one moment after the other, and case by case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import framegate
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.rule_sql import rule_views
from framegate.pipelines.results.view_makers import VIEW_NAMES
from framegate.pipelines.results.view_sql import SECONDS_AFTER
from framegate.pipelines.results.views import query
from framegate.schemas.errors import ConfigError
from framegate.schemas.rules import load_rules, parse_rules
from tests.mornings import BLACK, COLOUR, Film, commit

BEGAN = datetime(2026, 11, 16, 8, tzinfo=UTC)
TEXT, NUMBER, TIME = pa.string(), pa.float64(), pa.timestamp("us", "UTC")
COLUMNS = pa.schema(
    {
        "video_id": TEXT, "video_uri": TEXT, "question_id": TEXT, "answer_type": TEXT, "answer": TEXT, "status": TEXT,
        "input_dock": TEXT, "answer_key": TEXT, "clip_index": pa.int32(), "start_seconds": NUMBER,
        "end_seconds": NUMBER, "answer_number": NUMBER, "confidence": NUMBER, "span_start_seconds": NUMBER,
        "span_end_seconds": NUMBER, "clip_started_at": TIME, "clip_ended_at": TIME,
    }
)  # fmt: skip
TRUE, UNKNOWN, FALSE = 1.0, 0.5, 0.0
LENGTH = 24
RULES = {
    "camera": "input_dock",
    "events": {
        "a": {"question": "a", "answer": True},
        "b": {"question": "b", "answer": "yes"},
        "a_and_b": {"event": "a", "while": "b"},
        "a_not_b": {"event": "a", "without": "b"},
        "deeper": {"event": "a_not_b", "while": "a"},
        "never": {"event": "a_and_b", "without": "a"},
        "a_then_b": {"event": "a", "followed_by": "b", "within_seconds": 3},
        "two": {"event": "a", "at_least_cameras": 2},
        "two_alone": {"event": "two", "without": "b"},
        "here": {"event": "a", "while": "b", "per": "camera"},
    },
}


@st.composite
def archives(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Clips of three videos of two cameras, which begin at different times and are asked one or both questions."""
    rows = []
    for video, dock, offset in (("v1", "north", 0), ("v2", "south", 3), ("v3", "north", 9)):
        for index in range(draw(st.integers(0, 5))):
            start = draw(st.integers(0, 10))
            end = start + draw(st.integers(1, 4))
            for question in draw(st.sampled_from(["ab", "a", "b"])):
                answer = draw(st.sampled_from(["yes", "no", None]))
                rows.append(make_row(video, dock, offset, index, start, end, question, answer))
    return rows


def make_row(
    video: str, dock: str, offset: float, index: int, start: float, end: float, question: str, answer: str | None,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    return {
        "video_id": video, "video_uri": f"{video}.mp4", "question_id": question, "answer_type": "yes_no",
        "answer": answer, "status": "answered" if answer else "unparsed", "input_dock": dock,
        "answer_key": f"{video}/{index}/{question}", "clip_index": index, "start_seconds": start,
        "end_seconds": end, "confidence": 0.5 + index / 10,
        "clip_started_at": BEGAN + timedelta(seconds=offset + start),
        "clip_ended_at": BEGAN + timedelta(seconds=offset + end), **more,
    }  # fmt: skip


@contextmanager
def opened(rows: Sequence[dict[str, Any]], rules: dict[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(SECONDS_AFTER)
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("current", pa.Table.from_pylist([*rows], schema=COLUMNS))
        for name, sql in rule_views(parse_rules(rules), "Europe/Berlin"):
            connection.execute(f"CREATE TEMP VIEW {name} AS {sql}")
        yield connection


def state_of_answers(rows: Sequence[dict[str, Any]], question: str, video: str, moment: float) -> float:
    """At a moment of a video: true where a clip has the answer, unknown where one is not answered."""
    clips: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["video_id"] == video and row["start_seconds"] < moment < row["end_seconds"]:
            clips.setdefault(row["clip_index"], []).append(row)
    states = [FALSE]
    for of_clip in clips.values():
        answers = [row["answer"] for row in of_clip if row["question_id"] == question and row["answer"]]
        states.append(UNKNOWN if not answers else TRUE if answers == ["yes"] else FALSE)
    return max(states)


def found_state(rows: Sequence[Any], low: str, high: str, moment: Any) -> float:
    covering = [row["is_known"] for row in rows if row[low] < moment < row[high]]
    return max([FALSE, *(TRUE if known else UNKNOWN for known in covering)])


def fetch(connection: duckdb.DuckDBPyConnection, view: str) -> list[dict[str, Any]]:
    return connection.sql(f"FROM {view}").to_arrow_table().to_pylist()


@settings(max_examples=40, deadline=None)
@given(rows=archives())
def test_states_are_those_of_an_oracle_that_looks_at_each_moment(rows: list[dict[str, Any]]) -> None:
    docks = {row["video_id"]: (row["input_dock"], row["clip_started_at"], row["start_seconds"]) for row in rows}
    with opened(rows, RULES) as connection:
        views = {name: fetch(connection, name) for name in RULES["events"]}
    moments = [0.25 + n / 2 for n in range(2 * LENGTH)]
    for video in docks:
        for moment in moments:
            a, b = (state_of_answers(rows, question, video, moment) for question in "ab")
            wanted = {"a": a, "b": b, "a_and_b": min(a, b), "a_not_b": min(a, 1 - b), "deeper": min(a, 1 - b)}
            wanted["never"] = min(min(a, b), 1 - a)
            for name, state in wanted.items():
                of_video = [row for row in views[name] if row["video_id"] == video]
                assert found_state(of_video, "start_seconds", "end_seconds", moment) == state, (name, video, moment)
    for moment in moments:
        at = BEGAN + timedelta(seconds=moment)
        cameras: dict[str, float] = {}
        others = [FALSE]
        heres: dict[str, tuple[float, float]] = {}
        for video, (dock, started_at, start) in docks.items():
            seconds = (at - started_at).total_seconds() + start
            a, b = (state_of_answers(rows, question, video, seconds) for question in "ab")
            cameras[dock] = max(cameras.get(dock, FALSE), a)
            others.append(b)
            heres[dock] = max(heres.get(dock, (0, 0))[0], a), max(heres.get(dock, (0, 0))[1], b)
        two = TRUE if [*cameras.values()].count(TRUE) >= 2 else UNKNOWN if min([*cameras.values(), 9]) > 0 else FALSE
        two = FALSE if len(cameras) < 2 else two
        assert found_state(views["two"], "started_at", "ended_at", at) == two, moment
        assert found_state(views["two_alone"], "started_at", "ended_at", at) == min(two, 1 - max(others)), moment
        for dock, states in heres.items():
            of_dock = [row for row in views["here"] if row["place"] == dock]
            assert found_state(of_dock, "started_at", "ended_at", at) == min(states), (dock, moment)


@settings(max_examples=40, deadline=None)
@given(rows=archives())
def test_what_follows_is_that_of_a_slow_oracle(rows: list[dict[str, Any]]) -> None:
    with opened(rows, RULES) as connection:
        first, other, found = (fetch(connection, name) for name in ("a", "b", "a_then_b"))
    wanted = set()
    for a in first:
        near = [b for b in other if b["video_id"] == a["video_id"] and b["start_seconds"] <= a["end_seconds"] + 3.001]
        known = [b for b in near if b["is_known"] and b["start_seconds"] > a["start_seconds"]]
        maybe = [b for b in near if not b["is_known"] and b["end_seconds"] > a["start_seconds"]]
        for b in (
            sorted(known, key=lambda b: b["start_seconds"])[:1] or sorted(maybe, key=lambda b: b["start_seconds"])[:1]
        ):
            end = max(a["end_seconds"], b["end_seconds"])
            wanted.add((a["video_id"], a["start_seconds"], end, a["is_known"] and b["is_known"]))
    assert {(row["video_id"], row["start_seconds"], row["end_seconds"], row["is_known"]) for row in found} == wanted


@settings(max_examples=30, deadline=None)
@given(rows=archives())
def test_stretches_of_one_state_do_not_touch_and_name_their_rows(rows: list[dict[str, Any]]) -> None:
    keys = {row["answer_key"]: row for row in rows}
    with opened(rows, RULES) as connection:
        for name in ("a", "a_and_b", "a_not_b"):
            stretches = fetch(connection, name)
            for one in stretches:
                alike = [
                    o
                    for o in stretches
                    if o is not one and (o["place"], o["is_known"]) == (one["place"], one["is_known"])
                ]
                assert all(
                    o["start_seconds"] > one["end_seconds"] or o["end_seconds"] < one["start_seconds"] for o in alike
                )
                rested = [keys[key] for key in one["rests_on"]]
                assert all(row["start_seconds"] < one["end_seconds"] for row in rested)
                assert not one["is_known"] or rested
                if one["is_known"] and name != "a_not_b":
                    assert one["min_confidence"] == min(row["confidence"] for row in rested)


def test_a_number_and_a_bridge() -> None:
    counts = ["2", "5", None, "7", "4"]
    rows = [
        make_row("v", "north", 0, n, n * 10, n * 10 + 10, "people", count, answer_type="number")
        for n, count in enumerate(counts)
    ]
    rules = {"events": {"crowd": {"question": "people", "at_least": 5}}}
    with opened(rows, rules) as connection:
        sql = "SELECT start_seconds, end_seconds, is_known, num_rows FROM crowd ORDER BY 1"
        assert connection.sql(sql).fetchall() == [(10.0, 20.0, True, 1), (20.0, 30.0, False, 1), (30.0, 40.0, True, 1)]
    with opened(rows, {**rules, "max_gap_seconds": 10}) as connection:
        assert connection.sql(sql).fetchall() == [(10.0, 40.0, True, 2)]


def test_a_span_is_true_within_itself_alone() -> None:
    rows = [
        make_row("v", "north", 5, 0, 0, 10, "when", "[2, 4]", answer_type="span", span_start_seconds=2.0,
                 span_end_seconds=4.0),
        make_row("v", "north", 5, 1, 10, 20, "when", None, answer_type="span"),
    ]  # fmt: skip
    with opened(rows, {"events": {"passing": {"question": "when", "answer": "span"}}}) as connection:
        found = connection.sql(
            "SELECT start_seconds, end_seconds, started_at, is_known, local_hour FROM passing ORDER BY 1"
        )
        assert found.fetchall() == [
            (2.0, 4.0, BEGAN + timedelta(seconds=7), True, 9),
            (10.0, 20.0, BEGAN + timedelta(seconds=15), False, 9),
        ]


REFUSED = [
    ({"events": {"a": {"question": "q", "answr": "x"}}}, r"events\.a: unknown key 'answr'; did you mean 'answer'\?"),
    ({"event": {}}, "unknown key 'event'; did you mean 'events'"),
    ({"events": {"a": {"question": "q", "answer": "x"}, "b": {"event": "aa", "while": "a"}}},
     r"events\.b: unknown event 'aa'; did you mean 'a'\?"),
    ({"events": {"a": {"event": "b", "while": "b"}, "b": {"event": "a", "without": "a"}}},
     r"in a circle: (a -> b -> a|b -> a -> b)"),
    ({"events": {"a": {"event": "a", "while": "a"}}}, "in a circle: a -> a"),
    ({"events": {"A": {"question": "q", "answer": "x"}}}, "'A' cannot be called so"),
    ({"events": {"current": {"question": "q", "answer": "x"}}}, "there is a view current already"),
    ({"events": {"a": {"question": "q"}}}, "say what was answered"),
    ({"events": {"a": {"answer": "x"}}}, "give question .* or event"),
    ({"events": {"a": {"question": "q", "answer": "x", "while": "a"}}}, "while is for events that rest on others"),
    ({"events": {"a": {"question": "q", "answer": "x"}, "b": {"event": "a", "while": "a", "without": "a"}}},
     "give exactly one of while, without"),
    ({"events": {"a": {"question": "q", "answer": "x"}, "b": {"event": "a", "followed_by": "a"}}},
     "followed_by and within_seconds belong together"),
    ({"events": {"a": {"question": "q", "answer": "x"}, "b": {"event": "a", "at_least_cameras": 2}}},
     "say which column tells them apart"),
    ({"camera": "input_x", "events": {"a": {"question": "q", "answer": "x"}, "b": {"event": "a", "at_least_cameras": 2},
      "c": {"event": "b", "without": "a", "per": "video"}}}, "can hold per all"),
    ({"events": {"a": {"question": "q", "answer": "x", "max_gap_seconds": -1}}}, r"events\.a\.max_gap_seconds: .*-1"),
    ({"events": {}}, "events: .* at least 1 item"),
    ([], "must be a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_is_wrong_is_named(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_rules(values, origin="rules.yaml", taken=frozenset({"current"}))


@pytest.fixture
def output(tmp_path: Path) -> Output:
    dock = Film(number=1, uri="dock.mp4", started_at=BEGAN, inputs={"input_dock": "dock-3"})
    found = Output.at(str(tmp_path / "index"))
    commit(
        found,
        [
            *(dock.row(clip, BLACK, answer) for clip, answer in enumerate(["yes", "yes", None, "no"])),
            *(dock.row(clip, COLOUR, answer) for clip, answer in enumerate(["red", "black", "red", "red"])),
        ],
    )
    return found


def test_events_of_rules_are_views_of_an_output(output: Output, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "camera: input_dock\n"
        "events:\n"
        "  black: {question: black_seen, answer: yes}\n"
        "  red: {question: first_colour, answer: [red]}\n"
        "  red_alone: {event: red, without: black}\n"
    )
    rules = load_rules(file, taken=VIEW_NAMES)
    sql = "SELECT start_seconds, end_seconds, is_known, camera, local_hour FROM red_alone ORDER BY 1"
    expected = [(20.0, 30.0, False, "dock-3", 8), (30.0, 40.0, True, "dock-3", 8)]
    assert [tuple(row.values()) for row in query(output.root, {}, sql, rules=rules).to_pylist()] == expected
    rested = """
        SELECT r.start_seconds, list_sort(list(coalesce(c.answer, '?'))) AS said
        FROM red_alone AS r, unnest(r.rests_on) AS k(key)
        JOIN current AS c ON c.answer_key = k.key GROUP BY 1 ORDER BY 1"""
    assert query(output.root, {}, rested, rules=rules).to_pylist() == [
        {"start_seconds": 20.0, "said": ["?", "red"]},
        {"start_seconds": 30.0, "said": ["red"]},
    ]
    with framegate.connect(output.root, rules=file) as connection:
        assert connection.sql("SELECT count(*) FROM black WHERE is_known").fetchall() == [(1,)]


UNKNOWN_NAMES = [
    ({"camera": "input_dok", "events": {"a": {"question": "black_seen", "answer": "yes"}}},
     r"camera: there is no column 'input_dok'; did you mean 'input_dock'\?"),
    ({"events": {"a": {"question": "blak_seen", "answer": "yes"}}}, r"did you mean 'black_seen'\?"),
    ({"events": {"a": {"question": "first_colour", "answer": "blac"}}}, r"no answer 'blac'; did you mean 'black'\?"),
    ({"events": {"a": {"question": "black_seen", "answer": "perhaps"}}}, "has no answer 'perhaps'; there are no, yes"),
    ({"events": {"a": {"question": "black_seen", "at_least": 3}}}, "are for numbers; .* of type yes_no"),
    ({"events": {"both": {"question": "black_seen", "answer": "yes"}}}, "the event both is a word of SQL"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "message"), UNKNOWN_NAMES)
def test_what_is_not_in_the_output_is_named(output: Output, values: Any, message: str) -> None:
    rules = parse_rules(values)
    [name] = rules.events
    with pytest.raises(ConfigError, match=message):
        query(output.root, {}, f'SELECT * FROM "{name}"', rules=rules)
