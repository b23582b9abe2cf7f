"""The claims precision and recall: of the rows of all chosen yes/no questions together, and of each of them.

Rows are looked at in the order of the audit's rank, and a row without a label counts as the worst. So the promise holds
whenever one stops to label, and labels that were given for another claim do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from framegate.pipelines.calibrate.labelled import certify_precision, certify_recall
from framegate.pipelines.certify.by_label import check_unit
from framegate.pipelines.certify.labelled_rows import LabelledRows
from framegate.pipelines.certify.made import Made
from framegate.schemas.certificate import Certificate, Claim
from framegate.schemas.errors import ConfigError


def certify_yes_no(
    labelled: LabelledRows, claim: Claim, questions: Mapping[str, str], *, epsilon: float, delta: float
) -> Made:
    """`questions`: ids by hashes, all of them yes/no questions, and `labelled` has their rows alone.

    The target is 1 - epsilon. Raises ConfigError where clips were sampled and not rows, or no row has a label.
    """
    check_unit(labelled, claim)
    if not labelled.num_labels:
        raise ConfigError(
            f"no row has a label that the claim {claim} could stand on; framegate label --claim {claim} lists the rows"
            " that need one"
        )
    found = labelled.found
    populations = found.count_by("question_hash")
    hashes = np.array(found.rows.column("question_hash").to_pylist(), object)
    only = next(iter(questions)) if len(questions) == 1 else None
    everything = np.ones(found.rows.num_rows, bool)

    def certify(among: np.ndarray, population: int, together: int, one: str | None) -> Certificate:
        return _certify(labelled, claim, among, population, together, one, questions, epsilon=epsilon, delta=delta)

    return Made(
        whole=certify(everything, found.population, 1, only),
        questions=[certify(hashes == one, number, len(populations), one) for one, number in populations.items()],
    )


def _certify(
    labelled: LabelledRows,
    claim: Claim,
    among: np.ndarray,
    population: int,
    num_together: int,
    question_hash: str | None,
    questions: Mapping[str, str],
    *,
    epsilon: float,
    delta: float,
) -> Certificate:
    confidence = labelled.found.confidence[among]
    truth, level = labelled.is_yes[among], delta / num_together
    said = (labelled.first_says_yes[among], labelled.second_says_yes[among])
    rank = labelled.found.rows.column("audit_rank").to_numpy()[among]
    if claim == "precision":
        made = certify_precision(
            confidence, *said, truth, precision=1 - epsilon, delta=level, rank=rank, population=population
        )
    else:
        made = certify_recall(
            confidence, *said, truth, recall=1 - epsilon, delta=level, rank=rank, population=population
        )
    exits = confidence >= (2.0 if made.threshold is None else made.threshold)
    return Certificate(
        claim=claim,
        question_id=None if question_hash is None else questions[question_hash],
        question_hash=question_hash,
        epsilon=epsilon,
        delta=made.delta,
        threshold=made.threshold,
        num_rows=made.num_rows,
        population=population,
        num_exits=int(exits.sum()),
        num_different=int((exits & labelled.differs[among]).sum()),
        bound=0.0 if made.threshold is None else epsilon,
        num_missing=0,
        num_together=num_together,
        num_labels=made.num_labelled,
    )
