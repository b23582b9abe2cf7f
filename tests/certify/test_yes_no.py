"""Precision and recall of a yes/no question: which rows need a label, and what is certified and stored of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.calibrate.labelled import certify_precision
from framegate.pipelines.certify.label_list import list_wanted, take_labels
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.erase import erase
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.qa import Question
from tests.certify.archive import Archive, make_output, put
from tests.mornings import BLACK, COLOUR
from tests.outputs import CONFIG_ID

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
DOOR = Question(id="door_open", text="Is the door open?", type="yes_no")
CHANGED = {"black_seen": 0.4, "door_open": 0.1, "first_colour": 0.1}


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def archive(*questions: Question, **values: Any) -> Archive:
    return Archive(num_films=60, questions=questions or (BLACK, DOOR, COLOUR), changed=CHANGED, **values)


def request(**values: Any) -> Request:
    given: dict[str, Any] = {
        "job": None,
        "config_id": CONFIG_ID,
        "audit": AuditConfig(rate=0.5),
        "claim": "precision",
        "epsilon": 0.1,
    }
    return Request(**{**given, **values})


def certified(output: Output, **values: Any):
    return calibrate_output(OutputConfig(uri=output.root), request(**values)).calibration


def wanted(output: Output, most: int = 100_000, **values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in list_wanted(OutputConfig(uri=output.root), request(**values), most=most).rows]


def take(output: Output, rows: list[dict[str, Any]], truth: str | None = None) -> None:
    """The truth is what thinking comes to, unless it is said."""
    names = ("video_id", "clip_index", "question_hash")
    told = [{name: row[name] for name in names} | {"label": truth or row["second_value"]} for row in rows]
    take_labels(OutputConfig(uri=output.root), request(), told, by="anna", at=NOON)


def test_precision_needs_labels_of_yes_answers_in_the_order_of_the_audit(output: Output) -> None:
    rows = put(output, archive())
    listed = wanted(output, 50, questions=("black_seen",))
    assert {row["question_id"] for row in listed} == {"black_seen"}
    ranks = {(row["video_id"], row["clip_index"], row["question_hash"]): row["audit_rank"] for row in rows}
    found = [ranks[row["video_id"], row["clip_index"], row["question_hash"]] for row in listed]
    assert found == sorted(rank for row, rank in zip(rows, ranks.values(), strict=True)
                           if row["question_id"] == "black_seen" and rank is not None)[:50]  # fmt: skip
    assert {row["question_id"] for row in wanted(output)} == {"black_seen", "door_open"}, "colours are no yes and no"


def test_rows_that_both_answers_say_no_to_are_not_wanted_for_precision(output: Output) -> None:
    put(output, archive(BLACK, says="no"))
    changed = wanted(output)
    assert changed
    assert all((row["first_value"], row["second_value"]) == ("no", "yes") for row in changed)
    assert len(wanted(output, claim="recall")) > 2 * len(changed)


def test_the_certificate_is_that_of_the_mathematics_and_holds_in_the_archive(output: Output) -> None:
    rows = [row for row in put(output, archive()) if row["question_id"] == "black_seen"]
    take(output, wanted(output, questions=("black_seen",))[:400])
    made = certified(output, questions=("black_seen",))
    sample = sorted((row for row in rows if row["audit_rank"] is not None), key=lambda row: row["audit_rank"])
    second = np.array([row["answer_second_value"] == "yes" for row in sample])
    truth = np.where(np.arange(len(sample)) < 400, second, np.nan)
    expected = certify_precision(
        np.array([row["confidence_first"] for row in sample]), np.ones(len(sample), bool), second, truth,
        precision=0.9, delta=0.05, rank=np.arange(len(sample)), population=len(rows),
    )  # fmt: skip
    assert expected.threshold is not None
    assert (made.whole.threshold, made.whole.question_id) == (expected.threshold, "black_seen")
    assert (made.whole.num_labels, made.whole.num_rows, made.whole.population) == (400, len(sample), len(rows))
    assert made.questions == (made.whole,)
    random = np.random.default_rng(1)  # the archive's own draws, of which those of other questions are passed over
    yes = right = 0
    for _ in range(60 * 25):
        for question in (BLACK, DOOR, COLOUR):
            confidence = round(float(random.uniform(0.5, 1)), 6)
            changes = random.uniform() < CHANGED[question.id] * (1 - confidence) / 0.5
            if question is BLACK and (confidence >= expected.threshold or not changes):
                yes, right = yes + 1, right + (not changes)
    assert right / yes >= 0.9


def test_all_yes_no_questions_share_delta_and_their_answers_are_certified_together(output: Output) -> None:
    put(output, archive())
    take(output, wanted(output))
    for claim in ("precision", "recall"):
        made = certified(output, claim=claim)
        assert [each.question_id for each in made.questions] == ["black_seen", "door_open"]
        assert {(each.delta, each.num_together) for each in made.questions} == {(0.025, 2)}
        assert (made.whole.question_id, made.whole.population) == (None, 2 * 60 * 25)
        assert made.whole.claim == claim
        assert made.questions[1].threshold is not None
    assert made.questions[0].threshold == pytest.approx(0.5, abs=0.01), "all yes are found, at any threshold"


def test_rows_without_a_label_count_as_the_worst(output: Output) -> None:
    put(output, archive(BLACK))
    with pytest.raises(ConfigError, match="framegate label --claim precision lists the rows"):
        certified(output)
    take(output, wanted(output)[:20])
    assert certified(output).whole.threshold is None
    take(output, wanted(output)[:300])
    few = certified(output).whole.threshold
    take(output, wanted(output))
    every = certified(output).whole.threshold
    assert few is not None
    assert every is not None
    assert every <= few


def test_answers_that_are_wrong_too_often_get_no_threshold(output: Output) -> None:
    put(output, archive(BLACK))
    take(output, wanted(output), truth="no")
    made = certified(output).whole
    assert (made.threshold, made.bound, made.num_exits) == (None, 0.0, 0)


def test_it_is_stored_and_an_erasure_takes_its_labels_alone(output: Output) -> None:
    put(output, archive(BLACK))
    rows = wanted(output)
    take(output, rows)
    store(OutputConfig(uri=output.root), calibrate_output(OutputConfig(uri=output.root), request()))
    [kept] = read_calibrations(output, CONFIG_ID)
    assert (kept.whole.claim, kept.whole.epsilon, kept.whole.scope) == ("precision", 0.1, "archive")
    gone = rows[0]["video_uri"]
    erase(output, [gone])
    after = certified(output).whole
    assert after.num_labels == len([row for row in rows if row["video_uri"] != gone]) < kept.whole.num_labels
    [still] = read_calibrations(output, CONFIG_ID)
    assert still == kept, "it holds counts"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"questions": ("first_colour",)}, "--question first_colour: the claim precision is about yes/no questions"),
        (
            {"questions": ("people",)},
            r"no row of such a question was audited; there are black_seen, door_open, first_c",
        ),
        ({"scope": "future"}, "the scope future is there for the claim agreement, not for precision"),
        ({"by": "camera"}, "groups of rows are certified for the claim agreement, not for precision"),
        ({"claim": "agreement", "num_draws": 3}, "3 draws of a row of each video are for the scope future alone"),
    ],
)
def test_what_cannot_be_is_refused(output: Output, values: dict[str, Any], said: str) -> None:
    put(output, archive())
    take(output, wanted(output, 20))
    with pytest.raises(ConfigError, match=said):
        certified(output, **values)


def test_an_output_without_a_yes_no_question_is_told(output: Output) -> None:
    put(output, archive(COLOUR))
    with pytest.raises(ConfigError, match="the claim recall is about yes/no questions, and none was audited"):
        wanted(output, claim="recall")


def test_one_question_of_the_other_claims_has_all_of_delta(output: Output) -> None:
    put(output, archive())
    [only] = certified(output, claim="agreement", questions=("door_open",), epsilon=0.02).questions
    [both] = [
        each for each in certified(output, claim="agreement", epsilon=0.02).questions if each.question_id == "door_open"
    ]
    assert (only.question_id, only.delta, only.num_together) == ("door_open", 0.05, 1)
    assert only.threshold is not None
    assert both.threshold is not None
    assert only.threshold <= both.threshold
