"""The change of a mean is within its interval as often as promised, whatever the videos are like and however many
nights one looks; and a change that is there is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.audited import Floats
from framegate.pipelines.calibrate.mean_change import LEVELS, STEPS, change_intervals, delta_of_night, levels_of
from framegate.pipelines.calibrate.wealth import log_wealth
from framegate.schemas.errors import InputError

VALUES = st.lists(st.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 1.0]), min_size=1, max_size=60).map(np.array)
DELTAS = st.sampled_from([0.2, 0.01, 1e-5])


def interval(before: Floats, now: Floats, delta: float) -> tuple[float, float]:
    low, high = change_intervals(levels_of(before)[None], levels_of(now)[None], np.array([delta]))
    return float(low[0]), float(high[0])


def least_evidence(before: Floats, now: Floats, change: float) -> float:
    """Against "the mean rose by `change` or less", at the mean of before that speaks least against it."""
    evidence = []
    for mean in np.linspace(0, 1, 801)[:-1]:
        of_now = log_wealth(1 - now, bound=1 - min(1.0, mean + change), largest=1.0) if mean + change > 0 else np.inf
        evidence.append(log_wealth(before, bound=mean, largest=1.0) + of_now)
    return min(evidence)


@given(VALUES, VALUES, DELTAS)
def test_an_interval_is_what_the_two_bets_do_not_rule_out(before: Floats, now: Floats, delta: float) -> None:
    """Up to twice the distance of two points of the grid, on the side that promises less."""
    low, _ = interval(before, now, delta)
    needed = -np.log(delta / 2)
    if low > -0.95:
        assert (
            least_evidence(np.rint(before * STEPS) / STEPS, np.rint(now * STEPS) / STEPS, low - 0.005) >= needed - 1e-6
        )
    if low < 0.95:
        assert least_evidence(np.rint(before * STEPS) / STEPS, np.rint(now * STEPS) / STEPS, low + 0.02) < needed


@given(VALUES, VALUES, DELTAS)
def test_it_holds_what_was_seen_and_turns_with_the_values(before: Floats, now: Floats, delta: float) -> None:
    low, high = interval(before, now, delta)
    assert -1 <= low <= now.mean() - before.mean() + 1 / STEPS
    assert now.mean() - before.mean() - 1 / STEPS <= high <= 1
    back = interval(1 - before, 1 - now, delta)
    assert back == pytest.approx((-high, -low), abs=1e-9)


@given(VALUES, VALUES)
def test_less_certainty_is_a_narrower_interval(before: Floats, now: Floats) -> None:
    low, high = interval(before, now, 0.2)
    wide_low, wide_high = interval(before, now, 1e-5)
    assert wide_low <= low
    assert high <= wide_high


def test_many_pairs_at_once_are_the_same_as_one_by_one() -> None:
    random = np.random.default_rng(3)
    pairs = [(random.random(20) ** 3, random.random(5)) for _ in range(300)]
    before, now = (np.stack([levels_of(pair[side]) for pair in pairs]) for side in (0, 1))
    low, high = change_intervals(before, now, np.full(300, 0.05))
    for place in (0, 127, 128, 299):
        assert (low[place], high[place]) == pytest.approx(interval(*pairs[place], 0.05))


def test_a_side_without_videos_says_nothing() -> None:
    nothing, some = np.zeros((1, LEVELS)), levels_of(np.ones(50))[None]
    for before, now in ((nothing, some), (some, nothing), (nothing, nothing)):
        low, high = change_intervals(before, now, np.array([0.01]))
        assert low[0] <= -0.0
        assert high[0] >= 0.0


@pytest.mark.parametrize(
    ("before", "now", "deltas", "said"),
    [
        (np.zeros((1, 5)), np.zeros((1, 5)), np.array([0.1]), "121 levels"),
        (np.zeros((2, LEVELS)), np.zeros((1, LEVELS)), np.array([0.1]), "for each pair"),
        (-np.ones((1, LEVELS)), np.ones((1, LEVELS)), np.array([0.1]), "0 or more"),
        (np.ones((1, LEVELS)), np.ones((1, LEVELS)), np.array([1.0]), "between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(before: Floats, now: Floats, deltas: Floats, said: str) -> None:
    with pytest.raises(InputError, match=said):
        change_intervals(before, now, deltas)


def test_what_all_nights_take_is_delta() -> None:
    taken = sum(delta_of_night(0.01, look) for look in range(1, 20_000))
    assert 0.0099 < taken < 0.01
    assert sum(delta_of_night(0.01, 7, num_shards=4) for _ in range(4)) == pytest.approx(delta_of_night(0.01, 7))


NUM_NIGHTS, NUM_SERIES, NUM_VIDEOS, NUM_ROWS = 60, 240, 12, 25


def draw_nights(random: np.random.Generator, mean: float) -> Floats:
    """Shares of videos, axes (night, series, video): rows of a video are alike, as a place and an hour are."""
    likely = random.beta(4 * mean, 4 * (1 - mean), (NUM_NIGHTS, NUM_SERIES, NUM_VIDEOS))
    return random.binomial(NUM_ROWS, likely) / NUM_ROWS


def histograms(values: Floats) -> Floats:
    """By series, of the videos of some nights: (series, level)."""
    per_series = np.moveaxis(values, -2, 0).reshape(values.shape[-2], -1)
    return np.stack([levels_of(one) for one in per_series])


def look(nights: Floats, night: int, delta: float, window: int = 1) -> tuple[Floats, Floats]:
    now = nights[night - window + 1 : night + 1]
    before = nights[max(0, night - window - 9) : night - window + 1]
    return change_intervals(histograms(before), histograms(now), np.full(nights.shape[1], delta))


@pytest.mark.parametrize("mean", [0.03, 0.4])
def test_sixty_nights_without_drift_alarm_at_most_as_often_as_promised(mean: float) -> None:
    """Each series is an output of its own, which looks each night against the ten before it. A test of rows, as if each
    were a witness, alarms in most of them: so that these nights would show it."""
    nights = draw_nights(np.random.default_rng(11), mean)
    delta, alarms, naive = 0.1, np.zeros(NUM_SERIES, bool), np.zeros(NUM_SERIES, bool)
    for night in range(1, NUM_NIGHTS):
        low, high = look(nights, night, delta_of_night(delta, night))
        alarms |= (low > 0) | (high < 0)
        before, now = nights[max(0, night - 10) : night].mean(axis=(0, 2)), nights[night].mean(axis=1)
        num_now, num_before = NUM_VIDEOS * NUM_ROWS, min(10, night) * NUM_VIDEOS * NUM_ROWS
        spread = np.sqrt(np.maximum(before * (1 - before), 1e-4) * (1 / num_now + 1 / num_before))
        naive |= np.abs(now - before) > np.sqrt(-2 * np.log(delta_of_night(delta, night) / 2)) * spread
    assert naive.mean() > 0.5
    assert alarms.mean() <= delta


@pytest.mark.parametrize(("shifted", "at_once", "in_three"), [(0.9, 0.8, 0.99), (0.6, 0.0, 0.95)])
def test_a_shift_is_found_within_a_few_nights(shifted: float, at_once: float, in_three: float) -> None:
    """Of twelve videos a night: a share of 10 % becomes another one in the thirtieth night, at the level that one of
    forty figures has then."""
    random = np.random.default_rng(5)
    nights = draw_nights(random, 0.1)
    nights[29:] = draw_nights(random, shifted)[29:]
    found = np.zeros((NUM_SERIES, 3), bool)
    for after in range(3):
        night = 29 + after
        delta = delta_of_night(0.01, night) / 40
        windows = (1, 3) if after == 2 else (1,)
        for window in windows:
            low, _ = look(nights, night, delta, window)
            found[:, after] |= low > 0.05
    assert found[:, 0].mean() >= at_once
    assert found.any(axis=1).mean() > in_three


def test_a_million_videos_do_not_alarm_about_a_tenth_of_a_percent() -> None:
    before, now = np.zeros((2, LEVELS)), np.zeros((2, LEVELS))
    before[:, 0], before[:, STEPS] = 700_000, 300_000
    now[:, 0], now[:, STEPS] = [699_000, 600_000], [301_000, 400_000]
    low, high = change_intervals(before, now, np.full(2, 1e-6))
    assert (low[0] <= 0.001, high[0] >= 0.001, low[0] > 0.05) == (True, True, False)
    assert 0.075 < low[1] <= 0.1 <= high[1] < 0.13
