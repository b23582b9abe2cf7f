"""Claim 3: error, precision and recall against slow searches; labels at rates of their own; promises, simulated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.fixed_sequence import descend
from framegate.pipelines.calibrate.labelled import (
    LOWEST_RATE,
    certify_error,
    certify_precision,
    certify_recall,
)
from framegate.pipelines.calibrate.neyman import allocate_labels, guessed_deviations, label_strata
from framegate.pipelines.calibrate.share import upper_bound
from framegate.pipelines.calibrate.wealth import log_factors, log_wealth, log_wealth_path
from framegate.schemas.errors import InputError

NAN = float("nan")
MARK = st.sampled_from([0.0, 0.0, 0.0, 1.0])
ROW = st.tuples(st.sampled_from([0.1, 0.5, 0.8, 1.0, NAN]), MARK, MARK, st.booleans())


def thresholds(confidence):
    return [2.0, *np.unique(confidence[~np.isnan(confidence)])[::-1]]


def down(confidence, passes) -> float | None:
    found = None
    for t in thresholds(confidence):
        if not passes(t):
            break
        found = t if t <= 1 else None
    return found


@given(st.lists(ROW, max_size=60), st.sampled_from([0.1, 0.3]), st.one_of(st.none(), st.integers(0, 30)))
def test_error_is_tested_down_to_the_first_failure(rows, alpha: float, more: int | None) -> None:
    confidence, first, second = (np.array([row[place] for row in rows], np.float64) for place in range(3))
    unlabelled = np.array([row[3] for row in rows], np.bool_)
    first[unlabelled], second[unlabelled] = NAN, NAN
    population = None if more is None else len(rows) + more
    found = certify_error(confidence, first, second, alpha=alpha, delta=0.2, population=population)
    kept = ~unlabelled
    confidence, first, second = confidence[kept], first[kept], second[kept]

    def passes(t: float) -> bool:
        wrong = int(np.where(confidence >= t, first, second).sum())
        return upper_bound(wrong, confidence.size, 0.2, population=population) <= alpha

    assert found.threshold == down(confidence, passes)
    assert (found.num_labelled, found.method, found.passes_at_top) == (kept.sum(), "exact", passes(2.0))


@given(st.lists(ROW, max_size=40), st.sampled_from([0.6, 0.8]))
def test_precision_and_recall_are_tested_down_to_the_first_failure(rows, target: float) -> None:
    confidence, yes_first, yes_second = (np.array([row[place] for row in rows], np.float64) for place in range(3))
    truth = np.array([row[3] for row in rows], np.float64)
    for figure, certify in (("precision", certify_precision), ("recall", certify_recall)):

        def passes(t: float, figure: str = figure) -> bool:
            yes = np.where(confidence >= t, yes_first, yes_second)
            losses = yes * (target - truth) if figure == "precision" else truth * (target - yes)
            largest = target if figure == "precision" else max(target, 1 - target)
            return log_wealth(losses, bound=0.0, largest=largest) >= math.log(1 / 0.3)

        found = certify(confidence, yes_first == 1, yes_second == 1, truth, **{figure: target}, delta=0.3)
        assert found.threshold == down(confidence, passes)
        assert (found.figure, found.target) == (figure, target)


def worst_losses(figure: str, target: float, yes, truth):
    """Of rows in which nobody knows the truth, the larger of the two."""
    kinds = [np.full(truth.size, value) for value in (0.0, 1.0)]
    known = [np.where(np.isnan(truth), kind, truth) for kind in kinds]
    if figure == "precision":
        return np.max([yes * (target - each) for each in known], axis=0)
    return np.max([each * (target - yes) for each in known], axis=0)


@given(
    st.lists(st.tuples(ROW, st.sampled_from([0.0, 1.0, NAN])), max_size=40),
    st.sampled_from([0.6, 0.8]),
    st.one_of(st.none(), st.integers(0, 30)),
    st.randoms(use_true_random=False),
)
def test_in_the_order_of_the_draw_the_unknown_is_the_worst(rows, target: float, more: int | None, random) -> None:
    confidence, yes_first, yes_second = (np.array([row[place] for row, _ in rows], np.float64) for place in range(3))
    truth = np.array([value for _, value in rows], np.float64)
    rank = np.array([random.random() for _ in rows])
    order = np.argsort(rank)
    population = None if more is None else len(rows) + more
    last = int(np.flatnonzero(~np.isnan(truth[order]))[-1]) + 1 if (~np.isnan(truth)).any() else 0
    for figure, certify in (("precision", certify_precision), ("recall", certify_recall)):

        def passes(t: float, figure: str = figure) -> bool:
            yes = np.where(confidence >= t, yes_first, yes_second)
            losses = worst_losses(figure, target, yes, truth)[order][:last]
            largest = target if figure == "precision" else max(target, 1 - target)
            path = log_wealth_path(losses, bound=0.0, largest=largest, population=population)
            return path.max(initial=0.0) >= math.log(1 / 0.3)

        found = certify(
            confidence, yes_first == 1, yes_second == 1, truth, **{figure: target}, delta=0.3, rank=rank,
            population=population,
        )  # fmt: skip
        assert found.threshold == down(confidence[order][:last], passes)


@given(st.lists(st.tuples(ROW, st.sampled_from([0.0, 1.0, NAN])), max_size=40), st.data())
def test_a_label_never_raises_the_threshold_of_precision_and_recall(rows, data: st.DataObject) -> None:
    confidence, yes_first, yes_second = (np.array([row[place] for row, _ in rows], np.float64) for place in range(3))
    truth = np.array([value for _, value in rows], np.float64)
    told = np.where(np.isnan(truth), data.draw(st.sampled_from([0.0, 1.0])), truth)
    for name, certify in (("precision", certify_precision), ("recall", certify_recall)):
        before, after = (
            certify(
                confidence, yes_first == 1, yes_second == 1, each, **{name: 0.6}, delta=0.4, rank=np.arange(len(rows))
            )
            for each in (truth, told)
        )
        assert before.threshold is None or (after.threshold is not None and after.threshold <= before.threshold)


def test_precision_needs_no_label_of_what_nobody_answers_with_yes() -> None:
    random = np.random.default_rng(4)
    said, confidence = random.random(600) < 0.3, random.random(600)
    truth = np.where(said, 1.0, NAN)
    found = certify_precision(confidence, said, said, truth, precision=0.9, delta=0.05, rank=np.arange(600))
    assert (found.threshold, found.num_labelled) == (confidence[: np.flatnonzero(said)[-1] + 1].min(), said.sum())


def yes_no_archive(random, size: int = 3000):
    """Second answers are right but for 4 %; first ones are wrong the more often the lower their confidence."""
    truth = random.random(size) < 0.4
    confidence = random.random(size)
    second = truth ^ (random.random(size) < 0.04)
    first = truth ^ (random.random(size) < 0.03 + 0.5 * (1 - confidence) ** 2)
    return confidence, first, second, truth.astype(float)


@pytest.mark.parametrize(("name", "target"), [("precision", 0.85), ("recall", 0.85)])
def test_the_promise_of_yes_and_no_holds_however_one_stops(name: str, target: float) -> None:
    """Whoever looks after each hundred labels, and stops once a threshold pleases, breaks it in at most delta."""
    random = np.random.default_rng(17)
    confidence, first, second, truth = yes_no_archive(random)
    certify = certify_precision if name == "precision" else certify_recall
    order = np.argsort(-confidence)
    answers = np.array([np.where(confidence >= t, first, second) for t in confidence[order]])
    right = (answers * truth).sum(axis=1)
    figures = right / (answers.sum(axis=1) if name == "precision" else truth.sum())
    broken = certified = 0
    for _ in range(120):
        rows = random.choice(confidence.size, 900, replace=False)
        lowest = 2.0
        for number in (150, 300, 500, 700, 900):
            told = np.where(np.arange(900) < number, truth[rows], NAN)
            found = certify(
                confidence[rows], first[rows], second[rows], told, **{name: target}, delta=0.1, rank=np.arange(900),
                population=confidence.size,
            )  # fmt: skip
            lowest = min(lowest, 2.0 if found.threshold is None else found.threshold)
        if lowest < 2:
            certified += 1
            broken += figures[np.flatnonzero(confidence[order] >= lowest)[-1]] < target
    assert figures.min() < target < figures[0]
    assert certified > 60
    assert broken / 120 <= 0.1 + 3 * math.sqrt(0.09 / 120)


@given(
    st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=5),
    st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=5, max_size=5),
)
def test_labels_at_rates_of_their_own_leave_a_fair_game(losses, rates) -> None:
    """Over all ways in which labels may fall, the mean wealth is at most the one that labels for all rows give."""
    values, chances = np.array(losses), np.array(rates[: len(losses)])
    bound, largest = 0.1, 1 / LOWEST_RATE
    whole = np.exp(log_factors(values, bound=bound, largest=largest).sum(axis=1)).mean()
    expected = 0.0
    for labels in itertools.product([0, 1], repeat=values.size):
        chance = np.where(labels, chances, 1 - chances).prod()
        weighted = values * np.array(labels) / chances
        expected += chance * math.exp(log_wealth(weighted, bound=bound, largest=largest))
    assert expected == pytest.approx(whole)


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_so_many_labels_of_a_stratum_leave_a_fair_game_too(ones: int, zeros: int, data: st.DataObject) -> None:
    values = np.r_[np.ones(ones), np.zeros(zeros)]
    n = data.draw(st.integers(max(1, math.ceil(LOWEST_RATE * values.size)), values.size))
    bound, largest = 0.1, 1 / LOWEST_RATE
    whole = np.exp(log_factors(values, bound=bound, largest=largest).sum(axis=1)).mean()
    wealths = []
    for rows in itertools.combinations(range(values.size), n):
        has_label = np.isin(np.arange(values.size), rows)
        wealths.append(math.exp(log_wealth(values * has_label * values.size / n, bound=bound, largest=largest)))
    assert np.mean(wealths) <= whole + 1e-12


def archive(random, size: int = 5000):
    """Second answers are wrong in 3 %, first ones the more often the lower their confidence."""
    confidence = random.random(size)
    wrong_second = random.random(size) < 0.03
    wrong_first = random.random(size) < 0.02 + 0.4 * (1 - confidence) ** 2
    return confidence, wrong_first.astype(float), wrong_second.astype(float)


def true_errors(confidence, first, second):
    order = np.argsort(-confidence)
    return confidence[order], (second.sum() + np.cumsum((first - second)[order])) / confidence.size


@pytest.mark.parametrize("by_strata", [False, True])
def test_the_promise_of_an_error(by_strata: bool) -> None:
    random = np.random.default_rng(11)
    confidence, first, second = archive(random)
    ordered, errors = true_errors(confidence, first, second)
    broken = certified = 0
    for _ in range(200):
        rows = random.choice(confidence.size, 1500, replace=False)
        told, marks, rates = confidence[rows], (first[rows].copy(), second[rows].copy()), None
        has_label = np.arange(1500) < 600
        if by_strata:
            agrees = marks[0] == marks[1]
            strata = label_strata(told, agrees)
            sizes = np.bincount(strata)
            labels = allocate_labels(600, sizes, guessed_deviations(told, agrees, strata), lowest_rate=LOWEST_RATE)
            rates = (labels / np.maximum(sizes, 1))[strata]
            places = np.array([(strata[:row] == strata[row]).sum() for row in range(1500)])  # rows come in random order
            has_label = places < labels[strata]
        for mark in marks:
            mark[~has_label] = NAN
        found = certify_error(told, *marks, alpha=0.07, delta=0.1, rates=rates)
        if found.threshold is not None:
            certified += 1
            broken += errors[np.flatnonzero(ordered >= found.threshold)[-1]] > 0.07
    assert certified > 150
    assert broken / 200 <= 0.1 + 3 * math.sqrt(0.09 / 200)


def test_thinking_always_may_not_be_good_enough() -> None:
    found = certify_error([0.9] * 200, [0.0] * 200, [1.0] * 200, alpha=0.1, delta=0.05)
    assert (found.threshold, found.passes_at_top) == (None, False)
    nothing = certify_error([NAN] * 200, [0.0] * 200, [0.0] * 200, alpha=0.1, delta=0.05)
    assert (nothing.threshold, nothing.passes_at_top) == (None, True)


def test_rows_below_the_threshold_keep_their_second_answer() -> None:
    confidence = np.r_[np.full(300, 0.9), np.full(300, 0.2)]
    first, second = np.r_[np.zeros(300), np.ones(300)], np.zeros(600)
    assert certify_error(confidence, first, second, alpha=0.05, delta=0.05).threshold == 0.9
    truth = np.tile([1.0, 0.0], 300)
    yes_first, yes_second = np.where(confidence > 0.5, truth, 1 - truth) == 1, truth == 1
    assert certify_precision(confidence, yes_first, yes_second, truth, precision=0.9, delta=0.05).threshold == 0.9
    assert certify_recall(confidence, yes_first, yes_second, truth, recall=0.9, delta=0.05).threshold == 0.9


@pytest.mark.parametrize("certify", [certify_precision, certify_recall])
def test_weighted_labels_of_yes_and_no(certify) -> None:
    """Rows that agree on no are labelled at a rate of 0.5; the promise of 0.8 is made, that of 0.97 is not."""
    random = np.random.default_rng(5)
    truth = (random.random(4000) < 0.5).astype(float)
    flipped = random.random(4000) < 0.05
    said = np.where(flipped, 1 - truth, truth) == 1
    confidence = random.random(4000)
    rates = np.where(said, 1.0, 0.5)
    labels = np.where(random.random(4000) < rates, truth, NAN)
    name = certify.__name__.removeprefix("certify_")
    assert certify(confidence, said, said, labels, **{name: 0.8}, delta=0.05, rates=rates).threshold is not None
    assert not certify(confidence, said, said, labels, **{name: 0.97}, delta=0.05, rates=rates).passes_at_top


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: certify_error([0.5], [0.5], [0.0], alpha=0.1, delta=0.1), "wrong_first is 0.5"),
        (lambda: certify_error([0.5], [1.0], [0.0], alpha=0.1, delta=0.1, rates=[0.2]), "rate of labels is 0.2"),
        (lambda: certify_error([0.5], [1.0], [0.0], alpha=0.1, delta=0.1, rates=[NAN]), "rate of labels is nan"),
        (lambda: certify_error([0.5], [1.0], [0.0], alpha=0, delta=0.1), "epsilon is 0"),
        (lambda: certify_recall([0.5], [True], [True], [2.0], recall=0.9, delta=0.1), "truth is 2"),
        (
            lambda: certify_recall([0.5], [True], [True], [1.0], recall=0.9, delta=0.1, rates=[1.0], rank=[0.1]),
            "the rates of labels or the order of the draw, not both",
        ),
        (
            lambda: certify_precision([0.5], [True], [True], [1.0], precision=0.9, delta=0.1, rank=[0.1], population=0),
            "1 rows were sampled of an archive of 0",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()


def test_equal_confidences_exit_together() -> None:
    found = descend(
        np.array([0.9, 0.9, 0.5]), np.zeros(3), np.array([1.0, -1.0, 0.0]), bound=0.9, largest=1.0, delta=0.5
    )
    assert found.threshold == 0.5
