"""Betting against a mean: fair games do not pay, counted over all samples and all orders of small archives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from framegate.pipelines.calibrate.wealth import (
    FRACTIONS,
    log_factors,
    log_mean,
    log_wealth,
    log_wealth_of_counts,
    log_wealth_path,
    rows_without_loss,
)

LOSSES = st.sampled_from([-1.0, 0.0, 0.0, 0.0, 1.0])
ARCHIVES = st.lists(LOSSES, min_size=2, max_size=6).map(np.array)
BOUNDS = st.sampled_from([0.01, 0.1, 0.3])


def slow_wealth(values, bound: float, largest: float) -> float:
    return sum(math.prod(1 + f * (bound - x) / (largest - bound) for x in values) for f in FRACTIONS) / len(FRACTIONS)


@given(ARCHIVES, BOUNDS)
def test_the_wealth_is_the_mean_of_products(values, bound: float) -> None:
    wealth = math.exp(log_wealth(values, bound=bound, largest=1.0))
    assert wealth == pytest.approx(slow_wealth(values, bound, 1.0), rel=1e-9)
    path = log_wealth_path(values, bound=bound, largest=1.0)
    for end in range(1, values.size + 1):
        assert math.exp(path[end - 1]) == pytest.approx(slow_wealth(values[:end], bound, 1.0), rel=1e-9)


@given(ARCHIVES, BOUNDS, st.data())
def test_the_mean_wealth_over_all_samples_is_at_most_1(archive, bound: float, data: st.DataObject) -> None:
    assume(archive.mean() >= bound)
    n = data.draw(st.integers(1, archive.size))
    wealths = [slow_wealth(archive[list(rows)], bound, 1.0) for rows in itertools.combinations(range(archive.size), n)]
    assert np.mean(wealths) <= 1 + 1e-12


@settings(max_examples=40)
@given(ARCHIVES, BOUNDS, st.sampled_from([0.1, 0.3, 0.5]))
def test_over_all_orders_of_an_archive_the_wealth_grows_too_seldom(archive, bound: float, delta: float) -> None:
    """Each step's mean wealth is at most 1, and it ever reaches 1 / delta in at most delta of the orders."""
    assume(archive.mean() >= bound)
    paths = np.exp(
        [
            log_wealth_path(archive[list(order)], bound=bound, largest=1.0, population=archive.size)
            for order in itertools.permutations(range(archive.size))
        ]
    )
    assert (paths.mean(axis=0) <= 1 + 1e-9).all()
    assert (paths.max(axis=1) >= 1 / delta).mean() <= delta


@given(
    st.lists(LOSSES, min_size=1, max_size=40).map(np.array),
    st.integers(0, 39),
    st.one_of(st.none(), st.integers(0, 60)),
)
def test_a_larger_loss_never_adds_wealth(values, place: int, more: int | None) -> None:
    population = None if more is None else values.size + more
    larger = values.copy()
    larger[place % values.size] = 1.0
    for bound in (0.02, 0.3):
        low = log_wealth_path(larger, bound=bound, largest=1.0, population=population)
        high = log_wealth_path(values, bound=bound, largest=1.0, population=population)
        assert (low <= high + 1e-9).all()


def test_an_archive_that_was_read_whole_leaves_no_doubt() -> None:
    few, many = np.r_[1.0, 1.0, np.zeros(98)], np.r_[1.0, 1.0, 1.0, np.zeros(97)]
    assert log_wealth_path(few, bound=0.025, largest=1.0, population=100)[-1] == math.inf
    assert log_wealth_path(many, bound=0.025, largest=1.0, population=100).max() < math.log(20)
    assert log_wealth_path(many, bound=0.035, largest=1.0, population=100)[-1] == math.inf


def test_a_large_archive_is_like_independent_rows() -> None:
    values = (np.random.default_rng(1).random(1500) < 0.004).astype(float)
    independent = log_wealth_path(values, bound=0.01, largest=1.0)
    near = log_wealth_path(values, bound=0.01, largest=1.0, population=10**9)
    assert near == pytest.approx(independent, abs=1e-3)
    small = log_wealth_path(values, bound=0.01, largest=1.0, population=3000)
    assert small[-1] > independent[-1] + 1


def test_counts_stand_for_rows() -> None:
    values = np.r_[np.ones(3), np.zeros(497)]
    [wealth] = log_wealth_of_counts(np.array([3.0]), np.array([500.0]), bound=0.02)
    assert wealth == pytest.approx(log_wealth(values, bound=0.02, largest=1.0))


def test_rows_that_are_needed_without_any_loss() -> None:
    needed = rows_without_loss(0.01, 1.0, 0.05)
    assert log_wealth(np.zeros(needed), bound=0.01, largest=1.0) >= math.log(20)
    assert log_wealth(np.zeros(needed - 1), bound=0.01, largest=1.0) < math.log(20)
    assert 299 < needed < 460
    [gain] = log_factors(np.zeros(1), bound=0.01, largest=1.0)[:1, 0]
    assert gain == pytest.approx(-math.log(0.99), rel=1e-3)  # that of the binomial test


def test_the_mean_of_logarithms_survives_what_is_lost_and_what_is_endless() -> None:
    logs = np.array([[-math.inf, 0.0, math.inf], [-math.inf, -2000.0, 0.0]])
    assert list(log_mean(logs)) == [-math.inf, pytest.approx(math.log(0.5)), math.inf]
