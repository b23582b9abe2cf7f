"""What an output's audit sample certifies: of the archive, of each question, of each group; and what its rows show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np

from framegate.pipelines.calibrate.looks import delta_of_look
from framegate.pipelines.calibrate.measures import ComparedMeasure, compare_measures
from framegate.pipelines.calibrate.reliability import (
    ConfidenceBin,
    ThresholdSaving,
    change_auroc,
    expected_calibration_error,
    reliability_table,
    savings,
)
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.certify.by_agreement import certify_by_agreement
from framegate.pipelines.certify.by_label import certify_by_label
from framegate.pipelines.certify.copies import CopyFindings
from framegate.pipelines.certify.labelled_rows import label_rows
from framegate.pipelines.certify.made import Group, Made
from framegate.pipelines.certify.prunes import PruneFindings
from framegate.pipelines.certify.request import Request, choose_questions
from framegate.pipelines.certify.to_come import certify_to_come
from framegate.pipelines.certify.yes_no import certify_yes_no
from framegate.pipelines.commit.calibrations import make_calibration_id
from framegate.schemas.certificate import YES_NO_CLAIMS, Calibration
from framegate.schemas.label import Label


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A calibration, and what the sample shows beside it.

    groups            by the column that was asked for; those hold together, apart from the calibration's
    auroc             of confidence for "thinking changes the answer"; NaN where all change, or none does
    calibration_error expected calibration error of confidence as the chance that thinking agrees
    measures          confidence beside the other measures that rows have; empty where they have none
    saving            of the certified threshold; None where nothing may exit. `saving_in_force`: of the gate's own
    copies            what taking over answers loses; None where no row did
    prunes            what pruning changes; None where the job does not prune
    """

    calibration: Calibration
    groups: tuple[Group, ...]
    reliability: tuple[ConfidenceBin, ...]
    calibration_error: float
    auroc: float
    saving: ThresholdSaving | None
    saving_in_force: ThresholdSaving | None
    measures: tuple[ComparedMeasure, ...] = ()
    copies: CopyFindings | None = None
    prunes: PruneFindings | None = None


def calibrate(
    found: AuditRows,
    request: Request,
    *,
    config_id: str,
    labels: Mapping[tuple[str, int, str], Label] = MappingProxyType({}),
    look: int | None = None,
    at: datetime,
) -> Findings:
    """The claim of the archive and, beside it, of each question. Stores nothing.

    found    of the output that the request is about
    labels   by the key of a row; the claim agreement needs none
    look     counts from 1 where this is one of many looks that are to hold together: delta is divided among them
    Raises InputError on levels that cannot be, ConfigError where the claim cannot be made of this sample.
    """
    request.check()
    level = request.delta if look is None else delta_of_look(request.delta, look)
    questions = choose_questions(found, request)
    if request.claim in YES_NO_CLAIMS:
        found = found.of_questions(questions)
    made = _certify(found, request, questions, labels, level)
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
        whole=made.whole,
        questions=tuple(made.questions),
    )
    return _describe(found, calibration, made.groups, epsilon=request.epsilon)


def _certify(
    found: AuditRows,
    request: Request,
    questions: Mapping[str, str],
    labels: Mapping[tuple[str, int, str], Label],
    delta: float,
) -> Made:
    epsilon = request.epsilon
    if request.scope == "future":
        return certify_to_come(
            found, questions, unit=request.unit, epsilon=epsilon, delta=delta, num_draws=request.num_draws
        )
    if request.claim == "agreement":
        return certify_by_agreement(found, questions, epsilon=epsilon, delta=delta)
    labelled = label_rows(found, labels)
    if request.claim in YES_NO_CLAIMS:
        return certify_yes_no(labelled, request.claim, questions, epsilon=epsilon, delta=delta)
    return certify_by_label(labelled, request.claim, questions, epsilon=epsilon, delta=delta)


def _describe(found: AuditRows, calibration: Calibration, groups: Sequence[Group], *, epsilon: float) -> Findings:
    confidence, differs, sureness = found.confidence, found.differs, found.sureness
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
        measures=tuple(compare_measures(sureness, differs, epsilon=epsilon)) if len(sureness) > 1 else (),
    )
