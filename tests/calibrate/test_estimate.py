"""Stratified, clustered PPI++: the mean of all labels where all are known, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from framegate.pipelines.calibrate.estimate import estimate_mean, estimate_share
from framegate.pipelines.calibrate.share import lower_bound
from framegate.schemas.errors import InputError


def test_with_all_labels_it_is_their_mean() -> None:
    random = np.random.default_rng(0)
    labels = random.random(500)
    found = estimate_mean(labels, random.random(500))
    assert found.mean == pytest.approx(labels.mean())
    assert found.standard_error == pytest.approx(labels.std(ddof=1) / np.sqrt(500), rel=1e-6)
    assert (found.num_rows, found.num_labelled, found.num_clusters) == (500, 500, 500)


def test_without_predictions_it_is_the_stratified_mean() -> None:
    strata = np.repeat([0, 1], [300, 100])
    labels = np.full(400, np.nan)
    labels[:10], labels[300:350] = np.arange(10) % 2, 1.0
    found = estimate_mean(labels, np.full(400, 0.7), strata=strata)
    assert found.mean == pytest.approx(0.75 * 0.5 + 0.25 * 1.0)


def test_predictions_that_are_right_need_few_labels() -> None:
    random = np.random.default_rng(1)
    truth = random.random(2000)
    labels = np.where(np.arange(2000) < 50, truth, np.nan)
    found, without = estimate_mean(labels, truth), estimate_mean(labels, np.zeros(2000))
    assert found.mean == pytest.approx(truth.mean())
    assert found.standard_error < 0.2 * without.standard_error


def simulate(random, num_videos: int = 60):
    """Videos of 4 to 40 rows, whose errors go together; labels by stratum at rates of 1 and 0.2."""
    sizes = random.integers(4, 41, num_videos)
    videos = np.repeat(np.arange(num_videos), sizes)
    chances = np.repeat(np.clip(random.normal(0.2, 0.15, num_videos), 0, 1), sizes)
    prediction = np.clip(chances + random.normal(0, 0.1, videos.size), 0, 1)
    wrong = (random.random(videos.size) < chances).astype(float)
    strata = (prediction > 0.25).astype(int)
    has_label = np.zeros(videos.size, np.bool_)
    for stratum, rate in ((0, 0.2), (1, 1.0)):
        rows = np.flatnonzero(strata == stratum)
        has_label[random.choice(rows, max(2, int(rate * rows.size)), replace=False)] = True
    return wrong, np.where(has_label, wrong, np.nan), prediction, strata, videos


def test_intervals_cover_where_rows_of_a_video_go_together() -> None:
    random = np.random.default_rng(2)
    clustered = independent = 0
    true_mean = float(np.clip(np.random.default_rng(9).normal(0.2, 0.15, 10**6), 0, 1).mean())
    for _ in range(300):
        _, labels, prediction, strata, videos = simulate(random)
        found = estimate_mean(labels, prediction, strata=strata, clusters=videos)
        clustered += found.low <= true_mean <= found.high
        alone = estimate_mean(labels, prediction, strata=strata)
        independent += alone.low <= true_mean <= alone.high
    assert 0.91 <= clustered / 300 <= 0.99
    assert independent < clustered


def test_the_estimate_is_right_on_average() -> None:
    random = np.random.default_rng(3)
    errors = []
    for _ in range(300):
        wrong, labels, prediction, strata, _ = simulate(random)
        errors.append(estimate_mean(labels, prediction, strata=strata).mean - wrong.mean())
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(300) + 1e-3


def test_what_cannot_be_estimated() -> None:
    with pytest.raises(InputError, match="stratum 1 has 2 rows and no label"):
        estimate_mean([1.0, 0.0, np.nan, np.nan], np.zeros(4), strata=[0, 0, 1, 1])
    with pytest.raises(InputError, match="there is no row"):
        estimate_mean([], [])
    one = estimate_mean([1.0, 0.0], np.zeros(2), clusters=["a", "a"])
    assert one.mean == 0.5
    assert np.isnan([one.low, one.high]).all()


def test_of_rows_that_are_alike_the_interval_is_the_exact_one() -> None:
    found = estimate_share(np.ones(50), np.full(50, 0.5))
    assert (found.mean, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(lower_bound(50, 50, 0.025))
    some = estimate_share(np.r_[np.ones(90), np.zeros(10)], np.full(100, 0.5))
    assert (some.low, some.high) == pytest.approx((0.824, 0.951), abs=0.004)  # Clopper and Pearson's of 90 in 100


def test_a_stratum_of_a_few_labels_that_are_alike_is_not_taken_to_be_known() -> None:
    """Nine rows in ten lie in a stratum of ten labels, all right: that could be 70 %."""
    labels = np.r_[np.ones(10), np.full(890, np.nan), np.arange(100) % 2]
    found = estimate_share(labels, np.full(1000, 0.5), strata=np.repeat([0, 1], [900, 100]))
    assert found.mean == pytest.approx(0.95)
    assert found.low < 0.8
    assert estimate_mean(labels, np.full(1000, 0.5), strata=np.repeat([0, 1], [900, 100])).low > 0.9


@pytest.mark.parametrize(("share", "num_labels"), [(0.98, 60), (0.98, 300), (0.9, 120), (0.5, 60)])
def test_intervals_of_a_share_cover_near_its_ends(share: float, num_labels: int) -> None:
    """Videos of 1 to 15 rows, some of which are answered worse; predictions that tell a part of it."""
    random = np.random.default_rng(int(1000 * share) + num_labels)
    covered = 0
    for _ in range(300):
        sizes = random.integers(1, 16, 120)
        videos = np.repeat(np.arange(120), sizes)
        chances = np.where(random.random(120) < 0.2, max(0.0, 1 - 3 * (1 - share)), 1 - (1 - share) * 0.5)
        right = (random.random(videos.size) < chances[videos]).astype(float)
        guesses = np.clip(chances[videos] + random.normal(0, 0.05, videos.size), 0, 1)
        has_label = np.isin(np.arange(videos.size), random.choice(videos.size, num_labels, replace=False))
        found = estimate_share(np.where(has_label, right, np.nan), guesses, clusters=videos)
        mean = 0.2 * max(0.0, 1 - 3 * (1 - share)) + 0.8 * (1 - (1 - share) * 0.5)
        covered += found.low <= mean <= found.high
        assert 0 <= found.low <= found.mean <= found.high <= 1
    assert covered / 300 >= 0.92


def test_labels_of_one_cluster_give_no_interval() -> None:
    labels = np.r_[np.ones(5), np.full(5, np.nan)]
    found = estimate_share(labels, np.full(10, 0.5), clusters=np.repeat([0, 1], 5))
    assert found.mean == 1.0
    assert np.isnan([found.low, found.high]).all()
