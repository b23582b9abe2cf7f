"""`current` shows what counts today, each once: by the records of runs, and where there are none by rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import framegate
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.views import open_views, query, select
from framegate.schemas.errors import ObjectNotFound
from framegate.schemas.qa import Question
from tests.mornings import BLACK, COLOUR, Film, commit, note_run, note_videos

OTHER = "b" * 16
REWORDED = Question(id="black_seen", text="Is a black crate in the picture?", type="yes_no")
RENAMED = Question(id="any_black", text=BLACK.text, type="yes_no")
FILM = Film(number=1, uri="s3://cameras/one.mp4")
LATER = Film(number=2, uri="s3://cameras/two.mp4")


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


@pytest.fixture(params=["records", "rows"])
def noted(request: pytest.FixtureRequest) -> Callable[..., None]:
    """With records of runs, or without any, as in an output of an earlier version."""
    return note_run if request.param == "records" else lambda *args, **options: None


def found(
    output: Output, sql: str = "SELECT question_id, answer FROM current ORDER BY ALL", **options: Any
) -> list[Any]:
    return [tuple(row.values()) for row in query(output.root, {}, sql, **options).to_pylist()]


def on(day: int, **values: Any) -> dict[str, Any]:
    return {"written_at": datetime(2026, 11, day, 2, tzinfo=UTC), "run_id": f"run-{day}", **values}


def test_the_newest_wording_of_an_id_counts(output: Output, noted: Callable[..., None]) -> None:
    noted(output, "run-1", [BLACK, COLOUR], 1)
    commit(output, [FILM.row(0, BLACK, "yes", **on(1)), FILM.row(0, COLOUR, "red", **on(1))])
    noted(output, "run-2", [REWORDED, COLOUR], 2)
    commit(output, [FILM.row(0, REWORDED, "no", **on(2))])
    assert found(output) == [("black_seen", "no"), ("first_colour", "red")]
    sql = "SELECT question, is_current FROM questions WHERE question_id = 'black_seen' ORDER BY first_asked, question"
    assert sorted(found(output, sql)) == [(REWORDED.text, True), (BLACK.text, False)]


def test_a_wording_that_is_asked_again_counts_again(output: Output, noted: Callable[..., None]) -> None:
    for day, question in ((1, BLACK), (2, REWORDED), (3, BLACK)):
        noted(output, f"run-{day}", [question], day)
        film = LATER if day == 3 else FILM
        commit(output, [film.row(0, question, "yes", **on(day))])
    assert found(output, "SELECT video_uri, question FROM current ORDER BY ALL") == [
        (FILM.uri, BLACK.text),
        (LATER.uri, BLACK.text),
    ]


def test_a_renamed_question_keeps_its_series(output: Output, noted: Callable[..., None]) -> None:
    noted(output, "run-1", [BLACK], 1)
    commit(output, [FILM.row(0, BLACK, "yes", **on(1))])
    noted(output, "run-2", [RENAMED], 2)
    commit(output, [LATER.row(0, RENAMED, "no", **on(2))])
    assert found(output) == [("any_black", "no"), ("any_black", "yes")]
    assert found(output, "SELECT count(*) FROM current WHERE question_id = 'any_black'") == [(2,)]
    assert found(output, "SELECT any_black FROM wide ORDER BY video_uri") == [(True,), (False,)]
    assert found(output, "SELECT question_id, num_answers FROM questions") == [("any_black", 2)]


def test_a_new_name_counts_before_a_row_has_it(output: Output) -> None:
    """The next run has nothing left to ask: its record alone tells of the name."""
    note_run(output, "run-1", [BLACK], 1)
    commit(output, [FILM.row(0, BLACK, "yes", **on(1))])
    note_run(output, "run-2", [RENAMED], 2)
    assert found(output) == [("any_black", "yes")]


def test_a_name_that_another_question_took(output: Output, noted: Callable[..., None]) -> None:
    noted(output, "run-1", [BLACK], 1)
    commit(output, [FILM.row(0, BLACK, "yes", **on(1))])
    noted(output, "run-2", [RENAMED, REWORDED], 2)
    commit(output, [LATER.row(0, RENAMED, "yes", **on(2)), FILM.row(0, REWORDED, "no", **on(2))])
    assert found(output) == [("any_black", "yes"), ("any_black", "yes"), ("black_seen", "no")]


def test_the_configuration_that_asked_last_counts_or_the_jobs_own(output: Output, noted: Callable[..., None]) -> None:
    noted(output, "run-1", [BLACK], 1, job="dock.yaml")
    commit(output, [FILM.row(0, BLACK, "yes", **on(1))])
    noted(output, "run-2", [BLACK], 2, config_id=OTHER, job="yard.yaml")
    commit(output, [FILM.row(0, BLACK, "no", **on(2))], config_id=OTHER)
    assert found(output) == [("black_seen", "no")]
    assert found(output, "SELECT count(*) FROM answers") == [(2,)]
    assert found(output, config_id="a" * 16) == [("black_seen", "yes")]
    assert found(output, "SELECT DISTINCT config_id FROM answers", config_id=OTHER) == [(OTHER,)]


def test_a_job_keeps_to_the_configuration_that_it_ran_under(output: Output) -> None:
    for day, config_id, job in ((1, "a" * 16, "dock.yaml"), (2, OTHER, "yard.yaml")):
        note_run(output, f"run-{day}", [BLACK], day, config_id=config_id, job=job)
        commit(output, [FILM.row(0, BLACK, "yes", **on(day))], config_id=config_id)
    sql = "SELECT config_id FROM {} ORDER BY 1"
    for view in ("answers", "current", "events", "questions", "runs"):
        assert found(output, sql.format(view), job="dock.yaml") == [("a" * 16,)], view
    assert found(output, sql.format("answers"), job="never_ran.yaml") == [("a" * 16,), (OTHER,)]


def test_nothing_of_older_versions_and_of_what_is_gone(output: Output) -> None:
    newer = Film(number=3, uri=FILM.uri, version="2")
    commit(output, [film.row(0, BLACK, answer, **on(1)) for film, answer in ((FILM, "a"), (newer, "b"), (LATER, "c"))])
    note_videos(output, [FILM, LATER])
    note_videos(output, [newer], day=2)
    note_videos(output, [FILM], state="superseded", day=2)
    assert found(output) == [("black_seen", "b"), ("black_seen", "c")]
    note_videos(output, [LATER], state="gone", day=3)
    assert found(output) == [("black_seen", "b")]
    note_videos(output, [FILM], day=4)  # the old version was put back
    note_videos(output, [newer], state="superseded", day=4)
    assert found(output) == [("black_seen", "a")]


def test_two_versions_in_an_output_without_a_log(output: Output) -> None:
    newer = Film(number=3, uri=FILM.uri, version="2")
    commit(output, [FILM.row(0, BLACK, "no", **on(1)), newer.row(0, BLACK, "yes", **on(2))])
    assert found(output) == [("black_seen", "yes")]


def test_an_erasure_that_broke_off_shows_nothing_of_its_videos(output: Output) -> None:
    from framegate.pipelines.commit.tombstones import set_tombstones
    from framegate.schemas.keys import uri_digest

    commit(output, [FILM.row(0, BLACK, "no", **on(1)), LATER.row(0, BLACK, "yes", **on(1))])
    note_videos(output, [FILM, LATER])
    set_tombstones(output, [uri_digest(FILM.uri)], "erasure-1")
    assert found(output) == [("black_seen", "yes")]


def test_local_hours_follow_the_outputs_time_zone(output: Output) -> None:
    from framegate.pipelines.commit.fixed import fix

    fix(output, (), {}, "America/New_York")
    film = Film(number=1, uri="a.mp4", started_at=datetime(2026, 11, 1, 5, 59, 55, tzinfo=UTC))
    commit(output, [film.row(clip, BLACK, "yes") for clip in range(2)])
    # Summer time ends at 06:00 UTC: the second clip begins within the hour that comes twice.
    sql = "SELECT clip_local_date::VARCHAR, clip_local_hour FROM current ORDER BY clip_index"
    assert found(output, sql) == [("2026-11-01", 1), ("2026-11-01", 1)]
    assert found(output, "SELECT local_date::VARCHAR, local_hour, num_clips FROM events") == [("2026-11-01", 1, 2)]


def test_wide_has_each_answer_in_its_own_type(output: Output) -> None:
    from tests.mornings import BANK

    said = {
        "black_seen": "no",
        "first_colour": "black",
        "parcel_moves": "3",
        "black_when": "1,2",
        "parcel_from_a": None,
    }
    commit(output, [FILM.row(0, question, said[question.id]) for question in BANK])
    [row] = query(output.root, {}, "SELECT * FROM wide").to_pylist()
    assert {name: row[name] for name in said} == {
        "black_seen": False, "first_colour": "black", "parcel_moves": 3.0, "black_when": "[1, 2]",
        "parcel_from_a": None,
    }  # fmt: skip


def test_a_question_that_is_called_like_a_column(output: Output) -> None:
    odd = [Question(id=id, text=f"{id}?", type="text") for id in ("video_id", "Start_Seconds", 'say "so"', "answer_x")]
    commit(output, [FILM.row(0, question, question.id) for question in odd])
    [row] = query(output.root, {}, "SELECT * FROM wide").to_pylist()
    assert row["answer_video_id"] == "video_id"
    assert row["answer_Start_Seconds"] == "Start_Seconds"
    assert row['say "so"'] == 'say "so"'


@pytest.mark.parametrize(
    ("tau", "stored", "expected"),
    [
        # (confidence, thinking, first value, final answer), then (answer, is_known, would_think)
        (0.9, (0.95, False, "yes", "yes"), ("yes", True, False)),
        (0.99, (0.95, False, "yes", "yes"), (None, False, True)),
        (0.9, (0.95, True, "no", "yes"), ("no", True, False)),
        (0.99, (0.95, True, "no", "yes"), ("yes", True, True)),
        (0.95, (0.95, False, "yes", "yes"), ("yes", True, False)),
        (0.9, (0.95, True, None, "yes"), (None, True, False)),
    ],
)
def test_answers_at_another_threshold(output: Output, tau: float, stored: Any, expected: Any) -> None:
    confidence, thinking, first, answer = stored
    values = {"confidence_first": confidence, "thinking": thinking, "answer_first_value": first}
    reason = "unsure" if thinking else "confident"
    commit(output, [FILM.row(0, BLACK, answer, gate_reason=reason, num_thinking_tokens=40, **values)])
    assert found(output, f"SELECT answer, is_known, would_think FROM answers_at({tau})") == [expected]


@pytest.mark.parametrize(
    ("tau", "second", "expected"),
    [(0.9, "no", ("yes", True, False, 0)), (0.99, "no", ("no", True, True, 40)), (0.99, None, ("yes", True, True, 40))],
)
def test_an_audited_row_knows_both_answers(output: Output, tau: float, second: str | None, expected: Any) -> None:
    values = {"confidence_first": 0.95, "thinking": True, "answer_first_value": "yes", "answer_second_value": second}
    commit(output, [FILM.row(0, BLACK, "yes", gate_reason="audit", num_thinking_tokens=40, **values)])
    sql = f"SELECT answer, is_known, would_think, num_thinking_tokens FROM answers_at({tau})"
    assert found(output, sql) == [expected]


@pytest.mark.parametrize("reason", ["never", "always", "no_box", "empty_box", "fallback"])
def test_a_threshold_moves_nothing_that_the_gate_does_not_decide(output: Output, reason: str) -> None:
    thinking = reason != "never"
    row = FILM.row(0, BLACK, "yes", gate_reason=reason, thinking=thinking, answer_first_value="no")
    commit(output, [row])
    sql = "SELECT answer, is_known, would_think FROM answers_at({})"
    for tau in (0.0, 1.0):
        assert found(output, sql.format(tau)) == [("yes", True, thinking)]


def test_connect_gives_the_views_of_python(output: Output) -> None:
    commit(output, [FILM.row(clip, BLACK, "yes") for clip in range(3)])
    with framegate.connect(output.root) as connection:
        assert connection.sql("SELECT num_clips FROM events").fetchall() == [(3,)]
        ours = connection.sql("SELECT * FROM current").to_arrow_table()  # noqa: F841 - SQL names it
        assert connection.sql("SELECT count(*) FROM ours JOIN wide USING (video_id, clip_index)").fetchall() == [(3,)]
        assert connection.sql("SELECT count(*) FROM answers_at(0.5)").fetchall() == [(3,)]
        comments = connection.sql("SELECT comment FROM duckdb_columns() WHERE table_name = 'events'").fetchall()
        assert sum(comment is not None for (comment,) in comments) > 15
    with pytest.raises(ObjectNotFound, match="nowhere"):
        framegate.connect(str(Path(output.root).parent / "nowhere"))


def test_every_view_is_there_in_an_output_of_no_answers(output: Output) -> None:
    note_run(output, "run-1", [BLACK], 1)
    views = ("answers", "current", "failures", "failure_history", "runs", "drift", "questions", "videos", "events",
             "wide", "answers_at(0.5)", "events(5)")  # fmt: skip
    with open_views(output.root, {}) as opened:
        for view in views:
            assert select(opened, f"SELECT * FROM {view}").num_rows == (view == "runs"), view


def test_runs_are_as_their_records_say(output: Output) -> None:
    note_run(output, "run-1", [BLACK], 1)
    started = datetime(2026, 11, 1, 1, tzinfo=UTC)
    sql = "SELECT run_id, state, job, started_at, ended_at FROM runs"
    assert found(output, sql) == [("run-1", "complete", "job.yaml", started, started + timedelta(hours=4))]


def test_confidence_is_that_of_the_answer(output: Output) -> None:
    rows = [
        FILM.row(0, BLACK, "yes", confidence_first=0.7),
        FILM.row(1, BLACK, "yes", confidence_first=0.7, confidence_second=0.9, thinking=True),
        FILM.row(2, BLACK, "yes", confidence_first=0.7, thinking=True),
    ]
    commit(output, rows)
    assert found(output, "SELECT confidence FROM current ORDER BY clip_index") == [(0.7,), (0.9,), (0.7,)]
    assert found(output, "SELECT min_confidence, round(mean_confidence, 6) FROM events") == [(0.7, 0.766667)]


def test_columns_of_manifests_are_those_of_now(output: Output) -> None:
    """A refresh has moved one video to another dock; the log says nothing of the other's."""
    films = [Film(number=n, uri=f"{n}.mp4", inputs={"input_dock": "dock-1"}) for n in (1, 2)]
    commit(output, [film.row(0, BLACK, "yes") for film in films])
    note_videos(output, [Film(number=1, uri="1.mp4", inputs={"input_dock": "dock-9"})])
    note_videos(output, [Film(number=2, uri="2.mp4")])
    for view in ("current", "events", "wide"):
        assert found(output, f"SELECT video_uri, input_dock FROM {view} ORDER BY 1") == [
            ("1.mp4", "dock-9"),
            ("2.mp4", "dock-1"),
        ], view
    assert found(output, "SELECT DISTINCT input_dock FROM answers") == [("dock-1",)]
