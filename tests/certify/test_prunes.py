"""What pruning changes, from rows whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.calibrate.fixed_sequence import num_within
from framegate.pipelines.calibrate.share import upper_bound
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.certify.prunes import PruneFindings
from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.certificate import Calibration
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from tests.certify.archive import Archive, make_output, put_rows
from tests.outputs import CONFIG_ID

SAMPLE = AuditSample(rate=0.5, salt="framegate")
WRONG = {0.02: 0.0, 0.1: 0.01, 0.3: 0.2}
"""By level, the share of rows that have another answer."""


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def find(output: Output, *, unit: str = "row", **values: Any) -> PruneFindings | None:
    audit = AuditConfig.model_validate({"rate": 0.5, "unit": unit})
    request = Request(**{"job": None, "config_id": CONFIG_ID, "audit": audit, "epsilon": 0.05, **values})
    return calibrate_output(OutputConfig(uri=output.root), request).prunes


def told(level: float, answer: str | None, **more: Any) -> dict[str, Any]:
    share = {0.0: 100, 0.02: 60, 0.1: 50, 0.3: 20}[level]
    seconds = {"engine_seconds": share / 100, "prompt_seconds": share / 200}
    tokens = {"num_prompt_tokens": share + 10, "num_video_tokens": share, "num_answer_tokens": 3}
    return {
        "level": level,
        "answer": answer,
        "status": "answered",
        "num_thinking_tokens": 0,
        **tokens,
        **seconds,
        **more,
    }


def make_rows(
    sample: AuditSample = SAMPLE, *, wrong: Mapping[float, float] = WRONG, archive: Archive | None = None
) -> list[dict[str, Any]]:
    """All of them pruned, those of the sample answered at every level."""
    rng = np.random.default_rng(5)
    rows = []
    for row in (archive or Archive(sample=sample)).rows():
        row |= {"num_video_tokens": 50, "num_video_tokens_full": 100, "prune_levels": [0.0, *wrong]}
        others = ["no" if rng.uniform() < share else "yes" for share in wrong.values()]
        if row["audit_rank"] is not None:
            answers = [told(0.0, "yes"), *(told(level, one) for level, one in zip(wrong, others, strict=True))]
            row |= {"answer_whole": "yes", "prune_answers": answers}
        rows.append(row)
    return rows


def test_levels_are_tested_from_less_pruning_to_more_until_one_fails(output: Output) -> None:
    rows = put_rows(output, make_rows())
    audited = [row for row in rows if row.get("prune_answers")]
    found = find(output)
    assert found is not None
    assert found.num_uncovered == 0
    whole = found.certificates[0]
    assert [one.level for one in whole.levels] == [0.02, 0.1, 0.3]
    for place, one in enumerate(whole.levels, start=1):
        wrong = sum(row["prune_answers"][place]["answer"] != "yes" for row in audited)
        assert (one.num_rows, one.population, one.num_different) == (len(audited), len(rows), wrong)
        assert one.bound == upper_bound(wrong, len(audited), 0.05, population=len(rows))
    assert [one.video_share for one in whole.levels] == [0.6, 0.5, 0.2]
    assert [one.prompt_share for one in whole.levels] == pytest.approx([70 / 110, 60 / 110, 30 / 110])
    assert (whole.level, whole.num_missing, whole.unit) == (0.1, 0, "row")
    assert whole.certified == whole.levels[1]


def test_a_level_behind_one_that_failed_is_not_certified_however_good(output: Output) -> None:
    put_rows(output, make_rows(wrong={0.02: 0.3, 0.1: 0.0}))
    found = find(output)
    assert found is not None
    assert found.certificates[0].level is None
    assert found.certificates[0].levels[1].bound < 0.05


def test_each_question_has_its_own_and_they_hold_together(output: Output) -> None:
    rows = make_rows()
    for row in rows:
        if row["question_id"] == "first_colour" and row.get("prune_answers"):
            row["prune_answers"][1]["answer"] = "no"
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    whole, *questions = found.certificates
    assert {one.question_id: one.level for one in questions} == {"black_seen": 0.1, "first_colour": None}
    for one in questions:
        assert (one.num_together, one.delta) == (2, 0.025)
        population = sum(row["question_id"] == one.question_id for row in rows)
        assert {level.population for level in one.levels} == {population}
    assert whole.level is None


def test_too_few_rows_certify_nothing_and_say_how_many_are_missing(output: Output) -> None:
    put_rows(output, make_rows(archive=Archive(sample=SAMPLE, num_films=2), wrong={0.02: 0.0}))
    found = find(output, epsilon=0.01)
    assert found is not None
    whole = found.certificates[0]
    assert whole.level is None
    [level] = whole.levels
    enough = level.num_rows + whole.num_missing
    assert upper_bound(0, enough, 0.05, population=100) <= 0.01 < upper_bound(0, enough - 1, 0.05, population=100)


def test_what_failed_or_has_no_answer_on_one_side_differs(output: Output) -> None:
    rows = make_rows(wrong={0.02: 0.0})
    audited = [row for row in rows if row.get("prune_answers")]
    audited[0]["prune_answers"][1] |= {"answer": None, "status": "failed"}
    audited[1]["prune_answers"][1] |= {"answer": None, "status": "unparsed"}
    audited[2]["prune_answers"][0] |= {"answer": None, "status": "failed"}
    audited[2]["answer_whole"] = None
    audited[2]["prune_answers"][1] |= {"answer": None, "status": "unparsed"}
    audited[3]["answer_whole"] = None
    audited[3]["prune_answers"][1] |= {"answer": None, "status": "unparsed"}
    audited[4]["prune_answers"][1]["answer"] = " YES"
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    assert found.certificates[0].levels[0].num_different == 3, "two that cannot be read are the same"


def test_rows_of_before_a_level_was_audited_are_no_part_of_its_population(output: Output) -> None:
    """A level that was named later, rows that were audited at a higher rate, and rows of before any audit."""
    rows = make_rows()
    num_late = 0
    for row in rows:
        number = int(row["video_uri"].rpartition("/")[2].removesuffix(".mp4"))
        if number < 10:
            row |= {"prune_levels": None, "prune_answers": None, "answer_whole": None}
        elif number < 20:
            row["prune_levels"] = [0.0, 0.02]
            row["prune_answers"] = row.get("prune_answers") and row["prune_answers"][:2]
        else:
            num_late += 1
            row["audit_rate"] = 0.25
            if row["audit_rank"] is not None and row["audit_rank"] >= 0.25:
                row |= {"audit_rank": None, "prune_answers": None, "answer_whole": None}
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    assert found.num_uncovered == 10 * 25 * 2
    by_level = {one.level: one for one in found.certificates[0].levels}
    assert (by_level[0.02].population, by_level[0.1].population) == (30 * 25 * 2, num_late)
    sampled = [row for row in rows if row.get("prune_answers") and row["audit_rank"] < 0.25]
    assert by_level[0.02].num_rows == len(sampled), "at the lowest rate at which any of them was audited"
    assert by_level[0.1].num_rows == sum(len(row["prune_answers"]) > 2 for row in sampled)


def test_rows_that_took_over_are_left_out_and_deepened_ones_are_not(output: Output) -> None:
    rows = make_rows(wrong={0.02: 0.0})
    at = datetime(2026, 11, 2, tzinfo=UTC)
    for row in rows:
        if row["clip_index"] == 3:
            row |= {"copied_from": 2, "prune_levels": None, "prune_answers": None, "answer_whole": None}
        if row["clip_index"] in (4, 5):
            row |= {"deepened_at": at, "gate_reason": "unsure", "answer": "no"}
    put_rows(output, rows)
    found = find(output)
    assert found is not None
    assert found.certificates[0].levels[0].population == sum(row["clip_index"] != 3 for row in rows)
    assert found.certificates[0].levels[0].num_different == 0, "what they answered before is compared"
    assert found.num_uncovered == 0


def test_where_clips_were_drawn_a_clip_differs_where_any_of_its_rows_does(output: Output) -> None:
    sample = replace(SAMPLE, unit="clip")
    rows = put_rows(output, make_rows(sample))
    audited = [row for row in rows if row.get("prune_answers")]
    wrong = {
        (row["video_id"], row["clip_index"]) for row in audited if row["prune_answers"][2]["answer"] == "no"
    }  # 0.1
    found = find(output, unit="clip")
    assert found is not None
    one = found.certificates[0].levels[1]
    clips = {(row["video_id"], row["clip_index"]) for row in audited}
    assert (one.population, one.num_rows, one.num_different) == (1000, len(clips), len(wrong))


def test_a_job_that_does_not_prune_has_no_such_certificate(output: Output) -> None:
    put_rows(output, list(Archive().rows()))
    assert find(output) is None


def test_it_is_kept_with_the_calibration_of_its_config_id(output: Output) -> None:
    put_rows(output, make_rows())
    audit = AuditConfig.model_validate({"rate": 0.5})
    findings = calibrate_output(
        OutputConfig(uri=output.root), Request(job=None, config_id=CONFIG_ID, audit=audit, epsilon=0.05)
    )
    store(OutputConfig(uri=output.root), findings)
    [kept] = read_calibrations(output, CONFIG_ID)
    assert kept == findings.calibration
    assert findings.prunes is not None
    assert kept.prunes == findings.prunes.certificates
    assert read_calibrations(output, "f" * 16) == []
    old = {name: value for name, value in kept.to_document().items() if name != "prunes"}
    assert Calibration.from_document(old).prunes == (), "as earlier versions kept them"


def test_the_first_bound_above_epsilon_ends_it() -> None:
    assert num_within([0.0, 0.01, 0.02, 0.005], 0.01) == 2
    assert num_within([0.02], 0.01) == 0
    assert num_within([], 0.01) == 0


def test_what_is_certified_is_wrong_no_more_often_than_it_says() -> None:
    """Over many samples of one archive: the share that differs rises, and falls again, with the level."""
    rng = np.random.default_rng(2)
    shares = (0.002, 0.008, 0.02, 0.006, 0.03)
    differs = np.stack([np.arange(2000) < round(2000 * share) for share in shares])
    broken = 0
    for _ in range(1000):
        drawn = rng.uniform(size=2000) < 0.3
        bounds = [upper_bound(int(one[drawn].sum()), int(drawn.sum()), 0.05, population=2000) for one in differs]
        broken += num_within(bounds, 0.01) > 2
    assert broken / 1000 < 0.065
