"""How far a first answer's confidence can be relied on: a table by confidence, two figures, and what each threshold
saves.

These describe a sample. None of them certifies anything: a threshold that is chosen by them promises nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from framegate.pipelines.calibrate.audited import as_bools, as_confidence, as_floats
from framegate.pipelines.calibrate.share import lower_bound, upper_bound
from framegate.schemas.errors import InputError

DELTA_OF_ENDS = 0.025
"""Of each end of an interval, so that both hold with 95 %."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceBin:
    """Rows with a confidence from `start` up to, not with, `end`; the last bin has 1, too.

    mean_confidence and agreement (rows whose second answer is the same) are NaN where there are no rows; low and high
    are the exact 95 % interval of the agreement.
    """

    start: float
    end: float
    num_rows: int
    mean_confidence: float
    agreement: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ThresholdSaving:
    """What a threshold would do: shares of all rows that exit, that exit with another answer, and of tokens saved."""

    threshold: float
    exit_share: float
    different_share: float
    tokens_saved_share: float


def reliability_table(confidence: npt.ArrayLike, differs: npt.ArrayLike, *, num_bins: int = 10) -> list[ConfidenceBin]:
    """Rows without a confidence are left out."""
    if num_bins < 1:
        raise InputError(f"{num_bins} bins: a table has at least one")
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    known = ~np.isnan(confidences)
    places = np.minimum((confidences[known] * num_bins).astype(np.int64), num_bins - 1)
    counts = np.bincount(places, minlength=num_bins)
    sums = np.bincount(places, confidences[known], minlength=num_bins)
    same = np.bincount(places, ~different[known], minlength=num_bins).astype(np.int64)
    return [
        ConfidenceBin(
            start=place / num_bins,
            end=(place + 1) / num_bins,
            num_rows=int(counts[place]),
            mean_confidence=float(sums[place] / counts[place]) if counts[place] else float("nan"),
            agreement=float(same[place] / counts[place]) if counts[place] else float("nan"),
            low=lower_bound(int(same[place]), int(counts[place]), DELTA_OF_ENDS),
            high=upper_bound(int(same[place]), int(counts[place]), DELTA_OF_ENDS),
        )
        for place in range(num_bins)
    ]


def expected_calibration_error(table: list[ConfidenceBin]) -> float:
    """The mean over rows of |agreement - mean confidence| of their bin; NaN where there are no rows."""
    num_rows = sum(part.num_rows for part in table)
    gaps = (part.num_rows * abs(part.agreement - part.mean_confidence) for part in table if part.num_rows)
    return sum(gaps) / num_rows if num_rows else float("nan")


def change_auroc(confidence: npt.ArrayLike, differs: npt.ArrayLike) -> float:
    """The chance that a row that thinking changes has a lower confidence than one that it does not; ties count half.

    0.5: confidence tells nothing; 1: some threshold tells all. The Mann-Whitney statistic. Rows without a confidence
    are left out; NaN where all the others differ, or none does.
    """
    confidences = as_confidence(confidence)
    known = ~np.isnan(confidences)
    different = as_bools(differs, confidences.size, "differs")[known]
    num_changed, num_same = int(different.sum()), int((~different).sum())
    if not num_changed or not num_same:
        return float("nan")
    ranks = stats.rankdata(-confidences[known])
    return float((ranks[different].sum() - num_changed * (num_changed + 1) / 2) / (num_changed * num_same))


def savings(
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    tokens_first: npt.ArrayLike,
    tokens_thinking: npt.ArrayLike,
    thresholds: npt.ArrayLike,
) -> list[ThresholdSaving]:
    """For each threshold, of rows that all thought: what they would have done had it been the gate's.

    tokens_first: written up to the first answer; tokens_thinking: written after it. The share of tokens saved is of
    what thinking always writes; prompts are not counted, since both read the same.
    """
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    firsts = as_floats(tokens_first, confidences.size, "tokens_first")
    after = as_floats(tokens_thinking, confidences.size, "tokens_thinking")
    order = np.argsort(-confidences, kind="stable")  # NaN comes last
    ranked = -confidences[order][: int((~np.isnan(confidences)).sum())]
    told = np.asarray(thresholds, np.float64)
    ends = np.searchsorted(ranked, -told, side="right")
    changed = np.concatenate([[0], np.cumsum(different[order])])[ends]
    saved = np.concatenate([[0.0], np.cumsum(after[order])])[ends]
    num_rows, all_tokens = max(confidences.size, 1), float(firsts.sum() + after.sum())
    return [
        ThresholdSaving(
            threshold=float(threshold),
            exit_share=float(end / num_rows),
            different_share=float(change / num_rows),
            tokens_saved_share=float(tokens / all_tokens) if all_tokens else 0.0,
        )
        for threshold, end, change, tokens in zip(told, ends, changed, saved, strict=True)
    ]
