"""Every figure of a report is what can be counted by hand in an output of two nights."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.page import render_page
from framegate.schemas.config import CostConfig, FailuresConfig, OutputConfig, RayConfig
from framegate.schemas.errors import ConfigError, ObjectNotFound
from tests.report.nights import (
    EVENING,
    FIRST,
    HOSTILE,
    LAST,
    QUESTIONS,
    Night,
    answers_of,
    failure,
    put_night,
    put_rows,
    see_videos,
    video,
)
from tests.run_records import put_run


def build(output: Output, **request: object) -> Report:
    return build_report(OutputConfig(uri=output.root), Request(**request))  # type: ignore[arg-type]


def test_how_the_night_went(report: Report) -> None:
    ended = report.ended
    assert (ended.state, ended.started_at, ended.elapsed_seconds) == ("complete", EVENING, 3 * 3600.0)
    assert (ended.num_videos_answered, ended.num_videos_failed, ended.num_videos_left) == (24, 2, 0)
    assert (ended.num_clips, ended.num_rows) == (24 * 5, 24 * 5 * 4)
    assert ended.clip_hours == pytest.approx(24 * 5 * 10 / 3600)
    assert sum(each.num_clips for each in ended.throughput) == 23 * 5  # the last stretch has no length
    assert all(each.seconds == 30.0 for each in ended.throughput)
    assert ended.throughput[0].at == EVENING + timedelta(minutes=10)


def test_what_the_gate_saved_is_exits_times_what_thinking_took(report: Report) -> None:
    assert report.saving.seconds_are == "thinking"
    for question in report.saving.questions:
        assert (question.num_exited, question.num_thought, question.measured_on) == (96, 24, "this night")
        assert question.spent_tokens == 120 * 4 + 24 * 100
        assert question.saved_tokens is not None
        assert question.saved_seconds is not None
        assert question.saved_tokens.value == pytest.approx(96 * 100)
        assert question.saved_seconds.value == pytest.approx(96.0)
    assert report.saving.saved_tokens is not None
    assert report.saving.saved_tokens.value == pytest.approx(4 * 96 * 100)


def test_what_it_cost(report: Report) -> None:
    cost = report.cost
    assert cost.total == pytest.approx(3 * 2.0)
    assert cost.per_thousand_clips == pytest.approx(6.0 / 120 * 1000)
    assert cost.per_clip_hour == pytest.approx(6.0 / (1200 / 3600))
    assert cost.saved is not None
    assert cost.saved.value == pytest.approx(4 * 96 * 2.0 / 3600)


def test_without_a_price_nothing_is_said_of_money(nights: Output) -> None:
    cost = build(nights).cost
    assert (cost.total, cost.per_thousand_clips, cost.per_clip_hour, cost.saved) == (None,) * 4


def test_which_cameras_are_complete(report: Report) -> None:
    assert report.coverage.by == "camera"
    found = {
        camera.camera: (camera.num_complete, camera.num_partial, camera.num_failed, camera.num_missing)
        for camera in report.coverage.cameras
    }
    assert found == {"north": (16, 0, 1, 0), "south": (16, 0, 1, 0), None: (0, 0, 0, 1)}
    assert {camera.camera: camera.num_clips for camera in report.coverage.cameras} == {
        "north": 60, "south": 60, None: 0,
    }  # fmt: skip


def test_a_video_that_lacks_a_clip_a_question_or_its_end_is_complete_in_part(index: Output) -> None:
    night = Night(run_id="20261129T220000Z-cccccc", began=EVENING + timedelta(days=1), videos=range(70, 73))
    rows = [
        row
        for row in answers_of(night)
        if not (row["video_id"] == video(70)["video_id"] and row["clip_index"] == 4)  # its end
        and not (row["video_id"] == video(71)["video_id"] and (row["question_id"], row["clip_index"]) == ("load", 2))
        and not (row["video_id"] == video(72)["video_id"] and row["question_id"] == "load")
    ]
    put_night(index, 2, night, rows=rows)
    north, south = (
        next(each for each in build(index).coverage.cameras if each.camera == name) for name in ("north", "south")
    )
    assert (north.num_complete, north.num_partial) == (16, 2)
    assert (south.num_complete, south.num_partial) == (16, 1)


def test_a_video_that_is_gone_or_overwritten_is_not_missing(index: Output) -> None:
    see_videos(index, [60], EVENING, state="gone")
    see_videos(index, [61], EVENING, state="superseded")
    assert {each.camera for each in build(index).coverage.cameras} == {"north", "south"}


def test_cameras_are_told_apart_by_the_column_that_is_named_or_by_folders(nights: Output, tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=r"'dock' is no column of the manifests.*; it has camera"):
        build(nights, by="dock")
    assert build(nights, by="camera").coverage.by == "camera"


def test_how_far_answers_can_be_trusted(report: Report) -> None:
    trust = report.trust
    person = next(each for each in trust.questions if each.question_id == "person")
    assert (person.num_rows, person.think_rate) == (120, pytest.approx(0.2))
    assert (person.unparsed_share, person.out_of_range_share) == (pytest.approx(1 / 120), pytest.approx(1 / 120))
    assert (person.num_compared, person.disagreement) == (24, pytest.approx(0.5))
    assert (person.earlier_rows, person.has_drifted) == (40, False)
    assert trust.threshold == 0.97
    bins = {(each.low, each.num_exited, each.num_thought) for each in trust.confidence}
    assert {bin for bin in bins if bin[1] + bin[2]} == {(0.55, 0, 96), (0.95, 384, 0)}
    (bin,) = trust.reliability
    assert (bin.num_rows, bin.agreement.value) == (96, pytest.approx(0.5))
    assert bin.agreement.low < 0.5 < bin.agreement.high


def test_answers_that_shift_are_seen(index: Output) -> None:
    night = Night(run_id="20261129T220000Z-cccccc", began=EVENING + timedelta(days=1), videos=range(70, 90))
    rows = answers_of(night)
    for row in rows:
        if row["question_id"] == "load" and row["clip_index"] < 2:
            row |= {"answer": "nothing", "answer_letter": "B"}
    put_night(index, 2, night, rows=rows)
    report = build(index)
    assert [each.question_id for each in report.trust.questions if each.has_drifted] == ["load"]
    assert (
        next(each for each in report.verdicts if each.anchor == "right").sentence
        == "Look: answers have shifted in load."
    )


DRIFTED: Final = {
    "question_id": "person", "input": "camera", "value": "north", "measure": "think", "detail": None,
    "before": 0.1, "now": 0.6, "low": 0.2, "high": 0.7, "delta": 1e-6, "num_videos_before": 90, "num_videos": 12,
    "num_nights_before": 9, "num_nights": 1, "alarm": True,
}  # fmt: skip
QUIET: Final = {**DRIFTED, "question_id": "load", "input": None, "value": None, "low": -0.3, "alarm": False}


def drifting(index: Output, drift: Any) -> Report:
    """A night whose answers to `load` are others, and whose record says something else."""
    fields = {"drift": drift, "drift_look": 3}
    night = Night(
        run_id="20261129T220000Z-cccccc", began=EVENING + timedelta(days=1), videos=range(70, 90), fields=fields
    )
    rows = answers_of(night)
    for row in rows:
        if row["question_id"] == "load" and row["clip_index"] < 2:
            row |= {"answer": "nothing", "answer_letter": "B"}
    put_night(index, 2, night, rows=rows)
    return build(index)


def test_what_the_run_found_of_drift_counts_and_not_the_distance_of_two_nights(index: Output) -> None:
    report = drifting(index, [DRIFTED, QUIET])
    assert [each.question_id for each in report.trust.questions if each.has_drifted] == ["person"]
    assert next(each for each in report.trust.questions if each.question_id == "load").drift == pytest.approx(0.4)
    sentences = {each.anchor: each for each in report.verdicts}
    assert sentences["right"].sentence == "Look: drift in person."
    assert "1 figure has drifted" in sentences["needs"].sentence
    assert sentences["needs"].level == "look"
    assert [(row.question_id, row.value) for row in report.attention.drift] == [("person", "north")]
    page = render_page(report)
    assert "What has drifted: 1" in page
    assert "camera=north" in page
    assert "+20.0 to +70.0 %" in page


def test_a_run_that_found_none_has_none(index: Output) -> None:
    report = drifting(index, [QUIET])
    assert not [each for each in report.trust.questions if each.has_drifted]
    assert "no question has drifted" in next(each for each in report.verdicts if each.anchor == "right").sentence
    assert "What has drifted" not in render_page(report)


def test_a_night_that_was_asked_to_be_compared_with_is(index: Output) -> None:
    """The record is about the nights before it, and not about that one."""
    drifting(index, [DRIFTED])
    report = build(index, compare=FIRST.run_id)
    assert [each.question_id for each in report.trust.questions if each.has_drifted] == ["load"]
    assert report.attention.drift == ()


def test_letters_of_older_rows_and_words_of_today_are_the_same_answers(index: Output) -> None:
    """Rows of earlier versions have a choice's letter as the answer, and none of the newer columns."""
    night = Night(run_id="20261129T220000Z-cccccc", began=EVENING + timedelta(days=1), videos=range(70, 90))
    rows = answers_of(night)
    newer = ("answer_letter", "answer_first_value", "clip_started_at", "clip_ended_at", "thinking_seconds")
    for row in rows:
        row |= dict.fromkeys(newer) | ({"answer": "A"} if row["question_id"] == "load" else {})
    put_night(index, 2, night, rows=rows)
    report = build(index)
    load = next(each for each in report.trust.questions if each.question_id == "load")
    assert (load.drift, load.has_drifted) == (0.0, False)
    assert (load.num_compared, load.disagreement) == (20, pytest.approx(0.5))  # by the texts of the two boxes
    assert report.saving.seconds_are == "difference"
    assert report.saving.saved_seconds is not None
    assert report.saving.saved_seconds.value == pytest.approx(4 * 80 * 1.0)
    assert report.timeline.why_empty is not None
    assert "input.started_at" in report.timeline.why_empty


