"""Looking again as the sample grows: the levels of looks, and thresholds that hold at every moment."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.calibrate.agreement import certify_agreement
from framegate.pipelines.calibrate.looks import certify_agreement_at_any_time, delta_of_look
from framegate.pipelines.calibrate.share import rows_needed
from framegate.pipelines.calibrate.wealth import log_wealth_path, rows_without_loss
from framegate.schemas.errors import InputError

NAN = float("nan")
ROWS = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.8, 1.0, NAN]), st.booleans()), max_size=50)


def test_the_levels_of_all_looks_are_delta() -> None:
    assert math.fsum(delta_of_look(0.05, look) for look in range(1, 200_000)) == pytest.approx(0.05, rel=1e-5)
    assert rows_needed(0, 0.01, delta_of_look(0.05, 1)) == 348
    with pytest.raises(InputError, match="counted from 1"):
        delta_of_look(0.05, 0)


def test_where_the_bet_needs_fewer_rows_than_the_division() -> None:
    """Rows at epsilon 1 % where none differs: the table of the page on certificates."""
    division = [rows_needed(0, 0.01, delta_of_look(0.05, look)) for look in (1, 2, 3, 10, 30)]
    bet = rows_without_loss(0.01, 1.0, 0.05)
    assert division[0] < bet < division[1]
    assert division[4] > 2 * bet


@settings(max_examples=50)
@given(ROWS, st.sampled_from([0.1, 0.3]), st.one_of(st.none(), st.integers(0, 30)), st.randoms(use_true_random=False))
def test_the_threshold_is_the_lowest_that_passes(rows, epsilon: float, more: int | None, random) -> None:
    confidence = np.array([row[0] for row in rows], np.float64)
    differs = np.array([row[1] for row in rows], np.bool_)
    rank = np.array([random.random() for _ in rows])
    population = None if more is None else len(rows) + more
    found = certify_agreement_at_any_time(confidence, differs, rank, epsilon=epsilon, delta=0.2, population=population)
    order = np.argsort(rank)

    def passes(t: float) -> bool:
        losses = (differs & (confidence >= t))[order].astype(float)
        path = log_wealth_path(losses, bound=epsilon, largest=1.0, population=population)
        return path.max(initial=0.0) >= math.log(5)

    assert found.threshold == min((t for t in confidence if t <= 1 and passes(t)), default=None)
    if found.threshold is not None:
        assert 0 < found.bound <= epsilon
        assert found.num_different == (differs & (confidence >= found.threshold)).sum()


def test_a_sample_may_be_looked_at_as_often_as_one_likes() -> None:
    """At each of 5 looks the lowest threshold is taken: with one bound for all, promises break too often."""
    random = np.random.default_rng(4)
    size, looks = 6000, [200, 300, 400, 500, 600]
    confidence = random.random(size)
    differs = random.random(size) < 0.5 * (1 - confidence) ** 2
    order = np.argsort(-confidence)
    shares = np.cumsum(differs[order]) / size
    broken = {"once": 0, "divided": 0, "betting": 0}
    for _ in range(80):
        rows = random.choice(size, looks[-1], replace=False)
        is_broken = dict.fromkeys(broken, False)
        for look, n in enumerate(looks, start=1):
            told, marks = confidence[rows[:n]], differs[rows[:n]]
            levels = {"epsilon": 0.03, "population": size}
            found = {
                "once": certify_agreement(told, marks, delta=0.1, **levels),
                "divided": certify_agreement(told, marks, delta=delta_of_look(0.1, look), **levels),
                "betting": certify_agreement_at_any_time(told, marks, np.arange(n), delta=0.1, **levels),
            }
            for name, certificate in found.items():
                if certificate.threshold is not None:
                    is_broken[name] |= shares[(confidence >= certificate.threshold).sum() - 1] > 0.03
        for name, value in is_broken.items():
            broken[name] += value
    limit = 0.1 + 3 * math.sqrt(0.09 / 80)
    assert broken["divided"] / 80 <= limit
    assert broken["betting"] / 80 <= limit
    assert broken["once"] > max(broken["divided"], broken["betting"])


def test_too_few_rows_say_how_many_are_missing() -> None:
    found = certify_agreement_at_any_time([0.9] * 99, [False] * 99, range(99), epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_missing) == (None, rows_without_loss(0.01, 1.0, 0.05) - 99)
    with pytest.raises(InputError, match="archive of 98"):
        certify_agreement_at_any_time([0.9] * 99, [False] * 99, range(99), epsilon=0.01, delta=0.05, population=98)
