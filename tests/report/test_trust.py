"""Drift is 0 where nothing changed and 1 where all did, and two samples of one archive are not called drift."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.report.figures import Estimate
from framegate.pipelines.report.saving import add_estimates
from framegate.pipelines.report.trust import MAX_VALUES, MIN_DRIFT, MIN_ROWS, measure_drift, wilson

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1).map(Counter)


@given(COUNTS, COUNTS)
def test_a_distance_is_between_0_and_1_and_the_same_both_ways(now: Counter, earlier: Counter) -> None:
    if min(now.total(), earlier.total()) < MIN_ROWS:
        assert measure_drift(now, earlier) is None
        return
    drift, back = measure_drift(now, earlier), measure_drift(earlier, now)
    assert drift is not None
    assert back is not None
    assert drift == pytest.approx(back)
    assert 0 <= drift[0] <= 1 + 1e-9
    slowly = 0.5 * sum(abs(now[a] / now.total() - earlier[a] / earlier.total()) for a in "abcdef")
    assert drift[0] == pytest.approx(slowly)


@given(COUNTS, st.integers(1, 5))
def test_more_of_the_same_is_no_drift(counts: Counter, times: int) -> None:
    more = Counter({answer: number * times for answer, number in counts.items()})
    if (drift := measure_drift(more, counts)) is not None:
        assert drift[0] == pytest.approx(0.0)


def test_other_answers_throughout_are_all_of_it() -> None:
    drift = measure_drift(Counter({"a": 100}), Counter({"b": 100}))
    assert drift is not None
    assert drift[0] == 1.0


def test_free_texts_say_nothing_of_drift() -> None:
    texts = Counter({f"text {number}": 2 for number in range(MAX_VALUES + 1)})
    assert measure_drift(texts, texts) is None


def test_two_samples_of_one_archive_are_seldom_called_drift() -> None:
    rng, false_alarms, distances, expected = random.Random(7), 0, [], []
    for _ in range(400):
        sample = [Counter(rng.choices("abc", (6, 3, 1), k=size)) for size in (60, 200)]
        drift = measure_drift(*sample)
        assert drift is not None
        distances.append(drift[0])
        expected.append(drift[1])
        false_alarms += drift[0] > max(MIN_DRIFT, 2 * drift[1])
    assert sum(distances) / sum(expected) == pytest.approx(1.0, abs=0.1)  # the chance level is what chance does
    assert false_alarms <= 0.08 * 400


@given(st.integers(1, 1000), st.data())
def test_an_interval_of_a_share_holds_it_and_stays_a_share(number: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, number)) / number
    found = wilson(share, number)
    assert 0 <= found.low <= share + 1e-9
    assert share - 1e-9 <= found.high <= 1


def test_intervals_of_questions_that_were_drawn_apart_add_as_squares() -> None:
    three, four = (Estimate(value=10.0, low=10.0 - half, high=10.0 + half) for half in (3.0, 4.0))
    both = add_estimates([three, None, four])
    assert both == Estimate(value=20.0, low=15.0, high=25.0)
    assert add_estimates([None]) is None
