"""Claim 1: the lowest threshold that keeps to epsilon, against a search through all, and its promise, counted."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.agreement import bounds_by_threshold, certify_agreement
from framegate.pipelines.calibrate.share import rows_needed, upper_bound
from framegate.pipelines.calibrate.strata import certify_strata
from framegate.schemas.errors import InputError

NAN = float("nan")
ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 1.0, NAN]), st.booleans()), max_size=60)


def slow_threshold(confidence, differs, epsilon: float, delta: float, population: int | None) -> float | None:
    passing = [
        t
        for t in confidence[~np.isnan(confidence)]
        if upper_bound(int((differs & (confidence >= t)).sum()), confidence.size, delta, population=population)
        <= epsilon
    ]
    return min(passing, default=None)


@given(ROWS, st.sampled_from([0.06, 0.2, 0.5]), st.sampled_from([0.05, 0.3]), st.one_of(st.none(), st.integers(0, 50)))
def test_the_threshold_is_the_lowest_that_passes(rows, epsilon: float, delta: float, more: int | None) -> None:
    confidence = np.array([row[0] for row in rows], np.float64)
    differs = np.array([row[1] for row in rows], np.bool_)
    population = None if more is None else len(rows) + more
    found = certify_agreement(confidence, differs, epsilon=epsilon, delta=delta, population=population)
    assert found.threshold == slow_threshold(confidence, differs, epsilon, delta, population)
    if found.threshold is not None:
        exits = confidence >= found.threshold
        assert (found.num_exits, found.num_different) == (exits.sum(), (exits & differs).sum())
        assert found.bound <= epsilon
        assert found.num_missing == 0


def test_the_promise_holds_in_every_archive_however_its_rows_are_drawn() -> None:
    """All samples of every archive of 7 rows with 4 confidences are counted: broken in at most delta of them."""
    confidence = np.array([0.2, 0.2, 0.5, 0.5, 0.9, 0.9, 1.0])
    samples = [np.array(rows) for rows in itertools.combinations(range(7), 4)]
    worst = 0.0
    for differs in itertools.product([False, True], repeat=7):
        different, broken = np.array(differs), 0
        for rows in samples:
            found = certify_agreement(confidence[rows], different[rows], epsilon=0.3, delta=0.2, population=7)
            if found.threshold is not None:
                broken += (different & (confidence >= found.threshold)).mean() > 0.3
        worst = max(worst, broken / len(samples))
    assert 0 < worst <= 0.2


def test_rows_in_clusters_change_nothing() -> None:
    """Rows of a video differ together, all of them or none: the rows of the sample are drawn one by one."""
    random = np.random.default_rng(7)
    confidence = np.repeat(random.random(100), 40)
    different = np.repeat(random.random(100) < 0.25 * (1 - confidence[::40]), 40)
    true_share = np.array([(different & (confidence >= t)).mean() for t in np.sort(confidence)])
    broken = 0
    for _ in range(400):
        rows = random.choice(4000, 400, replace=False)
        found = certify_agreement(confidence[rows], different[rows], epsilon=0.05, delta=0.1, population=4000)
        if found.threshold is not None:
            broken += true_share[np.searchsorted(np.sort(confidence), found.threshold)] > 0.05
    assert broken / 400 <= 0.1 + 3 * math.sqrt(0.09 / 400)


def test_too_few_rows_say_how_many_are_missing() -> None:
    found = certify_agreement([0.9] * 100, [False] * 100, epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_missing, found.bound, found.exit_share) == (None, 199, 0.0, 0.0)
    assert certify_agreement([0.9] * 299, [False] * 299, epsilon=0.01, delta=0.05).threshold == 0.9
    few = certify_agreement([0.9] * 100, [False] * 100, epsilon=0.01, delta=0.05, population=400)
    assert few.num_missing == rows_needed(0, 0.01, 0.05, population=400) - 100 < 199


def test_too_many_different_rows_at_the_top_let_nothing_exit() -> None:
    confidence, differs = np.ones(1000), np.arange(1000) < 500
    found = certify_agreement(confidence, differs, epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_missing, found.num_exits) == (None, 0, 0)


def test_rows_without_a_confidence_never_exit_and_count_as_rows() -> None:
    confidence = np.concatenate([np.full(299, NAN), [0.4]])
    differs = np.concatenate([np.ones(299, np.bool_), [False]])
    found = certify_agreement(confidence, differs, epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_exits, found.num_different, found.num_rows) == (0.4, 1, 0, 300)
    assert certify_agreement(np.full(400, NAN), np.zeros(400, np.bool_), epsilon=0.01, delta=0.05).threshold is None


def test_an_empty_sample_has_no_threshold() -> None:
    found = certify_agreement([], np.zeros(0, np.bool_), epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_rows, found.num_missing) == (None, 0, 299)
    assert certify_agreement([], np.zeros(0, np.bool_), epsilon=0.01, delta=0.05, population=0).num_missing == 0


def test_the_bounds_of_all_thresholds() -> None:
    confidence = [0.9, 0.9, 0.8, 0.7, 0.7, 0.6, NAN]
    differs = [False, True, False, True, True, False, True]
    rows = bounds_by_threshold(confidence, differs, delta=0.05)
    assert [row[:3] for row in rows] == [(0.8, 3, 1), (0.6, 6, 3)]
    assert [row[3] for row in rows] == [upper_bound(1, 7, 0.05), upper_bound(3, 7, 0.05)]


def test_strata_share_delta() -> None:
    confidence, differs = np.linspace(0, 1, 1200), np.zeros(1200, np.bool_)
    names = np.array(["who", "what", "when"]).repeat(400)
    found = certify_strata(confidence, differs, names, epsilon=0.02, delta=0.06)
    assert found.correction == "bonferroni"
    assert {name: part.delta for name, part in found.strata.items()} == dict.fromkeys(["what", "when", "who"], 0.02)
    alone = certify_agreement(confidence[:400], differs[:400], epsilon=0.02, delta=0.02)
    assert found.strata["who"] == alone
    one = certify_strata(confidence, differs, ["all"] * 1200, epsilon=0.02, delta=0.06)
    assert (one.correction, one.strata["all"].delta) == ("none", 0.06)


def test_a_stratum_without_a_sampled_row_counts_and_is_certified_of_nothing() -> None:
    populations = {"a": 1000, "b": 50, None: 30}
    found = certify_strata([0.5] * 500, [False] * 500, ["a"] * 500, epsilon=0.02, delta=0.06, populations=populations)
    assert found.strata["a"].delta == pytest.approx(0.02)
    assert found.strata["b"].threshold is None
    assert found.strata["b"].num_missing > 0
    with pytest.raises(InputError, match="'a', of which the archive is said to have none"):
        certify_strata([0.5], [False], ["a"], epsilon=0.02, delta=0.06, populations={"b": 5})


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("inf"), float("-inf")])
def test_a_confidence_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match=r"lies between 0 and 1, or is missing"):
        certify_agreement([0.5, wrong], [True, False], epsilon=0.1, delta=0.1)


@pytest.mark.parametrize(
    ("confidence", "differs", "says"),
    [
        ([0.5, 0.6], [True], "1 values for 2 rows"),
        ([[0.5]], [True], "confidence has 2 axes"),
        ([0.5], [1], "true or false"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(confidence, differs, says: str) -> None:
    with pytest.raises(InputError, match=says):
        certify_agreement(confidence, differs, epsilon=0.1, delta=0.1)
