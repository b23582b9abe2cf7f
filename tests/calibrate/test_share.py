"""Exact bounds of a share, against the definitions they come from."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from framegate.pipelines.calibrate.share import lower_bound, most_events, rows_needed, upper_bound
from framegate.schemas.errors import InputError

TABLE = {0.01: (299, 473, 628, 773, 1049), 0.005: (598, 947, 1258, 1549, 2100)}


def drawn(k: int, population: int, events: int, n: int) -> float:
    """P(at most k events in n different rows), counted."""
    ways = sum(
        math.comb(events, i) * math.comb(population - events, n - i)
        for i in range(k + 1)
        if n - i <= population - events
    )
    return float(Fraction(ways, math.comb(population, n)))


@pytest.mark.parametrize("epsilon", TABLE)
def test_rows_that_are_needed(epsilon: float) -> None:
    needed = tuple(rows_needed(k, epsilon, 0.05) for k in (0, 1, 2, 3, 5))
    assert needed == TABLE[epsilon]
    for k, n in zip((0, 1, 2, 3, 5), needed, strict=True):
        assert upper_bound(k, n, 0.05) <= epsilon < upper_bound(k, n - 1, 0.05)


@given(st.data())
def test_the_bound_of_an_archive_is_the_largest_share_that_is_not_contradicted(data: st.DataObject) -> None:
    population = data.draw(st.integers(1, 40))
    n = data.draw(st.integers(0, population))
    k = data.draw(st.integers(0, n))
    delta = data.draw(st.sampled_from([0.01, 0.05, 0.2, 0.6]))
    possible = [events for events in range(population + 1) if drawn(k, population, events, n) > delta]
    assert upper_bound(k, n, delta, population=population) == pytest.approx(max(possible) / population)
    possible = [e for e in range(population + 1) if drawn(n - k, population, population - e, n) > delta]
    assert lower_bound(k, n, delta, population=population) == pytest.approx(min(possible) / population)


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_binomial_bound_leaves_exactly_delta(k: int, more: int, delta: float) -> None:
    n = k + more
    bound = upper_bound(k, n, delta)
    chance = math.fsum(math.comb(n, i) * bound**i * (1 - bound) ** (n - i) for i in range(k + 1))
    assert chance == pytest.approx(delta, rel=1e-6)


@given(
    st.integers(0, 400),
    st.sampled_from([0.003, 0.01, 0.05, 0.3, 0.9]),
    st.sampled_from([0.01, 0.05, 0.3]),
    st.one_of(st.none(), st.integers(0, 400)),
)
def test_most_events_is_the_largest_number_whose_bound_keeps(
    n: int, epsilon: float, delta: float, more: int | None
) -> None:
    population = None if more is None else n + more
    most = most_events(n, epsilon, delta, population=population)
    if most >= 0:
        assert upper_bound(most, n, delta, population=population) <= epsilon + 1e-12
    if most < n:
        assert upper_bound(most + 1, n, delta, population=population) > epsilon - 1e-12


@given(st.integers(0, 6), st.sampled_from([0.01, 0.05, 0.2]), st.integers(1, 3000))
def test_rows_needed_is_the_smallest_number(k: int, epsilon: float, population: int) -> None:
    if k > epsilon * population:
        with pytest.raises(InputError, match="however many are read"):
            rows_needed(k, epsilon, 0.05, population=population)
        return
    n = rows_needed(k, epsilon, 0.05, population=population)
    assert upper_bound(k, n, 0.05, population=population) <= epsilon
    if n > k:
        assert upper_bound(k, n - 1, 0.05, population=population) > epsilon


def test_all_rows_leave_no_doubt_and_none_leave_all() -> None:
    assert upper_bound(3, 100, 0.05, population=100) == 0.03
    assert lower_bound(3, 100, 0.05, population=100) == pytest.approx(0.03)
    assert upper_bound(0, 0, 0.05) == upper_bound(0, 0, 0.05, population=7) == upper_bound(5, 5, 0.05) == 1.0
    assert lower_bound(0, 0, 0.05) == 0.0


def test_a_large_archive_is_like_independent_rows() -> None:
    assert upper_bound(5, 1500, 0.05, population=10**8) == pytest.approx(upper_bound(5, 1500, 0.05), rel=1e-4)
    assert upper_bound(5, 1500, 0.05, population=10**12) == upper_bound(5, 1500, 0.05)
    assert upper_bound(5, 1500, 0.05, population=3000) < 0.82 * upper_bound(5, 1500, 0.05)


@pytest.mark.parametrize("population", [2000, 10**6, 10**8])
def test_large_archives_against_scipy(population: int) -> None:
    for k, n in [(0, 300), (5, 1500), (40, 2000)]:
        bound = round(upper_bound(k, n, 0.05, population=population) * population)
        at, above = stats.hypergeom.cdf(k, population, [bound, bound + 1], n)
        assert at > 0.05 * (1 - 1e-5)
        assert above <= 0.05 * (1 + 1e-5)


def test_the_binomial_is_not_taken_where_it_would_fail() -> None:
    """The archive of 116 rows of the module's docstring; 112 have the property, and 3 are drawn."""

    def broken(population: int | None) -> float:
        """The chance of a sample whose bound lies below the true share."""
        low = [k for k in range(4) if upper_bound(k, 3, 0.1, population=population) < 112 / 116]
        return drawn(max(low), 116, 112, 3) if low else 0.0

    assert broken(None) == pytest.approx(0.1008, abs=1e-4)
    assert broken(116) <= 0.1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: most_events(10, 0.0, 0.05), "epsilon is 0"),
        (lambda: most_events(10, 0.1, 1.0), "delta is 1"),
        (lambda: most_events(10, float("nan"), 0.5), "epsilon is nan"),
        (lambda: upper_bound(3, 2, 0.05), "3 of 2 rows"),
        (lambda: upper_bound(-1, 2, 0.05), "-1 of 2 rows"),
        (lambda: upper_bound(1, 20, 0.05, population=19), "archive of 19"),
    ],
)
def test_what_cannot_be_is_refused(call, says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()