def test_what_needs_a_person(report: Report) -> None:
    attention = report.attention
    assert [(each.reason, each.num_failures, each.num_given_up, each.cameras) for each in attention.failures] == [
        ("not_video", 1, 1, "north 1"),
        ("storage", 1, 0, "south 1"),
    ]
    assert (attention.num_given_up, [each.reason for each in attention.given_up]) == (1, ["not_video"])
    assert [row.why for row in attention.rows[:2]] == ["unparsed", "out of range"]
    assert [row.why for row in attention.rows[2:]] == ["changed its mind"] * 4 + ["least sure"] * 4
    assert attention.rows[0].answer_first == HOSTILE
    keys = [(row.video_id, row.clip_index, row.question_id) for row in attention.rows]
    assert len({*keys}) == len(keys)
    for why in ("changed its mind", "least sure"):
        shown = [row for row in attention.rows if row.why == why]
        assert len({row.question_id for row in shown}) == 4
        assert len({row.video_id for row in shown}) == 4
    assert not attention.has_thumbnails


def test_a_failure_that_was_tried_as_often_as_the_job_allows_is_given_up(index: Output) -> None:
    put_rows(index, "failures", 7, [failure(52, "storage", LAST, attempts=2)])
    assert build(index, max_attempts=3).attention.num_given_up == 1
    assert build(index, max_attempts=2).attention.num_given_up == 2
    assert FailuresConfig().max_attempts == Request().max_attempts


