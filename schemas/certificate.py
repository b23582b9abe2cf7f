"""Certificate: what an audit sample says of one threshold. Calibration: the certificates that were made at one time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from framegate.schemas.certified_pruning import PruneCertificate

CALIBRATION_ID: Final = r"\d{8}T\d{12}Z-[0-9a-f]{6}"  # of several within a second, the last is the latest
Claim = Literal["agreement", "accuracy", "error", "precision", "recall"]
"""What at most `epsilon` is, of the rows that a certificate is about:

    agreement   the share that would have another answer had they thought
    accuracy    how much fewer of them are right than if all had thought
    error       the share whose answer is wrong
    precision   of a yes/no question: of the rows that are answered with yes, the share that is not
    recall      of a yes/no question: of the rows that are yes, the share that is not answered so
"""

CLAIMS: Final[tuple[Claim, ...]] = ("agreement", "accuracy", "error", "precision", "recall")
YES_NO_CLAIMS: Final[tuple[Claim, ...]] = ("precision", "recall")

Scope = Literal["archive", "future"]
"""What a certificate is about: `archive`, the rows that were there; `future`, a video to come that is drawn like those
of the sample, on average over such videos; or a camera to come, where that is the unit. The second is made of the claim
agreement alone."""

VIDEO: Final = "video"
"""The unit of a certificate of what is to come, unless a column of the manifest is, such as `camera`."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """One claim about the rows of an archive, or of one question in it, that holds with probability 1 - delta.

    question_id     null: all rows; of the claims about yes and no, those of all yes/no questions that were chosen
    threshold       rows whose first answer is at least as sure may exit; None: none may
    num_rows        rows of the sample; `population`: rows that they were drawn from
    num_exits       rows of the sample that exit at the threshold; `num_different`: those that change when they think
    bound           the share of rows that exit and would change is at most this, with probability 1 - delta
    num_missing     rows that the sample is short of before any threshold could be certified
    num_together    so many certificates hold together with that probability: each is made at delta / num_together
    num_labels      rows of the sample that a person has labelled, where the claim needs any
    unit            where the scope is `future`: `video`, or the column of the manifest each value of which is one unit
    num_units       units that have a row in the sample, where the scope is `future`; `num_missing` is of units then
    """

    claim: Claim
    question_id: str | None
    question_hash: str | None
    epsilon: float
    delta: float
    threshold: float | None
    num_rows: int
    population: int
    num_exits: int
    num_different: int
    bound: float
    num_missing: int
    num_together: int = 1
    num_labels: int = 0
    scope: Scope = "archive"
    unit: str | None = None
    num_units: int = 0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Certificates of one config_id. `made_at` is ISO 8601 in UTC.

    audit_rate, audit_unit, audit_salt   of the sample
    num_uncovered                        rows that the gate decided about before rows were audited: no claim is about
                                         them
    number_tolerance, span_overlap       how far two answers may be apart and still be the same
    whole                                the certificate of the archive; `questions`: one for each question
    prunes                               where the job prunes: that of all rows, then one for each question, which hold
                                         together
    """

    calibration_id: str
    config_id: str
    made_at: str
    audit_rate: float
    audit_unit: str
    audit_salt: str
    num_uncovered: int
    number_tolerance: float
    span_overlap: float
    whole: Certificate
    questions: tuple[Certificate, ...]
    prunes: tuple[PruneCertificate, ...] = ()

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Calibration:
        """Raises KeyError, TypeError, ValueError where it is none."""
        values = dict(document)
        questions: Sequence[Mapping[str, Any]] = values.pop("questions")
        whole = Certificate(**values.pop("whole"))
        prunes = tuple(PruneCertificate.from_document(each) for each in values.pop("prunes", ()))
        certificates = tuple(Certificate(**each) for each in questions)
        return Calibration(**values, whole=whole, questions=certificates, prunes=prunes)
