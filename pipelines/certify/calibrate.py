"""What an output's audit sample certifies: of the archive, of each question, of each group; and what its rows show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np

from framegate.pipelines.calibrate.agreement import AgreementCertificate, certify_agreement
from framegate.pipelines.calibrate.clip_sample import ClipCertificate, certify_clips
from framegate.pipelines.calibrate.looks import delta_of_look
from framegate.pipelines.calibrate.reliability import (
    ConfidenceBin,
    ThresholdSaving,
    change_auroc,
    expected_calibration_error,
    reliability_table,
    savings,
)
from framegate.pipelines.calibrate.strata import certify_strata
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.certify.by_label import certify_by_labels
from framegate.pipelines.certify.labelled_rows import label_rows
from framegate.pipelines.commit.calibrations import make_calibration_id
from framegate.schemas.certificate import Calibration, Certificate, Claim
from framegate.schemas.label import Label


@dataclass(frozen=True, kw_only=True)
class Group:
    """A certificate of the rows that have one value in a column of the manifest. It is not stored."""

    value: str | None
    certificate: Certificate


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A calibration, and what the sample shows beside it.

    groups            by the column that was asked for; those hold together, apart from the calibration's
    auroc             of confidence for "thinking changes the answer"; NaN where all change, or none does
    calibration_error expected calibration error of confidence as the chance that thinking agrees
    saving            of the certified threshold; None where nothing may exit. `saving_in_force`: of the gate's own
    """

    calibration: Calibration
    groups: tuple[Group, ...]
    reliability: tuple[ConfidenceBin, ...]
    calibration_error: float
    auroc: float
    saving: ThresholdSaving | None
    saving_in_force: ThresholdSaving | None


def calibrate(
    found: AuditRows,
    *,
    config_id: str,
    epsilon: float,
    delta: float,
    claim: Claim = "agreement",
    labels: Mapping[tuple[str, int, str], Label] = MappingProxyType({}),
    look: int | None = None,
    at: datetime,
) -> Findings:
    """The claim of the archive and, beside it, of each question. Stores nothing.

    labels   by the key of a row; the claim agreement needs none
    look     counts from 1 where this is one of many looks that are to hold together: delta is divided among them
    Raises InputError on levels that cannot be, ConfigError where the claim cannot be made of this sample.
    """
    level = delta if look is None else delta_of_look(delta, look)
    groups: list[tuple[Any, AgreementCertificate, int]] = []
    if claim == "agreement":
        whole, questions = _whole(found, epsilon, level), _questions(found, epsilon, level)
        groups = _by(found, "group_value", epsilon, level) if found.has_groups else []
    else:
        whole, questions = certify_by_labels(label_rows(found, labels), claim, epsilon=epsilon, delta=level)
    calibration = Calibration(
        calibration_id=make_calibration_id(at.astimezone(UTC)),
        config_id=config_id,
        made_at=at.astimezone(UTC).isoformat(timespec="seconds"),
        audit_rate=found.sample.rate,
        audit_unit=found.sample.unit,
        audit_salt=found.sample.salt,
        num_uncovered=found.num_uncovered,
        number_tolerance=found.tolerance.number_tolerance,
        span_overlap=found.tolerance.span_overlap,
        whole=whole,
        questions=questions,
    )
    return _describe(
        found, calibration, [Group(value=v, certificate=_certificate(c, None, None, n)) for v, c, n in groups]
    )


def _questions(found: AuditRows, epsilon: float, delta: float) -> tuple[Certificate, ...]:
    ids = {row["question_hash"]: row["question_id"] for row in found.counts}
    made = _by(found, "question_hash", epsilon, delta)
    return tuple(_certificate(each, ids[value], value, together) for value, each, together in made)


def _whole(found: AuditRows, epsilon: float, delta: float) -> Certificate:
    if found.sample.unit == "row":
        made = certify_agreement(
            found.confidence, found.differs, epsilon=epsilon, delta=delta, population=found.population
        )
        return _certificate(made, None, None, 1)
    columns = (found.rows.column(name).to_pylist() for name in ("video_id", "clip_index"))
    clips = [f"{video_id}/{clip_index}" for video_id, clip_index in zip(*columns, strict=True)]
    by_clip = certify_clips(
        clips,
        found.confidence,
        found.differs,
        num_questions=len(found.count_by("question_hash")),
        epsilon=epsilon,
        delta=delta,
    )
    return _of_clips(by_clip, found.population)


def _of_clips(made: ClipCertificate, population: int) -> Certificate:
    """`bound` is what was tested: the bet says no more than that the share is below epsilon."""
    return Certificate(
        claim="agreement",
        question_id=None,
        question_hash=None,
        epsilon=made.epsilon,
        delta=made.delta,
        threshold=made.threshold,
        num_rows=made.num_rows,
        population=population,
        num_exits=made.num_exits,
        num_different=made.num_different,
        bound=0.0 if made.threshold is None else made.epsilon,
        num_missing=0,
    )


def _by(found: AuditRows, name: str, epsilon: float, delta: float) -> list[tuple[Any, AgreementCertificate, int]]:
    """One certificate for each value, and how many hold together. In each question a clip has one row, so that a sample
    of clips is one of its rows."""
    if name == "group_value" and found.sample.unit == "clip":
        return []
    populations = found.count_by(name)
    made = certify_strata(
        found.confidence,
        found.differs,
        found.rows.column(name).to_pylist(),
        epsilon=epsilon,
        delta=delta,
        populations=populations,
    )
    return [(value, each, len(populations)) for value, each in made.strata.items()]


def _certificate(
    made: AgreementCertificate, question_id: str | None, question_hash: str | None, num_together: int
) -> Certificate:
    return Certificate(
        claim="agreement",
        question_id=question_id,
        question_hash=question_hash,
        epsilon=made.epsilon,
        delta=made.delta,
        threshold=made.threshold,
        num_rows=made.num_rows,
        population=made.population or 0,
        num_exits=made.num_exits,
        num_different=made.num_different,
        bound=made.bound,
        num_missing=made.num_missing,
        num_together=num_together,
    )


def _describe(found: AuditRows, calibration: Calibration, groups: Sequence[Group]) -> Findings:
    confidence, differs = found.confidence, found.differs
    table = reliability_table(confidence, differs)
    in_force = max((row["threshold"] for row in found.counts if row["threshold"] is not None), default=None)
    answer_tokens, thinking_tokens = (
        found.rows.column(name).to_numpy().astype(np.float64) for name in ("num_answer_tokens", "num_thinking_tokens")
    )

    def saving(threshold: float | None) -> ThresholdSaving | None:
        if threshold is None:
            return None
        [one] = savings(confidence, differs, answer_tokens, thinking_tokens, [threshold])
        return one

    return Findings(
        calibration=calibration,
        groups=tuple(groups),
        reliability=tuple(table),
        calibration_error=expected_calibration_error(table),
        auroc=change_auroc(confidence, differs),
        saving=saving(calibration.whole.threshold),
        saving_in_force=saving(in_force),
    )
