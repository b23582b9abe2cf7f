"""The claims accuracy and error, which need labels: of the whole sample, and of each question with delta divided."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from framegate.pipelines.calibrate.accuracy import certify_accuracy
from framegate.pipelines.calibrate.labelled import certify_error
from framegate.pipelines.certify.labelled_rows import LabelledRows
from framegate.pipelines.certify.made import Made
from framegate.schemas.certificate import Certificate, Claim
from framegate.schemas.errors import ConfigError


def certify_by_label(
    labelled: LabelledRows, claim: Claim, questions: Mapping[str, str], *, epsilon: float, delta: float
) -> Made:
    """The certificate of the archive, and one of each of these questions (ids by hashes).

    Raises ConfigError where clips were sampled and not rows, or the claim has no label to stand on.
    """
    found = labelled.found
    check_unit(labelled, claim)
    if claim == "error" and not labelled.num_leading:
        raise ConfigError(
            "no label can be used for the claim error: it needs those of the first rows in the order of the audit;"
            " framegate label --claim error lists them"
        )
    everything = np.ones(found.rows.num_rows, bool)
    whole = _certify(labelled, claim, everything, None, None, epsilon, delta, found.population, 1)
    populations = found.of_questions(questions).count_by("question_hash")
    hashes = np.array(found.rows.column("question_hash").to_pylist(), object)
    level = delta / max(len(populations), 1)
    of_questions = [
        _certify(labelled, claim, hashes == one, questions[one], one, epsilon, level, number, len(populations))
        for one, number in populations.items()
    ]
    return Made(whole=whole, questions=of_questions)


def check_unit(labelled: LabelledRows, claim: Claim) -> None:
    """Raises ConfigError where clips were sampled and not rows."""
    if (unit := labelled.found.sample.unit) != "row":
        raise ConfigError(
            f"the claim {claim} is made of rows that were drawn one by one, and gate.audit.unit is {unit}; calibrate"
            " the claim agreement, or audit by row"
        )


def _certify(
    labelled: LabelledRows,
    claim: Claim,
    among: np.ndarray,
    question_id: str | None,
    question_hash: str | None,
    epsilon: float,
    delta: float,
    population: int,
    num_together: int,
) -> Certificate:
    confidence = labelled.found.confidence
    num_labels = int((~np.isnan(labelled.first_right[among])).sum())
    if claim == "accuracy":
        made = certify_accuracy(
            confidence[among],
            labelled.differs[among],
            labelled.gain[among],
            epsilon=epsilon,
            delta=delta,
            population=population,
        )
        threshold, num_missing = made.threshold, made.num_missing
    else:
        among = among & (np.arange(among.size) < labelled.num_leading)
        num_labels = int(among.sum())
        error = certify_error(
            confidence[among],
            1 - labelled.first_right[among],
            1 - labelled.second_right[among],
            alpha=epsilon,
            delta=delta,
            population=population,
        )
        threshold, num_missing = error.threshold, 0
    exits = among & (confidence >= (2.0 if threshold is None else threshold))
    return Certificate(
        claim=claim,
        question_id=question_id,
        question_hash=question_hash,
        epsilon=epsilon,
        delta=delta,
        threshold=threshold,
        num_rows=int(among.sum()),
        population=population,
        num_exits=int(exits.sum()),
        num_different=int((exits & labelled.differs).sum()),
        bound=0.0 if threshold is None else epsilon,
        num_missing=num_missing,
        num_together=num_together,
        num_labels=num_labels,
    )
