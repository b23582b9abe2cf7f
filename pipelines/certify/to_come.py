"""The claim agreement of videos to come: the unit is the video, of which one audited row is drawn at random. Or cameras
to come: then the unit is the camera, or what else a column of the manifest tells apart.

The draw is fixed: by SEED and the order of the sample's rows, which is that of their ranks. Nobody can try another one
until it pleases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.future import certify_future
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.certify.made import Group, Made
from framegate.schemas.certificate import Certificate

SEED: Final = 0


def certify_to_come(
    found: AuditRows, questions: Mapping[str, str], *, unit: str, epsilon: float, delta: float, num_draws: int
) -> Made:
    """`questions`: the id of each question that gets a certificate of its own, by its hash. Rows were drawn one by
    one."""
    chosen = found.of_questions(questions)
    populations = chosen.count_by("question_hash")
    groups = found.count_by("group_value") if found.has_groups else {}

    def certify(rows: AuditRows, among: np.ndarray, population: int, together: int, one: str | None) -> Certificate:
        return _certify(
            rows,
            among,
            population,
            together,
            one,
            questions,
            unit=unit,
            epsilon=epsilon,
            delta=delta,
            num_draws=num_draws,
        )

    of_questions = _values(chosen, "question_hash")
    of_groups = _values(found, "group_value")
    return Made(
        whole=certify(found, np.ones(found.rows.num_rows, bool), found.population, 1, None),
        questions=[
            certify(chosen, of_questions == one, number, len(populations), one) for one, number in populations.items()
        ],
        groups=[
            Group(value=value, certificate=certify(found, of_groups == value, number, len(groups), None))
            for value, number in groups.items()
        ],
    )


def _values(found: AuditRows, name: str) -> np.ndarray:
    return np.array(found.rows.column(name).to_pylist(), object)


def _certify(
    rows: AuditRows,
    among: np.ndarray,
    population: int,
    num_together: int,
    question_hash: str | None,
    questions: Mapping[str, str],
    *,
    unit: str,
    epsilon: float,
    delta: float,
    num_draws: int,
) -> Certificate:
    units = _values(rows, "unit_value")
    among = among & np.array([value is not None for value in units], bool)  # a row of no camera is of none to come
    made = certify_future(
        units[among],
        rows.confidence[among],
        rows.differs[among],
        epsilon=epsilon,
        delta=delta / num_together,
        num_draws=num_draws,
        seed=SEED,
    )
    return Certificate(
        claim="agreement",
        scope="future",
        unit=unit,
        question_id=None if question_hash is None else questions[question_hash],
        question_hash=question_hash,
        epsilon=made.epsilon,
        delta=made.delta,
        threshold=made.threshold,
        num_rows=made.num_rows,
        population=population,
        num_exits=made.num_exits,
        num_different=made.num_different,
        bound=made.bound,
        num_missing=made.num_missing,
        num_together=num_together,
        num_units=made.num_videos,
    )
