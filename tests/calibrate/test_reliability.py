"""Reliability of confidence, and where a budget of thought is spent: against counting by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.change_rate import MIN_DIFFERENT, fit_change_rate, spending_order
from framegate.pipelines.calibrate.reliability import (
    change_auroc,
    expected_calibration_error,
    reliability_table,
    savings,
)
from framegate.pipelines.calibrate.share import lower_bound, upper_bound
from framegate.schemas.errors import InputError

NAN = float("nan")
ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.55, 0.9, 1.0, NAN]), st.booleans()), max_size=40)


def arrays(rows):
    return np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.bool_)


def test_a_table_by_hand() -> None:
    confidence = [0.05, 0.95, 0.99, 1.0, 0.5, NAN]
    differs = [True, False, False, True, False, True]
    table = reliability_table(confidence, differs)
    assert [part.num_rows for part in table] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert table[9].agreement == pytest.approx(2 / 3)
    assert (table[9].low, table[9].high) == (lower_bound(2, 3, 0.025), upper_bound(2, 3, 0.025))
    assert math.isnan(table[1].agreement)
    assert expected_calibration_error(table) == pytest.approx((0.05 + 0.5 + 3 * abs(2 / 3 - 0.98)) / 5)
    assert math.isnan(expected_calibration_error(reliability_table([], np.zeros(0, np.bool_))))
    with pytest.raises(InputError, match="0 bins"):
        reliability_table(confidence, differs, num_bins=0)


@given(ROWS)
def test_the_auroc_counts_pairs(rows) -> None:
    confidence, differs = arrays(rows)
    known = [(c, d) for c, d in rows if not math.isnan(c)]
    pairs = [
        1.0 if one[0] < other[0] else 0.5 if one[0] == other[0] else 0.0
        for one, other in itertools.product(known, known)
        if one[1] and not other[1]
    ]
    found = change_auroc(confidence, differs)
    assert math.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


@given(ROWS, st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.9, 1.0]), max_size=4))
def test_savings_are_those_of_the_rows_that_exit(rows, thresholds) -> None:
    confidence, differs = arrays(rows)
    first, after = np.full(len(rows), 4.0), np.arange(len(rows), dtype=float)
    found = savings(confidence, differs, first, after, thresholds)
    for threshold, part in zip(thresholds, found, strict=True):
        exits = confidence >= threshold
        assert part.exit_share == pytest.approx(exits.sum() / max(len(rows), 1))
        assert part.different_share == pytest.approx((exits & differs).sum() / max(len(rows), 1))
        assert part.tokens_saved_share == pytest.approx(after[exits].sum() / max((first + after).sum(), 1))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 1.0]), st.booleans()), min_size=1, max_size=40))
def test_the_fitted_rate_is_the_best_that_never_rises(rows) -> None:
    confidence, differs = arrays(rows)
    rate = fit_change_rate(confidence, differs)
    if differs.sum() < MIN_DIFFERENT:
        assert rate is None
        return
    assert rate is not None
    assert (np.diff(rate.confidences) > 0).all()
    assert (np.diff(rate.rates) < 1e-12).all()
    values = np.unique(confidence)
    shares = np.array([differs[confidence == value].mean() for value in values])
    counts = np.array([(confidence == value).sum() for value in values])
    best = [  # minimax formula of isotonic regression
        min(
            max(np.average(shares[i : j + 1], weights=counts[i : j + 1]) for j in range(place, values.size))
            for i in range(place + 1)
        )
        for place in range(values.size)
    ]
    steps = sorted({round(value, 9) for value in best}, reverse=True)
    assert [round(value, 9) for value in rate.rates] == pytest.approx(steps, abs=1e-8)
    assert rate.at([NAN, 0.0]) == pytest.approx([rate.rates[0]] * 2)


def test_a_budget_goes_where_most_changes_per_token() -> None:
    random = np.random.default_rng(0)
    confidence = random.random(3000)
    rate = fit_change_rate(confidence, random.random(3000) < 0.8 * (1 - confidence))
    assert rate is not None
    assert list(spending_order([0.2, 0.9, 0.2, NAN, 0.5], [100, 2, 50, 500, 100], rate)) == [3, 1, 2, 0, 4]
    assert list(spending_order([0.2, 0.9, 0.1, NAN, 0.5], [100, 1, 50, 5, 1], None)) == [3, 2, 0, 4, 1]
    assert list(spending_order([0.9, 0.2], [0, 0], None)) == [1, 0]


def test_what_a_budget_reaches_is_more_than_by_confidence_alone() -> None:
    """Long thoughts about slightly more doubtful rows are not worth it."""
    random = np.random.default_rng(1)
    confidence, tokens = random.random(4000), random.choice([20.0, 400.0], 4000)
    differs = random.random(4000) < 0.5 * (1 - confidence) ** 2
    rate = fit_change_rate(confidence[:2000], differs[:2000])

    def changed(order) -> int:
        spent = np.cumsum(tokens[2000:][order])
        return int(differs[2000:][order][spent <= 60_000].sum())

    by_worth = changed(spending_order(confidence[2000:], tokens[2000:], rate))
    by_confidence = changed(spending_order(confidence[2000:], tokens[2000:], None))
    assert by_worth > 1.3 * by_confidence
