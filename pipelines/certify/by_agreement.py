"""The claim agreement of the rows that are there: of all, of each question, of each group. It needs no label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.pipelines.calibrate.agreement import AgreementCertificate, certify_agreement
from framegate.pipelines.calibrate.clip_sample import ClipCertificate, certify_clips
from framegate.pipelines.calibrate.strata import certify_strata
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.certify.made import Group, Made
from framegate.schemas.certificate import Certificate


def certify_by_agreement(found: AuditRows, questions: Mapping[str, str], *, epsilon: float, delta: float) -> Made:
    """`questions`: the id of each question that gets a certificate of its own, by its hash."""
    of_questions = _by(found.of_questions(questions), "question_hash", epsilon, delta)
    # In each question a clip has one row, so that a sample of clips is one of its rows; a group's clips have several.
    has_groups = found.has_groups and found.sample.unit == "row"
    return Made(
        whole=_whole(found, epsilon, delta),
        questions=[_certificate(made, questions[one], one, together) for one, made, together in of_questions],
        groups=[
            Group(value=value, certificate=_certificate(made, None, None, together))
            for value, made, together in (_by(found, "group_value", epsilon, delta) if has_groups else ())
        ],
    )


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
    """One certificate for each value, and how many hold together."""
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
