"""Measures of a first answer side by side: how many rows each would let go where as many of them change.

For each measure rows are ranked from the surest down, and let go as far as at most the share epsilon of all rows is let
go with another answer than thinking gives. That describes the sample. It certifies nothing: what is chosen by it, after
a look at the same rows, promises less than it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.audited import as_bools, as_confidence
from framegate.pipelines.calibrate.reliability import change_auroc
from framegate.schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ComparedMeasure:
    """Shares are of all `num_rows`, of which `num_known` have a value. auroc is as in `change_auroc`."""

    name: str
    num_rows: int
    num_known: int
    exit_share: float
    different_share: float
    auroc: float


def compare_measures(
    sureness: Mapping[str, npt.ArrayLike], differs: npt.ArrayLike, *, epsilon: float
) -> list[ComparedMeasure]:
    """`sureness` has, by name, a value from 0 to 1 for each row, higher where the model is surer, NaN where there is
    none. Rows that one measure has a value of and another has not, such as those of before it was asked for, are left
    out, so that all are told of the same rows; a row without any value always thinks, and counts.

    Raises InputError for no measure at all, a value outside of 0 to 1, or epsilon outside of 0 to 1.
    """
    if not sureness:
        raise InputError("no measure is named; there is at least one to compare")
    if not 0 <= epsilon <= 1:
        raise InputError(f"epsilon is {epsilon:g}; it lies between 0 and 1")
    values_MN = np.stack([as_confidence(values) for values in sureness.values()])
    different = as_bools(differs, values_MN.shape[1], "differs")
    num_known = (~np.isnan(values_MN)).sum(axis=0)
    alike = (num_known == 0) | (num_known == len(values_MN))
    return [
        _compare(name, values[alike], different[alike], epsilon)
        for name, values in zip(sureness, values_MN, strict=True)
    ]


def _compare(
    name: str, values: npt.NDArray[np.float64], different: npt.NDArray[np.bool_], epsilon: float
) -> ComparedMeasure:
    order = np.argsort(-values, kind="stable")  # NaN comes last
    ranked = values[order][: int((~np.isnan(values)).sum())]
    lost = np.concatenate([[0], np.cumsum(different[order])])[: ranked.size + 1]
    # A threshold lies between two values: equal ones are let go together.
    is_end = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]]) if ranked.size else np.array([True])
    # A share that is epsilon but for rounding is not above it.
    within = np.flatnonzero(is_end & (lost <= epsilon * values.size * (1 + 1e-12)))
    num_exits = int(within.max())
    num_rows = max(values.size, 1)
    return ComparedMeasure(
        name=name,
        num_rows=values.size,
        num_known=ranked.size,
        exit_share=num_exits / num_rows,
        different_share=float(lost[num_exits]) / num_rows,
        auroc=change_auroc(values, different),
    )
