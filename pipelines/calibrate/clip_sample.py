"""Claim 1 where whole clips were sampled: all questions of a clip think together, since they share its prefill.

Clips are a uniform draw, rows are not. With s rows of a clip that exit and differ at a threshold, and q rows in all,
the share over rows is at most epsilon exactly if the mean over clips of s - epsilon q is at most 0. That is a loss
within -epsilon Q and (1 - epsilon) Q, Q being the number of questions, and is tested by betting (`wealth.py`). It falls
as the threshold rises, like claim 1's, so that the proof there holds: no correction for looking at all thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.agreement import lowest_threshold
from framegate.pipelines.calibrate.audited import as_bools, as_confidence, codes_of
from framegate.pipelines.calibrate.share import check_levels
from framegate.pipelines.calibrate.wealth import log_wealth, passes
from framegate.schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ClipCertificate:
    """As AgreementCertificate, from a sample of whole clips."""

    epsilon: float
    delta: float
    threshold: float | None
    num_clips: int
    num_rows: int
    num_exits: int
    num_different: int


def certify_clips(
    clip: Sequence[Any] | npt.NDArray[Any],
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    *,
    num_questions: int,
    epsilon: float,
    delta: float,
) -> ClipCertificate:
    """The lowest threshold that keeps to epsilon, of all rows of the archive.

    clip: of each row; all rows of a sampled clip are there. num_questions: the most rows that a clip of the archive
    has. Raises InputError as `certify_agreement` does, and where a clip has more rows.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    names, codes = codes_of(clip, confidences.size, "clip")
    sizes = np.bincount(codes, minlength=len(names)).astype(np.float64)
    if sizes.max(initial=0) > num_questions:
        raise InputError(f"a clip has {int(sizes.max())} rows, and {num_questions} questions were asked")

    def keeps(threshold: float) -> bool:
        counts = np.bincount(codes, different & (confidences >= threshold), minlength=len(names))
        losses = (counts - epsilon * sizes) / num_questions
        return passes(log_wealth(losses, bound=0.0, largest=1 - epsilon), delta)

    threshold = None
    if keeps(2.0):
        low, high = 0, int(different.sum())
        while high > low:
            middle = (low + high + 1) // 2
            tried = lowest_threshold(confidences, different, middle)
            low, high = (middle, high) if tried is None or keeps(tried) else (low, middle - 1)
        threshold = lowest_threshold(confidences, different, low)
    exits = confidences >= (2.0 if threshold is None else threshold)
    return ClipCertificate(
        epsilon=epsilon,
        delta=delta,
        threshold=threshold,
        num_clips=len(names),
        num_rows=confidences.size,
        num_exits=int(exits.sum()),
        num_different=int((exits & different).sum()),
    )