def test_what_happened_at_each_camera(report: Report) -> None:
    timeline = report.timeline
    assert timeline.labels == ("person", "when")  # a load is always a crate, which is the usual
    person = [event for event in timeline.events if event.label == "person"]
    assert len(person) == 24
    # Clips 1 and 2 of a video touch: 20 s; of the first video one of them is out of range.
    assert sorted({(event.ended_at - event.started_at, event.num_clips) for event in person}) == [
        (timedelta(seconds=10), 1),
        (timedelta(seconds=20), 2),
    ]
    when = [event for event in timeline.events if event.label == "when"]
    assert len(when) == 120
    assert {event.ended_at - event.started_at for event in when} == {timedelta(seconds=1)}
    assert timeline.num_more == 0


def test_the_night_before_is_what_it_is_compared_with(nights: Output, report: Report) -> None:
    comparison = report.comparison
    assert comparison is not None
    assert (comparison.run_ids, comparison.is_asked) == ((FIRST.run_id,), False)
    changes = {change.name: (change.now, change.earlier) for change in comparison.changes}
    assert changes["answers"] == (480, 160)
    assert changes["elapsed"] == (3 * 3600.0, 2 * 3600.0)
    assert changes["think rate"] == (pytest.approx(0.2), pytest.approx(0.2))
    asked = build(nights, compare=FIRST.run_id)
    assert asked.comparison is not None
    assert asked.comparison.is_asked
    assert build(nights, run_id=FIRST.run_id).comparison is None


