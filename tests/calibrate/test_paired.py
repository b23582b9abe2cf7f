"""Paired comparisons: numbers by hand, laws, and how often the interval covers what is true."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.calibrate.paired import compare_pairs, holm, mcnemar, sign_flip
from framegate.schemas.errors import InputError


def test_mcnemar_by_hand() -> None:
    """1 of 6 discordant rows: 2 * (1 + 6) / 64."""
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(1, 5) == mcnemar(5, 1)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(8, 0) == pytest.approx(2 / 256)


def test_the_sign_flip_by_hand() -> None:
    """Sums of 3, 2 and -1: of 8 ways, 6 and 4 are as far out as 4, and their opposites."""
    assert sign_flip([3, 2, -1]) == pytest.approx(4 / 8)
    assert sign_flip([0, 0]) == 1.0
    assert sign_flip([1, -1]) == 1.0
    assert sign_flip([2, 0, 5]) == pytest.approx(2 / 4)
    assert sign_flip([1] * 10) == pytest.approx(2 / 1024)


@given(st.lists(st.integers(-9, 9), max_size=10))
def test_the_sign_flip_counts_all_ways(sums: list[int]) -> None:
    ways = [abs(sum(sign * one for sign, one in zip(signs, sums, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(sums))]  # fmt: skip
    share = sum(way >= abs(sum(sums)) for way in ways) / len(ways)
    assert sign_flip(sums) == pytest.approx(share, abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40))
def test_of_clusters_with_one_row_each_it_is_mcnemar(more: int, fewer: int) -> None:
    assert sign_flip([1] * more + [-1] * fewer) == pytest.approx(mcnemar(more, fewer), abs=1e-12)


def test_the_interval_by_hand() -> None:
    """8 rows, each its own cluster; b = 3, c = 1. p12 = 4/10, p21 = 2/10, t of 7 degrees of freedom is 2.364624.

    The clusters deviate by 8/7 of what rows do: 7 rows are alike, b = 2.625, c = 0.875.
    """
    found = compare_pairs([1, 1, 1, -1, 0, 0, 0, 0], range(8))
    up, down = 3.625 / 9, 1.875 / 9
    reach = 2.364624 * math.sqrt((up + down - (up - down) ** 2) / 9)
    assert (found.mean, found.num_more, found.num_fewer, found.num_clusters) == (0.25, 3, 1, 8)
    assert found.low == pytest.approx(up - down - reach, abs=1e-6)
    assert found.high == pytest.approx(up - down + reach, abs=1e-6)
    assert found.p_rows == pytest.approx(10 / 16)


def test_rows_that_go_together_widen_it() -> None:
    values = [1] * 20 + [0] * 20 + [-1] * 4 + [0] * 36
    apart = compare_pairs(values, range(80))
    together = compare_pairs(values, [n // 4 for n in range(80)])
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    assert together.p_clusters > apart.p_clusters == pytest.approx(apart.p_rows)


def test_one_video_has_no_interval() -> None:
    found = compare_pairs([1, 0, 1], ["v"] * 3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.p_clusters == 1.0


def test_the_same_answers_are_no_certain_equality() -> None:
    found = compare_pairs([0] * 50, range(50))
    assert found.low == -found.high
    assert 0.05 < found.high < 0.06  # 2.01 * sqrt(2 / 52 / 52)


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 6)), min_size=1, max_size=60))
def test_the_interval_holds_the_mean_and_turns_with_it(rows: list[tuple[int, int]]) -> None:
    values, clusters = [value for value, _ in rows], [cluster for _, cluster in rows]
    found, turned = (compare_pairs(list(np.multiply(sign, values)), clusters) for sign in (1, -1))
    if found.num_clusters < 2:
        assert math.isnan(found.low)
        return
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert (turned.low, turned.high) == (pytest.approx(-found.high), pytest.approx(-found.low))
    assert turned.p_clusters == pytest.approx(found.p_clusters)


def test_the_interval_covers_what_is_true() -> None:
    """1,000 draws of 40 videos with 8 rows each, which go together; the mean is 0.1."""
    rng, clusters, covered = np.random.default_rng(7), [n // 8 for n in range(320)], 0
    for _ in range(1000):
        more = np.repeat(rng.beta(0.5, 2.0, 40), 8)  # mean 0.2
        drawn = rng.uniform(size=320)
        values = np.where(drawn < more, 1, np.where(drawn > 0.9, -1, 0))
        values = np.where(more > 0.9, np.where(drawn < more, 1, 0), values)
        found = compare_pairs(values, clusters)
        covered += found.low <= _MEAN <= found.high
    assert covered >= 930


def _mean() -> float:
    """Of the draw above, by a sum over a fine grid."""
    rng = np.random.default_rng(1)
    more = rng.beta(0.5, 2.0, 2_000_000)
    return float((more - np.where(more > 0.9, 0.0, 0.1)).mean())


_MEAN = _mean()


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_raises_no_more_than_bonferroni(chances: list[float]) -> None:
    adjusted = holm(chances)
    for one, other in itertools.combinations(range(len(chances)), 2):
        assert (chances[one] <= chances[other]) <= (adjusted[one] <= adjusted[other])
    assert all(p <= a <= min(1.0, len(chances) * p) for p, a in zip(chances, adjusted, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize("values", [[], [2, 0], [[1, 0]]])
def test_what_is_no_pair_is_refused(values: list[int]) -> None:
    with pytest.raises(InputError, match="1, 0 or -1 for each row"):
        compare_pairs(values, range(len(values)))
