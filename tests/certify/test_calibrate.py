"""Calibrating an output: the sample is read from its rows, and what is certified of it is what the mathematics says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.calibrate.agreement import certify_agreement
from framegate.pipelines.calibrate.looks import delta_of_look
from framegate.pipelines.certify.calibrate import Findings
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.gate_reason import GATED_STRATEGIES
from tests.certify.archive import Archive, make_output, put, put_rows
from tests.outputs import CONFIG_ID

AUDIT = AuditConfig(rate=0.5)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def find(output: Output, **values: Any) -> Findings:
    request = Request(**{"job": None, "config_id": CONFIG_ID, "audit": AUDIT, "epsilon": 0.02, **values})
    return calibrate_output(OutputConfig(uri=output.root), request)


def sampled(rows: list[dict[str, Any]], rate: float = 0.5) -> list[dict[str, Any]]:
    return [row for row in rows if row["audit_rank"] is not None and row["audit_rank"] < rate]


def certify(rows: list[dict[str, Any]], population: int, **levels: float):
    confidence = np.array([row["confidence_first"] for row in rows])
    differs = np.array([row["answer_second_value"] == "no" for row in rows])
    return certify_agreement(confidence, differs, population=population, **levels)


@pytest.mark.parametrize("strategy", GATED_STRATEGIES)
def test_rows_of_each_strategy_with_a_gate_count(output: Output, strategy: str) -> None:
    rows = put(output, Archive(more={"strategy": strategy}))
    made = find(output).calibration.whole
    assert (made.num_rows, made.population) == (len(sampled(rows)), 2000)


def test_the_certificate_is_that_of_the_sample(output: Output) -> None:
    rows = put(output, Archive())
    found = find(output)
    made, expected = found.calibration.whole, certify(sampled(rows), len(rows), epsilon=0.02, delta=0.05)
    assert made.threshold == expected.threshold
    assert made.threshold is not None
    assert made.threshold < 0.9, "rows below today's threshold are in the sample, too: it may be lowered"
    assert (made.num_rows, made.population) == (len(sampled(rows)), 2000)
    assert (made.num_exits, made.num_different, made.bound) == (
        expected.num_exits, expected.num_different, expected.bound,
    )  # fmt: skip
    assert found.calibration.num_uncovered == 0
    assert 0.5 < found.auroc < 1


def test_what_it_promises_holds_of_the_rows_that_it_has_not_seen(output: Output) -> None:
    rows = put(output, Archive(num_films=80))
    threshold = find(output).calibration.whole.threshold
    assert threshold is not None
    truth = np.random.default_rng(1)  # the archive's own draws: of each row its confidence, and whether it changes
    changed = 0
    for row in rows:
        confidence = round(float(truth.uniform(0.5, 1)), 6)
        assert confidence == row["confidence_first"]
        share = {"black_seen": 0.2, "first_colour": 0.1}[row["question_id"]] * (1 - confidence) / 0.5
        changed += truth.uniform() < share and confidence >= threshold
    assert changed <= 0.02 * len(rows)


def test_each_question_and_camera_has_its_own(output: Output) -> None:
    rows = put(output, Archive(num_films=80))
    found = find(output, by="camera")
    assert [each.question_id for each in found.calibration.questions] == ["black_seen", "first_colour"]
    black, colour = found.calibration.questions
    assert black.threshold is not None
    assert colour.threshold is not None
    assert black.threshold > colour.threshold, "it changes twice as often"
    assert (black.delta, black.num_together, black.population) == (0.025, 2, len(rows) / 2)
    assert [group.value for group in found.groups] == ["north", "south"]


def test_rows_of_before_are_counted_and_not_claimed(output: Output) -> None:
    put(output, Archive())
    put(output, Archive(first_film=100, num_films=10, rate_in_rows=None), number=1)
    found = find(output).calibration
    assert (found.whole.population, found.num_uncovered) == (2000, 500)


def test_the_lowest_rate_draws_the_sample_of_all(output: Output) -> None:
    rows = put(output, Archive())
    low = AuditSample(rate=0.2, salt="framegate")
    rows += put(output, Archive(first_film=100, sample=low, seed=2), number=1)
    found = find(output).calibration
    assert (found.audit_rate, found.whole.num_rows, found.whole.population) == (0.2, len(sampled(rows, 0.2)), 4000)
    only = find(output, min_rate=0.5).calibration
    assert (only.audit_rate, only.whole.population) == (0.5, 2000)


def test_too_few_rows_are_said_by_their_number(output: Output) -> None:
    put(output, Archive(num_films=4, sample=AuditSample(rate=0.2, salt="framegate")))
    made = find(output, epsilon=0.01).calibration.whole
    assert made.threshold is None
    assert made.num_missing > 0
    assert made.num_rows + made.num_missing <= made.population


def test_a_sample_of_clips_is_certified_by_clips(output: Output) -> None:
    by_clip = AuditSample(rate=0.5, unit="clip", salt="framegate")
    rows = put(output, Archive(num_films=80, sample=by_clip))
    found = find(output, audit=AuditConfig(rate=0.5, unit="clip"), epsilon=0.05).calibration
    assert found.whole.threshold is not None
    assert found.whole.num_rows == len(sampled(rows))
    black = [row for row in sampled(rows) if row["question_id"] == "black_seen"]
    exact = certify(black, 2000, epsilon=0.05, delta=0.025)
    assert found.questions[0].threshold == exact.threshold, "of one question each clip has one row"


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (AuditConfig(rate=0.5, salt="other"), r"another gate.audit.unit or salt than the job's \(row, 'other'"),
        (AuditConfig(rate=0.5, unit="clip"), r"another gate.audit.unit or salt than the job's \(clip, 'framegate'"),
    ],
)  # fmt: skip
def test_a_sample_that_was_drawn_otherwise_is_refused(output: Output, audit: AuditConfig, said: str) -> None:
    put(output, Archive(num_films=4))
    with pytest.raises(ConfigError, match=said):
        find(output, audit=audit)


def test_without_audited_rows_it_says_what_to_do(output: Output) -> None:
    put(output, Archive(num_films=2, rate_in_rows=None))
    with pytest.raises(ConfigError, match=r"no row of this config_id was audited.*set gate.audit"):
        find(output)
    with pytest.raises(ConfigError, match="'site' is no column of the manifests of this output; it has camera"):
        find(output, by="site")


def test_each_night_is_a_look_of_its_own(output: Output) -> None:
    put(output, Archive())
    for look in (1, 2, 3):
        found = find(output, every_night=True)
        assert found.calibration.whole.delta == pytest.approx(delta_of_look(0.05, look))
        store(OutputConfig(uri=output.root), found)
    kept = read_calibrations(output, CONFIG_ID)
    assert [one.whole.delta for one in kept] == sorted((one.whole.delta for one in kept), reverse=True)
    assert replace(kept[-1]) == found.calibration
    assert read_calibrations(output, "f" * 16) == []


def test_ranks_are_those_of_the_rows(output: Output) -> None:
    rows = put(output, Archive(num_films=2))
    sample = Archive().sample
    for row in sampled(rows):
        assert row["audit_rank"] == sample.rank(clip_key(row["video_id"], row["clip_index"]), row["question_hash"])


def test_where_a_row_of_the_sample_is_deferred_the_sample_ends_at_its_rank(output: Output) -> None:
    rows = [*Archive().rows()]
    ranks = sorted(row["audit_rank"] for row in rows if row["audit_rank"] is not None)
    open_at = ranks[len(ranks) // 4]
    first = {"thinking": False, "gate_reason": "deferred", "answer_second": None, "answer_second_value": None}
    put_rows(output, [row | (first if row["audit_rank"] == open_at else {}) for row in rows])
    found = find(output)
    assert found.calibration.audit_rate == open_at
    assert found.calibration.whole.num_rows == sum(rank < open_at for rank in ranks)
    assert found.calibration.whole.population == len(rows)
