"""Labels: which rows a person is asked about, what is read back, and what is certified by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.certify import label_list
from framegate.pipelines.certify.label_list import list_wanted, take_labels
from framegate.pipelines.certify.of_output import Request, calibrate_output
from framegate.pipelines.commit.labels import put_labels, read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.erase import erase
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError, InputError
from framegate.schemas.label import Label
from tests.certify.archive import Archive, make_output, put
from tests.mornings import BLACK
from tests.outputs import CONFIG_ID

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ONE = (BLACK,)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def request(**values: Any) -> Request:
    audit = AuditConfig(rate=0.5)
    return Request(
        **{"job": None, "config_id": CONFIG_ID, "audit": audit, "claim": "accuracy", "epsilon": 0.02, **values}
    )


def config(output: Output) -> OutputConfig:
    return OutputConfig(uri=output.root)


def take(
    output: Output, rows: Iterator[dict[str, Any]] | list[dict[str, Any]], *, by: str = "anna", at: datetime = NOON
):
    return take_labels(config(output), request(), rows, by=by, at=at)


def key(row: dict[str, Any], label: str | None) -> dict[str, Any]:
    return {name: row[name] for name in ("video_id", "clip_index", "question_hash")} | {"label": label}


def test_rows_that_differ_are_wanted_from_the_surest_down(output: Output) -> None:
    rows = put(output, Archive(num_films=80, questions=ONE))
    wanted = list_wanted(config(output), request(), most=10_000)
    assert wanted.rows
    assert all(row["first_value"] == "yes" and row["second_value"] == "no" for row in wanted.rows)
    confidences = [row["confidence_first"] for row in wanted.rows]
    assert confidences == sorted(confidences, reverse=True)
    changed = [row for row in rows if row["audit_rank"] is not None and row["answer_second_value"] == "no"]
    assert len(wanted.rows) <= len(changed)
    assert len(list_wanted(config(output), request(), most=3).rows) == 3


def test_labels_move_the_threshold_that_is_certified(output: Output) -> None:
    """Where thinking is wrong whenever it changes an answer, nothing is lost by letting everything exit."""
    put(output, Archive(num_films=80, questions=ONE))
    before = calibrate_output(config(output), request()).calibration.whole
    wanted = list_wanted(config(output), request(), most=10_000)
    while wanted.rows:
        take(output, [key(row, "yes") for row in wanted.rows])
        wanted = list_wanted(config(output), request(), most=10_000)
    after = calibrate_output(config(output), request()).calibration.whole
    assert before.threshold is not None
    assert after.threshold is not None
    assert after.threshold < before.threshold
    assert (before.num_labels, after.claim, after.epsilon) == (0, "accuracy", 0.02)
    assert after.num_labels == len(read_labels(output, CONFIG_ID)) > 0
    assert after.threshold == pytest.approx(0.5, abs=0.01), "the lowest confidence there is"


def test_thinking_that_is_always_right_needs_the_threshold_of_agreement(output: Output) -> None:
    put(output, Archive(num_films=80, questions=ONE))
    while rows := list_wanted(config(output), request(), most=10_000).rows:
        take(output, [key(row, "no") for row in rows])
    labelled = calibrate_output(config(output), request()).calibration.whole.threshold
    unlabelled = calibrate_output(config(output), request(claim="agreement")).calibration.whole.threshold
    assert labelled is not None
    assert unlabelled is not None
    assert labelled == pytest.approx(unlabelled, abs=0.05)


def test_the_error_is_of_the_first_rows_of_the_audit(output: Output) -> None:
    rows = put(output, Archive(num_films=80, questions=ONE))
    error = request(claim="error", epsilon=0.1)
    with pytest.raises(ConfigError, match="framegate label --claim error lists them"):
        calibrate_output(config(output), error)
    wanted = list_wanted(config(output), error, most=400).rows
    ranks = {(row["video_id"], row["clip_index"]): row["audit_rank"] for row in rows}
    listed = [ranks[row["video_id"], row["clip_index"]] for row in wanted]
    assert listed == sorted(rank for rank in ranks.values() if rank is not None)[:400]
    take(output, [key(row, "no" if row["second_value"] == "no" else "yes") for row in wanted])
    others = put_labels(
        output, CONFIG_ID, [_label(row) for row in rows if (row["audit_rank"] or 0) > max(listed) + 0.2]
    )
    assert others > 0
    made = calibrate_output(config(output), error).calibration.whole
    assert (made.num_rows, made.num_labels) == (400, 400), "those behind the first row without a label do not count"
    assert made.threshold is not None


def _label(row: dict[str, Any]) -> Label:
    return Label(
        video_id=row["video_id"], clip_index=row["clip_index"], question_hash=row["question_hash"], answer="no",
        labelled_by="ben", labelled_at=NOON,
    )  # fmt: skip


def test_the_latest_label_of_a_row_counts_and_the_same_one_is_put_once(output: Output) -> None:
    put(output, Archive(num_films=10, questions=ONE))
    row = list_wanted(config(output), request(claim="error"), most=1).rows[0]
    assert take(output, [key(row, "yes")]) == (1, 0)
    assert take(output, [key(row, "yes"), key(row, " "), key(row, None)]) == (0, 2)
    assert take(output, [key(row, "No.")], by="ben", at=NOON + timedelta(hours=1)) == (1, 0)
    take(output, [key(row, "yes")], by="carl", at=NOON - timedelta(hours=1))
    [label] = read_labels(output, CONFIG_ID).values()
    assert (label.answer, label.labelled_by) == ("no", "ben")


def test_a_file_with_a_wrong_label_is_not_stored_at_all(output: Output) -> None:
    put(output, Archive(num_films=10, questions=ONE))
    row, other = list_wanted(config(output), request(claim="error"), most=2).rows
    wrong = [key(row, "yes"), key(other, "perhaps"), {**key(other, "yes"), "clip_index": 999}, {"label": "yes"}]
    with pytest.raises(InputError) as refused:
        take(output, wrong)
    assert "3 labels are wrong" in str(refused.value)
    assert "row 2: 'perhaps' is no answer of type yes_no to 'black_seen'" in str(refused.value)
    assert "row 3: no audited row has the key" in str(refused.value)
    assert "row 4: it needs video_id, clip_index, question_hash" in str(refused.value)
    assert read_labels(output, CONFIG_ID) == {}


def test_an_erasure_takes_labels_with_the_video(output: Output) -> None:
    put(output, Archive(num_films=10, questions=ONE))
    rows = list_wanted(config(output), request(claim="error"), most=10_000).rows
    take(output, [key(row, "yes") for row in rows])
    gone = rows[0]["video_uri"]
    receipt = erase(output, [gone])
    assert receipt.num_labels == sum(row["video_uri"] == gone for row in rows) > 0
    left = read_labels(output, CONFIG_ID)
    assert len(left) == len(rows) - receipt.num_labels
    assert {video_id for video_id, _, _ in left} == {row["video_id"] for row in rows if row["video_uri"] != gone}
    findings = {check.name: check.findings for check in audit(output).checks}
    assert (findings["erased"], findings["strays"]) == ([], [])


def test_labels_of_a_video_that_is_erased_meanwhile_do_not_stay(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(output, Archive(num_films=4, questions=ONE))
    rows = list_wanted(config(output), request(claim="error"), most=10_000).rows
    gone = rows[0]["video_uri"]

    def put_late(*given: Any) -> int:
        erase(output, [gone])
        return put_labels(*given)

    monkeypatch.setattr(label_list, "put_labels", put_late)
    take(output, [key(row, "yes") for row in rows])
    left = {row["video_id"] for row in rows if row["video_uri"] != gone}
    assert {video_id for video_id, _, _ in read_labels(output, CONFIG_ID)} == left


def test_clips_that_were_sampled_whole_are_not_for_labels(output: Output) -> None:
    from framegate.schemas.audit_sample import AuditSample

    sample = AuditSample(rate=0.5, unit="clip", salt="framegate")
    put(output, Archive(num_films=10, sample=sample))
    with pytest.raises(ConfigError, match=r"gate\.audit\.unit is clip"):
        calibrate_output(config(output), request(audit=AuditConfig(rate=0.5, unit="clip")))


def test_gains_are_of_the_answers_that_stand(output: Output) -> None:
    """A second answer that cannot be read leaves the first: nothing is gained or lost."""
    from framegate.pipelines.certify.audit_rows import read_audit_rows
    from framegate.pipelines.certify.labelled_rows import label_rows
    from framegate.pipelines.results.views import open_views

    rows = put(output, Archive(num_films=10, questions=ONE))
    labels = {label.key: label for label in map(_label, rows)}
    with open_views(output.root, {}, config_id=CONFIG_ID) as views:
        found = label_rows(read_audit_rows(views, unit="row", salt="framegate"), labels)
    assert set(np.unique(found.gain)) == {0.0, 1.0}
    assert (found.gain == found.differs).all()
