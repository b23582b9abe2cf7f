"""Other units than the row: videos for nights to come, and whole clips."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.agreement import certify_agreement
from framegate.pipelines.calibrate.clip_sample import certify_clips
from framegate.pipelines.calibrate.future import certify_future
from framegate.pipelines.calibrate.share import rows_needed
from framegate.pipelines.calibrate.wealth import log_wealth
from framegate.schemas.errors import InputError


def videos(random, num_videos: int, rows_each: int):
    """Half of the videos are easy. In a hard one half of the doubtful rows differ, and all of them look alike."""
    is_hard = np.repeat(random.random(num_videos) < 0.1, rows_each)
    confidence = random.random(num_videos * rows_each)
    differs = is_hard & (random.random(is_hard.size) < 1 - confidence)
    return np.repeat(np.arange(num_videos), rows_each), confidence, differs


def true_share(threshold: float) -> float:
    """Of a video to come: 10 % are hard, and there a row exits and differs with the integral of 1 - c from t to 1."""
    return 0.1 * (1 - threshold) ** 2 / 2


def test_one_row_of_each_video_is_the_exact_test() -> None:
    video, confidence, differs = np.arange(400), np.linspace(0.3, 1, 400), np.arange(400) < 3
    found = certify_future(video, confidence, differs, epsilon=0.02, delta=0.05)
    assert found.threshold == certify_agreement(confidence, differs, epsilon=0.02, delta=0.05).threshold
    assert (found.num_videos, found.num_rows, found.num_missing) == (400, 400, 0)
    same = certify_agreement(confidence, differs, epsilon=0.02, delta=0.05)
    assert (found.bound, found.num_exits, found.num_different) == (same.bound, same.num_exits, same.num_different)


def test_many_rows_of_few_videos_are_few() -> None:
    video = np.repeat(np.arange(50), 100)
    found = certify_future(video, np.full(5000, 0.9), np.zeros(5000, np.bool_), epsilon=0.01, delta=0.05)
    assert (found.threshold, found.num_missing) == (None, rows_needed(0, 0.01, 0.05) - 50)
    many = certify_future(video, np.full(5000, 0.9), np.zeros(5000, np.bool_), epsilon=0.01, delta=0.05, num_draws=9)
    assert many.threshold is None
    assert many.num_missing > found.num_missing


@pytest.mark.parametrize("num_draws", [1, 20])
def test_the_promise_holds_for_videos_to_come(num_draws: int) -> None:
    random = np.random.default_rng(6)
    broken = rows_broken = certified = 0
    for repeat in range(150):
        video, confidence, differs = videos(random, 400, 10)
        found = certify_future(video, confidence, differs, epsilon=0.02, delta=0.1, num_draws=num_draws, seed=repeat)
        certified += found.threshold is not None
        broken += found.threshold is not None and true_share(found.threshold) > 0.02
        rows = certify_agreement(confidence, differs, epsilon=0.02, delta=0.1)
        rows_broken += rows.threshold is not None and true_share(rows.threshold) > 0.02
    assert certified > 140
    assert broken / 150 <= 0.1 + 3 * math.sqrt(0.09 / 150)
    assert rows_broken > broken  # rows of a video are not independent draws of the future


@pytest.mark.parametrize("num_draws", [1, 10])
def test_the_promise_holds_where_a_part_of_each_video_is_audited(num_draws: int) -> None:
    """Long videos are the worse ones. It is about videos that have an audited row, each as often as it has one."""
    random = np.random.default_rng(12)
    lengths, hard, rate = np.array([4, 60]), np.array([0.0, 0.12]), 0.05
    chances = 1 - (1 - rate) ** lengths
    weights = chances / chances.sum()
    broken = certified = 0
    for repeat in range(150):
        kinds = random.integers(0, 2, 900)
        video = np.repeat(np.arange(900), lengths[kinds])
        is_hard = hard[kinds][video]
        confidence = random.random(video.size)
        differs = random.random(video.size) < is_hard * (1 - confidence)
        rows = random.random(video.size) < rate
        found = certify_future(
            video[rows], confidence[rows], differs[rows], epsilon=0.03, delta=0.1, num_draws=num_draws, seed=repeat
        )
        if found.threshold is not None:
            certified += 1
            broken += weights @ hard * (1 - found.threshold) ** 2 / 2 > 0.03
    assert certified > 100
    assert broken / 150 <= 0.1 + 3 * math.sqrt(0.09 / 150)


def test_a_threshold_of_several_draws_falls_with_their_number_of_rows() -> None:
    random = np.random.default_rng(8)
    video, confidence, differs = videos(random, 600, 30)
    found = [certify_future(video, confidence, differs, epsilon=0.01, delta=0.05, num_draws=n) for n in (2, 30)]
    assert all(part.threshold is not None for part in found)
    assert found[1].num_draws == 30
    again = certify_future(video, confidence, differs, epsilon=0.01, delta=0.05, num_draws=30)
    assert again == found[1]


@given(
    st.lists(st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=3), max_size=30),
    st.sampled_from([0.1, 0.3]),
)
def test_clips_are_tested_by_what_their_rows_lose(clips, epsilon: float) -> None:
    names = [number for number, rows in enumerate(clips) for _ in rows]
    confidence = np.array([row[0] for rows in clips for row in rows], np.float64)
    differs = np.array([row[1] for rows in clips for row in rows], np.bool_)
    found = certify_clips(names, confidence, differs, num_questions=3, epsilon=epsilon, delta=0.2)

    def passes(t: float) -> bool:
        losses = [sum(c >= t and d for c, d in rows) - epsilon * len(rows) for rows in clips]
        return log_wealth(np.array(losses) / 3, bound=0.0, largest=1 - epsilon) >= math.log(5)

    assert found.threshold == min((t for t in set(confidence) if passes(t)), default=None)
    assert (found.num_clips, found.num_rows) == (len(clips), len(names))


def test_the_promise_of_clips_is_about_rows() -> None:
    """Clips with more rows differ more often: a mean over clips would promise too much."""
    random = np.random.default_rng(10)
    sizes = random.choice([1, 8], 3000)
    clip = np.repeat(np.arange(3000), sizes)
    confidence = random.random(clip.size)
    differs = random.random(clip.size) < np.where(sizes[clip] == 8, 0.12, 0.0) * (1 - confidence)
    order = np.argsort(-confidence)
    shares = np.cumsum(differs[order]) / clip.size
    broken = certified = 0
    for _ in range(100):
        rows = np.isin(clip, random.choice(3000, 500, replace=False))
        found = certify_clips(clip[rows], confidence[rows], differs[rows], num_questions=8, epsilon=0.03, delta=0.1)
        if found.threshold is not None:
            certified += 1
            broken += shares[(confidence >= found.threshold).sum() - 1] > 0.03
    assert certified > 90
    assert broken / 100 <= 0.1 + 3 * math.sqrt(0.09 / 100)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="a clip has 2 rows, and 1 questions"):
        certify_clips(["a", "a"], [0.5, 0.6], [True, False], num_questions=1, epsilon=0.1, delta=0.1)
    with pytest.raises(InputError, match="at least one row is drawn"):
        certify_future(["a"], [0.5], [True], epsilon=0.1, delta=0.1, num_draws=0)
