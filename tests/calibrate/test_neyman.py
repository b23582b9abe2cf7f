"""Strata of labels, and how many each of them gets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.neyman import allocate_labels, guessed_deviations, label_strata
from framegate.schemas.errors import InputError


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(0, 200),
)
def test_all_labels_are_given_and_no_stratum_gets_more_than_it_has(strata, lowest_rate: float, total: int) -> None:
    sizes, deviations = np.array([part[0] for part in strata]), [part[1] for part in strata]
    least = np.minimum(sizes, np.maximum(2, np.ceil(lowest_rate * sizes)))
    if total < least.sum():
        with pytest.raises(InputError, match="labels are too few"):
            allocate_labels(total, sizes, deviations, lowest_rate=lowest_rate)
        return
    labels = allocate_labels(total, sizes, deviations, lowest_rate=lowest_rate)
    assert labels.sum() == min(total, sizes.sum())
    assert (labels <= sizes).all()
    assert (labels >= least).all()


def test_the_variance_is_as_small_as_it_can_be() -> None:
    sizes, deviations = np.array([40, 25, 10]), np.array([0.1, 0.4, 0.5])
    labels = allocate_labels(24, sizes, deviations)

    def variance(numbers) -> float:
        return float((sizes**2 * deviations**2 / np.array(numbers)).sum())

    every = [n for n in itertools.product(range(2, 23), repeat=3) if sum(n) == 24 and n[2] <= 10]
    assert variance(labels) <= min(map(variance, every)) * 1.001


def test_strata_are_agreement_times_decile() -> None:
    confidence = np.r_[np.linspace(0, 1, 100), np.nan]
    agrees = np.arange(101) % 2 == 0
    strata = label_strata(confidence, agrees)
    assert set(strata[agrees]) == {*range(11, 21), 21}
    assert set(strata[~agrees]) == set(range(10))
    assert np.bincount(strata).max() <= 6
    deviations = guessed_deviations(confidence, agrees, strata)
    assert list(deviations[:10]) == [0.5] * 10
    assert (np.diff(deviations[11:21]) <= 1e-12).all()
    assert label_strata([np.nan, np.nan], [True, False]).tolist() == [21, 10]
