"""Measures side by side: the largest share that is let go at a loss, against a plain search over thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.measures import compare_measures
from framegate.schemas.errors import InputError

VALUES = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0, float("nan")])


def search(values: list[float], differs: list[bool], epsilon: float) -> tuple[float, float]:
    """Every threshold, one after the other."""
    best = (0.0, 0.0)
    for threshold in {value for value in values if value == value}:
        exits = [changed for value, changed in zip(values, differs, strict=True) if value >= threshold]
        if sum(exits) <= epsilon * len(values) + 1e-9:
            best = max(best, (len(exits) / len(values), sum(exits) / len(values)))
    return best


@given(
    rows=st.lists(st.tuples(VALUES, st.booleans()), max_size=30), epsilon=st.sampled_from([0.0, 0.05, 0.1, 0.3, 1.0])
)
def test_the_share_let_go_is_the_largest_that_any_threshold_allows(rows, epsilon) -> None:
    values, differs = [row[0] for row in rows], [row[1] for row in rows]
    [made] = compare_measures({"one": values}, np.array(differs, bool), epsilon=epsilon)
    expected = search(values, differs, epsilon)
    assert (made.exit_share, made.different_share) == pytest.approx(expected)
    assert (made.num_rows, made.num_known) == (len(rows), int((~np.isnan(np.array(values, float))).sum()))


def test_a_measure_that_tells_rows_apart_lets_more_go() -> None:
    differs = np.array([False, True, False, True])
    good, bad = compare_measures({"good": [0.9, 0.1, 0.8, 0.2], "bad": [0.1, 0.9, 0.2, 0.8]}, differs, epsilon=0.0)
    assert (good.exit_share, good.auroc, bad.exit_share, bad.auroc) == (0.5, 1.0, 0.0, 0.0)


def test_all_are_told_of_the_same_rows() -> None:
    """Rows of before a measure was asked for are left out of all; a row without any value always thinks."""
    nan = float("nan")
    one, other = compare_measures(
        {"one": [0.9, 0.8, nan, 0.7], "other": [nan, 0.8, nan, 0.7]}, np.zeros(4, bool), epsilon=0.0
    )
    assert (one.num_rows, one.num_known, one.exit_share) == (3, 2, pytest.approx(2 / 3))
    assert (other.num_rows, other.num_known, other.exit_share) == (3, 2, pytest.approx(2 / 3))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="no measure"):
        compare_measures({}, np.zeros(0, bool), epsilon=0.1)
    with pytest.raises(InputError, match="epsilon is 2"):
        compare_measures({"one": [0.5]}, np.zeros(1, bool), epsilon=2)
    with pytest.raises(InputError, match="between 0 and 1"):
        compare_measures({"one": [1.5]}, np.zeros(1, bool), epsilon=0.1)
