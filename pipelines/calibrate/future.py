"""Claim 1 for nights to come: the unit is the video, since what is drawn from the future is videos, not rows.

Rows of one video resemble each other, and a new night brings new videos. Assumed: the videos of the sample and those to
come are independent draws of one distribution; nothing is assumed of rows within a video. The promise: of a video to
come, on average over videos, at most a share epsilon of its rows would have another answer had they thought.

One row is drawn of each video. Its loss at a threshold is 1 with the probability that the promise is about, and the
losses of different videos are independent: the exact binomial bound holds, and claim 1's proof with it. That leaves
most rows unread. Where a part of each video's rows is known, as of an audit, the draw is from these: a uniform one of
all its rows, since each is as likely to be among them. Several draws can be averaged: the wealth of each (`wealth.py`)
is at least 1 / delta too seldom, and so is their mean, however they depend on each other (an average of e-values is an
e-value, Vovk and Wang 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.agreement import certify_agreement, lowest_threshold
from framegate.pipelines.calibrate.audited import Bools, Floats, Ints, as_bools, as_confidence, codes_of
from framegate.pipelines.calibrate.share import check_levels, rows_needed
from framegate.pipelines.calibrate.wealth import log_mean, log_wealth_of_counts, passes, rows_without_loss
from framegate.schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FutureCertificate:
    """As AgreementCertificate, about videos to come.

    num_exits, num_different: of all sampled rows. bound: of the share that is promised about; with several draws that
    is epsilon, since a bet says no more than that it is below. num_missing: videos that the sample is short of.
    """

    epsilon: float
    delta: float
    threshold: float | None
    num_videos: int
    num_rows: int
    num_exits: int
    num_different: int
    bound: float
    num_draws: int
    num_missing: int


def certify_future(
    video: Sequence[Any] | npt.NDArray[Any],
    confidence: npt.ArrayLike,
    differs: npt.ArrayLike,
    *,
    epsilon: float,
    delta: float,
    num_draws: int = 1,
    seed: int = 0,
) -> FutureCertificate:
    """The lowest threshold for videos to come.

    video: of each sampled row. num_draws: 1 is the exact binomial test of one row a video; with more, wealths are
    averaged: better where videos have many sampled rows that differ among each other, worse where they have few. Choose
    it, and the seed, before looking. Raises InputError as `certify_agreement` does.
    """
    check_levels(epsilon, delta)
    confidences = as_confidence(confidence)
    different = as_bools(differs, confidences.size, "differs")
    names, codes = codes_of(video, confidences.size, "video")
    if num_draws < 1:
        raise InputError(f"{num_draws} draws: at least one row is drawn of each video")
    drawn = _draw(codes, len(names), num_draws, np.random.default_rng(seed))
    if num_draws == 1:
        found = certify_agreement(confidences[drawn[0]], different[drawn[0]], epsilon=epsilon, delta=delta)
        threshold, bound, needed = found.threshold, found.bound, rows_needed(0, epsilon, delta)
    else:
        threshold = _averaged(confidences, different, drawn, epsilon, delta)
        bound = 0.0 if threshold is None else epsilon
        needed = rows_without_loss(epsilon, 1.0, delta)
    exits = confidences >= (2.0 if threshold is None else threshold)
    return FutureCertificate(
        epsilon=epsilon,
        delta=delta,
        threshold=threshold,
        num_videos=len(names),
        num_rows=confidences.size,
        num_exits=int(exits.sum()),
        num_different=int((exits & different).sum()),
        bound=bound,
        num_draws=num_draws,
        num_missing=max(0, needed - len(names)),
    )


def _draw(codes: Ints, num_videos: int, num_draws: int, random: np.random.Generator) -> list[Ints]:
    """Places of rows, one of each video, for each draw."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=num_videos)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    return [order[starts + (random.random(num_videos) * counts).astype(np.int64)] for _ in range(num_draws)]


def _averaged(confidence: Floats, differs: Bools, drawn: list[Ints], epsilon: float, delta: float) -> float | None:
    num_videos = drawn[0].size

    def keeps(threshold: float) -> bool:
        losses = differs & (confidence >= threshold)
        events = np.array([losses[rows].sum() for rows in drawn], np.float64)
        wealths = log_wealth_of_counts(events, np.full(events.size, float(num_videos)), bound=epsilon)
        return passes(float(log_mean(wealths)), delta)

    if not keeps(2.0):
        return None
    low, high = 0, int(differs.sum())
    while high > low:
        middle = (low + high + 1) // 2
        threshold = lowest_threshold(confidence, differs, middle)
        low, high = (middle, high) if threshold is None or keeps(threshold) else (low, middle - 1)
    return lowest_threshold(confidence, differs, low)
