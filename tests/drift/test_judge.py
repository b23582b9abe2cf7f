"""A night is held against those before it: what has changed at a camera is told, and what only looks so is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.drift import judge as judging
from framegate.pipelines.drift.judge import FIRST, MAX_ALARMS, MAX_QUIET, judge_night
from framegate.schemas.drift import Drift, DriftRow, alarms_of, rows_of
from framegate.schemas.run import Shard
from tests.drift.nights import CAMERAS, QUESTIONS, USUAL, VIDEOS, Change, Nights, job_of, video_name


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(Output.at(str(tmp_path / "index")))


def judge(nights: Nights, *, shard: Shard | None = None, **drift: Any) -> Drift:
    """Of the last night."""
    job = job_of(nights.output, **drift)
    return judge_night(job, job.questions, run_id=nights.run_ids[-1], shard=shard)


def alarms(found: Drift) -> set[tuple[str | None, str | None, str, str | None]]:
    return {(row.question_id, row.value, row.measure, row.detail) for row in alarms_of(found.rows)}


def at_north(values: Mapping[str, Any], question: str) -> Change:
    return lambda row: values if row["camera"] == "north" and row["question_id"] == question else None


def said(answer: str) -> dict[str, Any]:
    return {"answer": answer, "answer_first_value": answer}


def test_a_first_night_is_held_against_nothing(nights: Nights) -> None:
    nights.add()
    assert judge(nights) == Drift(note=FIRST)


def test_nights_that_are_alike_have_rows_and_no_alarm(nights: Nights) -> None:
    for _ in range(5):
        nights.add()
    found = judge(nights)
    assert found.rows is not None
    assert (found.look, found.note, alarms(found)) == (1, None, set())
    assert 10 < len(found.rows) <= MAX_QUIET
    assert {row.input for row in found.rows} == {None}
    think = next(row for row in found.rows if row.measure == "think" and row.question_id == "door")
    share = 8 / 15 / 3  # of every second video of 15 one row in three
    assert (think.before, think.now) == (pytest.approx(share), pytest.approx(share))
    assert (think.num_videos, think.num_videos_before) == (2 * VIDEOS, 4 * 2 * VIDEOS)
    assert (think.num_nights, think.num_nights_before) == (1, 4)
    assert think.low <= 0 <= think.high


UNSURE = {"confidence_first": 0.9, "thinking": True, "gate_reason": "unsure"}
UNPARSED = {"answer": None, "answer_first_value": None, "status": "unparsed"}
OTHERWISE: dict[str, tuple[Change, set[tuple[str, str | None]]]] = {
    "think": (at_north(UNSURE, "door"), {("think", None), ("confidence", "0.97"), ("confidence", "0.99")}),
    "confidence": (at_north({"confidence_first": 0.98}, "door"), {("confidence", "0.99")}),
    "an option": (at_north(said("gone"), "door"), {("answer", "closed"), ("answer", "gone")}),
    "yes": (at_north(said("yes"), "anyone"), {("answer", "yes")}),
    "a number": (at_north(said("7.5"), "people"), {("answer", "3 to 4"), ("answer", "5 to 9")}),
    "a text": (at_north(said("Blue"), "colour"), {("answer", "red")}),
    "unreadable": (at_north(UNPARSED, "door"), {("unreadable", None)}),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_changes_at_a_camera_alarms_there(nights: Nights, name: str) -> None:
    change, expected = OTHERWISE[name]
    for _ in range(5):
        nights.add()
    nights.add(change)
    found = alarms(judge(nights))
    at = {(measure, detail) for _, value, measure, detail in found if value == "north"}
    assert at == expected
    assert {value for _, value, _, _ in found} <= {"north", None}
    assert len({question for question, *_ in found}) == 1


def test_an_alarm_says_how_much_and_goes_once_the_nights_before_have_it(nights: Nights) -> None:
    for _ in range(4):
        nights.add()
    yes = at_north(said("yes"), "anyone")
    nights.add(yes)
    alarm = next(row for row in alarms_of(judge(nights, runs=3).rows) if row.value == "north")
    assert (alarm.input, alarm.before, alarm.now) == ("camera", 0.0, 1.0)
    assert 0.05 < alarm.low < 1.0 == alarm.high
    assert alarm.sentence.startswith('anyone at camera=north: answer "yes", 0.0% before and 100.0% now, a change of +')
    for _ in range(6):
        nights.add(yes)
    assert alarms(judge(nights, runs=3)) == set()


def test_a_small_shift_is_found_in_three_nights_together(nights: Nights) -> None:
    some = lambda row: at_north({"answer": "yes"}, "anyone")(row) if row["number"] % 3 != 2 else None  # noqa: E731
    for _ in range(6):
        nights.add()
    nights.add(some, num_videos=9)
    assert ("anyone", "north", "answer", "yes") not in alarms(judge(nights))
    nights.add(some, num_videos=9)
    nights.add(some, num_videos=9)
    found = [row for row in alarms_of(judge(nights).rows) if row.value == "north"]
    assert [(row.detail, row.num_nights, row.num_videos) for row in found] == [("yes", 3, 27)]


def test_a_change_that_is_sure_and_small_is_no_alarm(nights: Nights) -> None:
    for _ in range(3):
        nights.add(num_videos=40)
    nights.add(at_north({"answer": "yes"}, "anyone"), num_videos=40)
    assert ("anyone", "north", "answer", "yes") in alarms(judge(nights, min_change=0.3))
    assert alarms(judge(nights, min_change=0.95)) == set()


def deepened(row: Mapping[str, Any]) -> dict[str, Any]:
    """As `framegate deepen` completes a row: another answer in its place, and another threshold."""
    return {
        "answer": {"yes_no": "yes", "choice": "open", "number": "50", "text": "blue", "span": None}[row["answer_type"]],
        "answer_second_value": "yes",
        "status": "unparsed",
        "thinking": True,
        "gate_reason": "unsure",
        "threshold": 0.9999,
        "deepened_at": row["written_at"],
    }


def audited(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"thinking": True, "gate_reason": "audit", "audit_rank": 0.001, "audit_rate": 0.01,
            "answer_second_value": row["answer"]}  # fmt: skip


@pytest.mark.parametrize("which", ["now", "before"])
@pytest.mark.parametrize("how", [deepened, audited])
def test_rows_that_were_deepened_or_audited_are_as_their_night_left_them(
    nights: Nights, how: Change, which: str
) -> None:
    def sure_ones(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return None if row["thinking"] else how(row)

    for _ in range(4):
        nights.add(sure_ones if which == "before" else lambda row: None)
    nights.add(sure_ones if which == "now" else lambda row: None)
    found = judge(nights)
    assert alarms(found) == set()
    assert found.rows is not None
    for row in found.rows:
        assert row.before == pytest.approx(row.now), row


def test_another_threshold_is_no_drift(nights: Nights) -> None:
    """The unsure rows of before exit, and their answers would have become others by thinking."""

    def changed_by_thinking(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return {"answer": "yes"} if row["thinking"] and row["question_id"] == "anyone" else None

    def all_exit(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return {"threshold": 0.5, "thinking": False, "gate_reason": "confident", "answer": USUAL[row["question_id"]]}

    for _ in range(4):
        nights.add(changed_by_thinking, num_videos=40)
    nights.add(all_exit, num_videos=40)
    found = judge(nights, min_change=0.0)
    assert alarms(found) == set()
    assert found.rows is not None
    assert {row.now for row in found.rows if row.measure == "think"} == set()  # nobody is unsure at 0.5, nor was


def deferred(row: Mapping[str, Any]) -> dict[str, Any]:
    """As a run under a budget leaves an unsure row; one without a usable first answer has none at all."""
    usable = row["question_id"] != "people"
    return {
        "thinking": False,
        "gate_reason": "deferred",
        "answer": row["answer_first_value"] if usable else None,
        "status": "answered" if usable else "deferred",
        "answer_second_value": None,
        "answer_second": None,
    }


@pytest.mark.parametrize("which", ["now", "before"])
def test_rows_that_wait_for_their_thoughts_are_no_drift(nights: Nights, which: str) -> None:
    """The others thought about their unsure rows, and thinking changed them."""

    def changed_by_thinking(row: dict[str, Any]) -> Mapping[str, Any] | None:
        changed = {"anyone": "yes", "people": "50"}.get(row["question_id"])
        return {"answer": changed} if row["thinking"] and changed else None

    def waiting(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return deferred(row) if row["thinking"] else None

    for _ in range(4):
        nights.add(waiting if which == "before" else changed_by_thinking, num_videos=40)
    nights.add(waiting if which == "now" else changed_by_thinking, num_videos=40)
    found = judge(nights, min_change=0.0)
    assert alarms(found) == set()
    assert found.rows is not None
    for row in found.rows:
        assert row.before == pytest.approx(row.now), row


def test_thinking_that_changes_more_of_the_audited_rows_is_told(nights: Nights) -> None:
    def all_audited(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return None if row["thinking"] else audited(row)

    def changed(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return None if row["thinking"] else {**audited(row), "answer_second_value": "other"}

    for _ in range(4):
        nights.add(all_audited)
    nights.add(lambda row: (changed if row["camera"] == "north" else all_audited)(row))
    found = {(measure, value) for _, value, measure, _ in alarms(judge(nights))}
    assert found == {("audit", "north"), ("audit", None)}


def test_audited_rows_that_took_over_an_answer_tell_nothing_of_what_thinking_changes(nights: Nights) -> None:
    def changed(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return None if row["thinking"] else {**audited(row), "answer_second_value": "other"}

    def taken_over(row: dict[str, Any]) -> Mapping[str, Any] | None:
        told = {"copied_from": 0, "answer_asked": row["answer"], "audit_rank": 0.001, "audit_rate": 0.01}
        return told if row["clip_index"] else changed(row)

    for _ in range(4):
        nights.add(changed)
    nights.add(taken_over)
    assert ("audit", None) not in {(measure, value) for _, value, measure, _ in alarms(judge(nights))}


def fails(nights: Nights, camera: str, reason: str, most: int) -> dict[str, str]:
    return {video_name(nights.num_nights, camera, number): reason for number in range(most)}


def test_more_failures_for_a_reason_alarm_and_fewer_do_not(nights: Nights) -> None:
    for _ in range(4):
        nights.add(failed=fails(nights, "south", "truncated", 14))
    nights.add(failed=fails(nights, "north", "decode_timeout", 14))
    assert alarms(judge(nights)) == {
        (None, "north", "failure", "decode_timeout"),
        (None, None, "failure", "decode_timeout"),
    }
    assert all(row.low > 0.05 for row in alarms_of(judge(nights).rows))


def test_videos_that_failed_before_are_tried_again_because_they_did(nights: Nights) -> None:
    """They fail again in a later night, beside a few new ones: nothing of it is drift."""
    for _ in range(4):
        nights.add()
    failed = fails(nights, "north", "storage", 14)
    nights.add(failed=failed)
    assert (None, "north", "failure", "storage") in alarms(judge(nights))
    nights.add(again=failed)
    assert not [row for row in alarms_of(judge(nights).rows) if row.num_nights == 1]


def test_columns_are_those_of_the_job_and_what_is_missing_is_said(nights: Nights) -> None:
    for _ in range(4):
        nights.add()
    nights.add(at_north({"answer": "yes"}, "anyone"))
    assert {row.input for row in alarms_of(judge(nights, by=[]).rows)} == {None}
    found = judge(nights, by=["camera", "dock"])
    assert found.note == "drift.by names dock, which no manifest of this output has; it has camera"
    assert {row.input for row in alarms_of(found.rows)} == {None, "camera"}


def test_each_night_and_each_shard_pay_for_their_own_look(nights: Nights) -> None:
    nights.add()
    nights.add(drift_look=1)
    nights.add(drift_look=2)
    nights.add()
    found, of_four = judge(nights), judge(nights, shard=Shard(number=1, of=4))
    assert (found.look, of_four.look) == (3, 3)
    one, other = (next(row for row in each.rows or () if row.measure == "think") for each in (found, of_four))
    assert other.delta == pytest.approx(one.delta / 4)


def test_all_intervals_of_a_night_take_no_more_than_its_level(nights: Nights) -> None:
    for _ in range(5):
        nights.add(failed=fails(nights, "south", "truncated", 3))
    found = judge(nights, delta=0.05)
    assert found.rows is not None
    for measure in ("think", "answer", "failure"):
        deltas = {row.delta for row in found.rows if row.measure == measure}
        assert len(deltas) == 1
    think = next(row for row in found.rows if row.measure == "think")
    num_comparisons = len(QUESTIONS) * (1 + len(CAMERAS)) * 2
    assert think.delta == pytest.approx(0.05 * 6 / 3.141592653589793**2 / 6 / num_comparisons)


def test_few_videos_tell_nothing_and_a_bare_output_neither(nights: Nights) -> None:
    for _ in range(4):
        nights.add(num_videos=1)
    nights.add(at_north({"answer": "yes"}, "anyone"), num_videos=1)
    assert judge(nights).rows == ()


def test_a_record_has_no_more_than_so_many_rows(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        nights.add()
    nights.add(lambda row: UNPARSED)
    assert MAX_ALARMS > 15
    monkeypatch.setattr(judging, "MAX_ALARMS", 2)
    monkeypatch.setattr(judging, "MAX_QUIET", 3)
    found = judge(nights)
    assert found.rows is not None
    assert [row.alarm for row in found.rows] == [True, True, False, False, False]
    assert found.note is not None
    assert found.note.startswith("of 15 alarms of drift the 2 largest are kept")


def test_rows_travel_through_a_record(nights: Nights) -> None:
    for _ in range(3):
        nights.add()
    found = judge(nights)
    assert found.rows is not None
    assert rows_of({"drift": [{**asdict(row), "of_a_later_version": 1} for row in found.rows]}) == found.rows
    assert rows_of({}) == () == rows_of({"drift": None})
    assert all(isinstance(row, DriftRow) for row in found.rows)
