"""Which rows to label so that a report can say how often answers are right: spread over strata by Neyman's rule.

Most of them go where answers that are not sure, or that thinking changed, deviate most; some to every stratum. In each
stratum the first ones in the order of ranks are taken, so that their labels count (`right_share`).
"""

from __future__ import annotations

import numpy as np

from framegate.pipelines.calibrate.audited import Ints
from framegate.pipelines.calibrate.neyman import NUM_DECILES, allocate_labels, guessed_deviations, label_strata
from framegate.pipelines.certify.labelled_rows import LabelledRows
from framegate.pipelines.certify.right_share import MIN_IN_STRATUM

_NUM_STRATA = 2 * (NUM_DECILES + 1)


def spread_wanted(labelled: LabelledRows, most: int) -> Ints:
    """Places of at most so many rows without a label, the most useful first."""
    if not labelled.first_right.size:
        return np.zeros(0, np.int64)
    strata = _strata(labelled)
    has_label = ~np.isnan(labelled.first_right)
    sizes = np.bincount(strata)
    deviations = guessed_deviations(labelled.found.confidence, ~labelled.differs, strata)
    total = max(most + int(has_label.sum()), int(np.minimum(sizes, MIN_IN_STRATUM).sum()))
    shares = allocate_labels(total, sizes, deviations)
    place_in_stratum = np.zeros(strata.size, np.int64)
    for number in np.unique(strata):
        rows = np.flatnonzero(strata == number)
        place_in_stratum[rows] = np.arange(rows.size)
    wanted = np.flatnonzero((place_in_stratum < shares[strata]) & ~has_label)
    progress = (place_in_stratum[wanted] + 1) / shares[strata[wanted]]  # so that a part of the list is spread as well
    return wanted[np.argsort(progress, kind="stable")][:most]


def _strata(labelled: LabelledRows) -> Ints:
    """As a report will have them: of each question by itself, numbered on."""
    hashes = np.array(labelled.found.rows.column("question_hash").to_pylist(), object)
    confidence, strata = labelled.found.confidence, np.zeros(hashes.size, np.int64)
    for number, one in enumerate(sorted(set(hashes))):
        among = hashes == one
        inside = label_strata(confidence[among], ~labelled.differs[among])
        strata[among] = number * _NUM_STRATA + inside
    return strata
