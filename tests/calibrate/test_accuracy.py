"""Claim 2: thresholds from 1 down, rows that need a label, and the promise in an archive where thinking may harm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.calibrate.accuracy import certify_accuracy, labels_wanted
from framegate.pipelines.calibrate.wealth import log_wealth, log_wealth_path, rows_without_loss
from framegate.schemas.errors import InputError

NAN = float("nan")
ROW = st.tuples(
    st.sampled_from([0.1, 0.3, 0.6, 0.8, 0.95, 1.0, NAN]), st.booleans(), st.sampled_from([-1.0, 0.0, 0.0, 1.0, NAN])
)
ROWS = st.lists(ROW, max_size=50)
LEVELS = st.sampled_from([0.1, 0.25])


def arrays(rows):
    return (
        np.array([row[0] for row in rows], np.float64),
        np.array([row[1] for row in rows], np.bool_),
        np.array([row[2] for row in rows], np.float64),
    )


def slow_threshold(confidence, losses, epsilon: float, delta: float, evidence) -> float | None:
    """Every confidence tested from the highest down, each with all rows."""
    found = None
    for t in [2.0, *np.unique(confidence[~np.isnan(confidence)])[::-1]]:
        if evidence(np.where(confidence >= t, losses, 0.0)) < -math.log(delta):
            return found
        found = found if t > 1 else float(t)
    return found


@given(ROWS, LEVELS, LEVELS)
def test_thresholds_are_tested_down_to_the_first_that_fails(rows, epsilon: float, delta: float) -> None:
    confidence, differs, gain = arrays(rows)
    found = certify_accuracy(confidence, differs, gain, epsilon=epsilon, delta=delta)
    losses = np.where(differs, np.nan_to_num(gain, nan=1.0), 0.0)
    expected = slow_threshold(
        confidence, losses, epsilon, delta, lambda values: log_wealth(values, bound=epsilon, largest=1.0)
    )
    assert found.threshold == expected
    if expected is not None:
        out = differs & (confidence >= expected)
        assert found.num_different == out.sum()
        assert found.num_worse + found.num_better + found.num_unlabelled + (out & (gain == 0)).sum() == out.sum()
        assert found.log_evidence >= -math.log(delta)


@settings(max_examples=50)
@given(ROWS, LEVELS, LEVELS, st.integers(0, 40), st.randoms(use_true_random=False))
def test_in_the_order_of_the_draw(rows, epsilon: float, delta: float, more: int, random) -> None:
    confidence, differs, gain = arrays(rows)
    rank = np.array([random.random() for _ in rows])
    population = len(rows) + more
    found = certify_accuracy(confidence, differs, gain, epsilon=epsilon, delta=delta, population=population, rank=rank)
    order = np.argsort(rank)
    losses = np.where(differs, np.nan_to_num(gain, nan=1.0), 0.0)

    def evidence(values) -> float:
        path = log_wealth_path(values[order], bound=epsilon, largest=1.0, population=population)
        return path.max(initial=0.0)

    assert found.threshold == slow_threshold(confidence, losses, epsilon, delta, evidence)


@given(ROWS, LEVELS, st.data())
def test_a_label_never_raises_the_threshold(rows, epsilon: float, data: st.DataObject) -> None:
    """What is not known counts as the worst, so that labels can only help."""
    confidence, differs, gain = arrays(rows)
    labelled = gain.copy()
    labelled[np.isnan(gain)] = data.draw(st.sampled_from([-1.0, 0.0, 1.0]))
    before = certify_accuracy(confidence, differs, gain, epsilon=epsilon, delta=0.25).threshold
    after = certify_accuracy(confidence, differs, labelled, epsilon=epsilon, delta=0.25).threshold
    assert before is None or (after is not None and after <= before)


@given(ROWS, LEVELS)
def test_rows_that_need_no_label_could_change_nothing(rows, epsilon: float) -> None:
    confidence, differs, gain = arrays(rows)
    wanted = labels_wanted(confidence, differs, gain, epsilon=epsilon, delta=0.25)
    assert (np.diff(confidence[wanted]) <= 0).all()
    assert (differs[wanted] & np.isnan(gain[wanted])).all()
    others = np.isnan(gain) & ~np.isin(np.arange(len(rows)), wanted)
    results = set()
    for value in (-1.0, 1.0):
        labelled = np.where(np.isin(np.arange(len(rows)), wanted), 0.0, gain)
        labelled[others] = value
        results.add(certify_accuracy(confidence, differs, labelled, epsilon=epsilon, delta=0.25).threshold)
    assert len(results) == 1


def test_labels_are_asked_for_from_the_top() -> None:
    confidence = np.r_[np.full(900, 0.99), 0.9, 0.95, 0.8, NAN]
    differs = np.r_[np.zeros(900, np.bool_), True, True, True, True]
    gain = np.full(904, NAN)
    assert list(labels_wanted(confidence, differs, gain, epsilon=0.02, delta=0.05)) == [901, 900, 902]
    assert list(labels_wanted(confidence, differs, gain, epsilon=0.02, delta=0.05, lowest=0.85)) == [901, 900]
    gain[901] = 0
    assert list(labels_wanted(confidence, differs, gain, epsilon=0.02, delta=0.05)) == [900, 902]
    assert list(labels_wanted(confidence[800:], differs[800:], gain[800:], epsilon=0.02, delta=0.05)) == []


def test_thinking_that_harms_pays_for_thinking_that_helps() -> None:
    confidence = np.r_[np.full(600, 0.99), np.full(40, 0.9)]
    differs = np.r_[np.zeros(600, np.bool_), np.ones(40, np.bool_)]
    mixed = np.r_[np.zeros(600), np.ones(12), -np.ones(28)]
    worse = np.r_[np.zeros(600), np.ones(12), np.zeros(28)]
    assert certify_accuracy(confidence, differs, mixed, epsilon=0.02, delta=0.05).threshold == 0.9
    found = certify_accuracy(confidence, differs, worse, epsilon=0.02, delta=0.05)
    assert (found.threshold, found.num_exits, found.num_different) == (0.99, 600, 0)


def test_too_few_rows_say_how_many_are_missing() -> None:
    found = certify_accuracy([0.9] * 100, [False] * 100, [NAN] * 100, epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_missing) == (None, rows_without_loss(0.01, 1.0, 0.05) - 100)
    empty = certify_accuracy([], np.zeros(0, np.bool_), [], epsilon=0.01, delta=0.05)
    assert (empty.threshold, empty.num_missing) == (None, rows_without_loss(0.01, 1.0, 0.05))


@pytest.mark.parametrize("has_rank", [False, True])
def test_the_promise_holds_where_the_loss_rises_and_falls(has_rank: bool) -> None:
    """Thinking helps at the top and harms below, so that the loss is above epsilon in the middle alone."""
    random = np.random.default_rng(3)
    size = 4000
    confidence = np.sort(random.random(size))[::-1]
    gain = np.zeros(size)
    gain[:800] = random.random(800) < 0.16
    gain[800:1600] = -(random.random(800) < 0.13).astype(float)
    gain[1600:] = random.random(2400) < 0.06
    losses = np.cumsum(gain) / size
    broken = 0
    for _ in range(300):
        rows = random.choice(size, 700, replace=False)
        found = certify_accuracy(
            confidence[rows], gain[rows] != 0, gain[rows], epsilon=0.025, delta=0.1,
            population=size, rank=np.arange(700) if has_rank else None,
        )  # fmt: skip
        if found.threshold is not None:
            broken += losses[np.flatnonzero(confidence >= found.threshold)[-1]] > 0.025
    assert losses.max() > 0.025
    assert broken / 300 <= 0.1 + 3 * math.sqrt(0.09 / 300)


@pytest.mark.parametrize(
    ("gain", "population", "says"), [([0.5], None, "a gain is 0.5"), ([0.0], 0, "archive of 0"), ([], None, "0 values")]
)
def test_what_cannot_be_is_refused(gain, population, says: str) -> None:
    with pytest.raises(InputError, match=says):
        certify_accuracy([0.5], [True], gain, epsilon=0.1, delta=0.1, population=population)
