"""Claim 1 for each question, camera or other group of rows by itself, all of them true at once.

Each of S strata is certified at delta / S (Bonferroni): one of S promises breaks with probability at most the sum of
theirs, delta. The groups and their number S are those of the archive, known before the sample was drawn; a group
without a sampled row counts, too. Where each group keeps to epsilon, so does the archive: its share is their weighted
mean.

Inside of a group the sample is a uniform draw of its rows, given how many of them it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.agreement import AgreementCertificate, certify_agreement
from framegate.pipelines.calibrate.audited import as_bools, as_confidence, codes_of
from framegate.pipelines.calibrate.share import check_levels
from framegate.schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StrataCertificate:
    """Certificates of all strata, which hold together with probability 1 - delta.

    correction: `bonferroni` where delta was divided among several strata, `none` where there is one.
    """

    epsilon: float
    delta: float
    correction: str
    strata: dict[Any, AgreementCertificate]


def certify_strata(
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    stratum: Sequence[Any] | npt.NDArray[Any],
    *,
    epsilon: float,
    delta: float,
    populations: Mapping[Any, int] | None = None,
) -> StrataCertificate:
    """A threshold for each stratum.

    stratum: of each sampled row, such as its question. populations: rows of the archive by stratum, of all strata;
    without it the strata are those of the sample, which is only right where every one of the archive is in it.
    Raises InputError where a sampled stratum is in no population, or there is none.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    names, codes = codes_of(stratum, confidences.size, "stratum")
    if populations is not None and (unknown := [name for name in names if name not in populations]):
        raise InputError(f"sampled rows are of {unknown[0]!r}, of which the archive is said to have none")
    every = names if populations is None else list(populations)
    if not every:
        raise InputError("there is no row, and no stratum that could be certified")
    places = {name: place for place, name in enumerate(names)}
    certificates = {}
    for name in every:
        rows = codes == places[name] if name in places else np.zeros(confidences.size, np.bool_)
        certificates[name] = certify_agreement(
            confidences[rows],
            different[rows],
            epsilon=epsilon,
            delta=delta / len(every),
            population=None if populations is None else populations[name],
        )
    correction = "bonferroni" if len(every) > 1 else "none"
    return StrataCertificate(epsilon=epsilon, delta=delta, correction=correction, strata=certificates)
