"""What taking over answers loses, from rows whose truth is known."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.calibrate.share import upper_bound
from framegate.pipelines.certify.copies import CopyFindings
from framegate.pipelines.certify.of_output import Request, calibrate_output
from framegate.pipelines.commit.output import Output
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from tests.certify.archive import Archive, make_output, put_rows
from tests.outputs import CONFIG_ID

SAMPLE = AuditSample(rate=0.5, salt="framegate")


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def find(output: Output, *, unit: str = "row", **values: Any) -> CopyFindings | None:
    audit = AuditConfig.model_validate({"rate": 0.5, "unit": unit})
    request = Request(**{"job": None, "config_id": CONFIG_ID, "audit": audit, "epsilon": 0.05, **values})
    return calibrate_output(OutputConfig(uri=output.root), request).copies


def make_rows(sample: AuditSample = SAMPLE, *, wrong: float = 0.02, **more: Any) -> list[dict[str, Any]]:
    """Of each film the clips from 5 on take over the answers of clip 4; so many of them would say something else."""
    rng = np.random.default_rng(5)
    rows = []
    for row in Archive(sample=sample).rows():
        if row["clip_index"] >= 5:
            rank = sample.rank_if_in(clip_key(row["video_id"], row["clip_index"]), row["question_hash"])
            own = "no" if rng.uniform() < wrong else "yes"
            row |= {
                "copied_from": 4, "answer": "yes", "gate_reason": "confident", "thinking": False, "answer_second": None,
                "answer_second_value": None, "audit_rank": rank, "answer_asked": None if rank is None else own, **more,
            }  # fmt: skip
        rows.append(row)
    return rows


def test_the_share_that_differs_is_bounded_exactly(output: Output) -> None:
    rows = put_rows(output, make_rows())
    copied = [row for row in rows if row.get("copied_from") is not None]
    audited = [row for row in copied if row["audit_rank"] is not None]
    wrong = [row for row in audited if row["answer_asked"] == "no"]
    found = find(output)
    assert found is not None
    assert (found.whole.population, found.whole.num_audited, found.whole.num_different) == (
        len(copied), len(audited), len(wrong),
    )  # fmt: skip
    assert len(copied) == 40 * 20 * 2
    assert 0 < len(wrong) < 30
    assert found.whole.bound == upper_bound(len(wrong), len(audited), 0.05, population=len(copied))
    assert found.is_within == (found.whole.bound <= 0.05)
    assert [(one.question_id, one.population, one.num_together) for one in found.questions] == [
        ("black_seen", 800, 2), ("first_colour", 800, 2),
    ]  # fmt: skip
    for one in found.questions:
        assert one.bound == upper_bound(one.num_different, one.num_audited, 0.025, population=800)
    assert sum(one.num_different for one in found.questions) == len(wrong)


def test_the_gates_own_sample_is_of_rows_that_were_asked(output: Output) -> None:
    put_rows(output, make_rows())
    request = Request(job=None, config_id=CONFIG_ID, audit=AuditConfig(rate=0.5), epsilon=0.05)
    whole = calibrate_output(OutputConfig(uri=output.root), request).calibration.whole
    assert whole.population == 40 * 5 * 2, "what was taken over was decided about elsewhere, and would only look good"


def test_without_rows_that_took_over_nothing_is_said(output: Output) -> None:
    put_rows(output, list(Archive().rows()))
    assert find(output) is None


def test_what_only_one_side_could_read_counts_as_another_answer(output: Output) -> None:
    rows = make_rows(wrong=0.0)
    audited = [row for row in rows if row.get("answer_asked") is not None]
    audited[0]["answer_asked"] = None
    audited[1]["answer"] = None
    audited[2] |= {"answer": None, "answer_asked": None}
    audited[3]["answer_asked"] = " YES"
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    assert found.whole.num_different == 2


def test_rows_that_were_deepened_are_left_out(output: Output) -> None:
    rows = make_rows(wrong=1.0)
    for row in rows:
        if row.get("copied_from") is not None and row["clip_index"] < 24:
            row["deepened_at"] = datetime(2026, 11, 30, tzinfo=UTC)
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    assert found.whole.population == 40 * 2
    assert found.whole.num_different == found.whole.num_audited > 0


def test_rows_of_before_there_was_an_audit_are_counted_apart(output: Output) -> None:
    rows = make_rows()
    for row in rows:
        if row.get("copied_from") is not None and row["clip_index"] < 15:
            row |= {"audit_rate": None, "audit_rank": None, "answer_asked": None}
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    assert (found.num_uncovered, found.whole.population) == (40 * 10 * 2, 40 * 10 * 2)


def test_where_whole_clips_are_drawn_a_clip_counts_as_one(output: Output) -> None:
    sample = AuditSample(rate=0.5, unit="clip", salt="framegate")
    rows = put_rows(output, make_rows(sample, wrong=0.05))
    audited = [row for row in rows if row.get("answer_asked") is not None]
    clips = {(row["video_id"], row["clip_index"]) for row in audited}
    wrong = {(row["video_id"], row["clip_index"]) for row in audited if row["answer_asked"] == "no"}
    found = find(output, unit="clip")
    assert found is not None
    assert (found.whole.population, found.whole.num_audited, found.whole.num_different) == (
        800, len(clips), len(wrong),
    )  # fmt: skip
    assert found.whole.bound == upper_bound(len(wrong), len(clips), 0.05, population=800)


def test_the_bound_breaks_no_more_often_than_it_says() -> None:
    """Over many samples of one archive, whose truth is known."""
    rng = np.random.default_rng(2)
    differs = np.zeros(1000, bool)
    differs[:30] = True
    broken = 0
    for _ in range(2000):
        drawn = rng.uniform(size=1000) < 0.2
        broken += upper_bound(int(differs[drawn].sum()), int(drawn.sum()), 0.05, population=1000) < 0.03
    assert broken / 2000 < 0.065