def test_a_night_of_another_configuration_is_compared_where_it_is_named(index: Output) -> None:
    """Such as the same videos under another strategy."""
    other = Night(run_id="20261127T120000Z-dddddd", began=EVENING - timedelta(hours=34), videos=range(4))
    put_rows(index, "results", 0, answers_of(other), "b" * 16)
    started = other.began.isoformat()
    put_run(index, other.run_id, state="complete", config_id="b" * 16, started_at=started, counts={"num_answers": 80})
    comparison = build(index, compare=other.run_id).comparison
    assert comparison is not None
    assert {change.name: change.earlier for change in comparison.changes}["answers"] == 80
    ordinary = build(index).comparison
    assert ordinary is not None
    assert ordinary.run_ids == (FIRST.run_id,)


def test_a_night_that_had_nothing_to_do_shows_the_answers_of_the_last_that_had(index: Output) -> None:
    idle = Night(run_id="20261129T220000Z-cccccc", began=EVENING + timedelta(days=1), videos=[], hours=0.1)
    put_night(index, 2, idle, rows=[])
    report = build(index, cost=CostConfig(gpu_hour=2.0), ray=RayConfig())
    assert report.ended.run_ids == (idle.run_id,)
    assert report.note is not None
    assert LAST.run_id in report.note
    assert idle.run_id in report.note
    assert report.ended.num_rows == 480
    assert report.cost.total == pytest.approx(0.2)
    assert report.cost.per_thousand_clips is None  # the cost of one night is not spread over the clips of another


def test_a_run_that_was_stopped_or_died_is_said_first(index: Output) -> None:
    later = EVENING + timedelta(days=1)
    fields = {"config_id": "a" * 16, "questions": QUESTIONS, "started_at": later.isoformat(), "job": "job.yaml"}
    put_run(index, "20261129T220000Z-cccccc", state="stopped", stop_code="deadline", num_videos_left=7, **fields)
    verdict = build(index).verdicts[0]
    assert (verdict.level, "deadline" in verdict.sentence, "videos left: 7" in verdict.sentence) == ("look", True, True)
    put_run(index, "20261129T220000Z-cccccc", state="stopped", stop_code="breaker", **fields)
    assert build(index).verdicts[0].level == "act"
    old = {"at": EVENING.isoformat(), "number": 1, "every_seconds": 60.0}
    put_run(index, "20261129T220000Z-cccccc", state="running", heartbeat=old, **fields)
    report = build(index)
    assert report.verdicts[0].level == "act"
    assert report.note is not None
    assert "not sealed yet" in report.note


def test_what_is_not_there_is_refused_in_a_sentence(nights: Output, tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=r"--run nobody: no such run is recorded; the last ones are .*bbbbbb"):
        build(nights, run_id="nobody")
    with pytest.raises(ConfigError, match="--compare nobody"):
        build(nights, compare="nobody")
    with pytest.raises(ObjectNotFound, match="there is no output"):
        build_report(OutputConfig(uri=f"{tmp_path}/nowhere"), Request())
